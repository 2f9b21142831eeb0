"""The experiment as one tree; each branch lives beside what it configures."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from vivavoce.features.front_end import FrontEndConfig
from vivavoce.models.joint import ModelConfig
from vivavoce.objectives.correlation import CorrelationConfig
from vivavoce.objectives.speaker import AamSoftmaxConfig, SoftmaxConfig
from vivavoce.training.config import TrainingConfig


class DataConfig(BaseModel):
    """Which recordings are trained and validated on."""

    model_config = ConfigDict(extra="forbid")

    train: Path = Field(description="manifest of the training recordings")
    validation: Path = Field(description="manifest of the validation recordings; thresholds come from it")


class ExperimentConfig(BaseModel):
    """Everything a training run depends on."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(default=0, ge=0)
    data: DataConfig
    front_end: FrontEndConfig = Field(default_factory=FrontEndConfig)
    model: ModelConfig = Field(default_factory=lambda: ModelConfig.model_validate({}))
    speaker: Annotated[AamSoftmaxConfig | SoftmaxConfig, Field(discriminator="type")] = Field(
        default_factory=AamSoftmaxConfig
    )
    correlation: CorrelationConfig = Field(default_factory=CorrelationConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
