"""How the learning rate goes over a run: one config a kind, each with linear warm-up in front."""

from typing import Annotated

from pydantic import Field

from vivavoce.training.schedules.base import Schedule
from vivavoce.training.schedules.kinds import (
    ConstantConfig,
    CosineConfig,
    CosineRestartsConfig,
    ExponentialConfig,
    LambdaConfig,
    MultistepConfig,
    OneCycleConfig,
    PlateauConfig,
    StepConfig,
)

__all__ = ["CosineConfig", "PlateauConfig", "Schedule", "ScheduleConfig"]

ScheduleConfig = Annotated[
    ConstantConfig
    | StepConfig
    | MultistepConfig
    | ExponentialConfig
    | CosineConfig
    | CosineRestartsConfig
    | OneCycleConfig
    | PlateauConfig
    | LambdaConfig,
    Field(discriminator="type"),
]
