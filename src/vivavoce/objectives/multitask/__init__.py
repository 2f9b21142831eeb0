"""How the speaker task and the correlation task are joined in one loss.

All are called as ``multitask(speaker, correlation, progress, shared)`` and give the total to call ``backward`` on.
"""

from typing import Annotated

from pydantic import Field

from vivavoce.objectives.multitask.base import Multitask, Terms
from vivavoce.objectives.multitask.fixed import ScaleMatchedConfig, SumConfig, WeightedConfig
from vivavoce.objectives.multitask.gradient_norm import GradientNormConfig
from vivavoce.objectives.multitask.late_focus import LateFocusConfig
from vivavoce.objectives.multitask.uncertainty import UncertaintyConfig

__all__ = [
    "GradientNormConfig",
    "LateFocusConfig",
    "Multitask",
    "MultitaskConfig",
    "ScaleMatchedConfig",
    "SumConfig",
    "Terms",
    "UncertaintyConfig",
    "WeightedConfig",
]

MultitaskConfig = Annotated[
    SumConfig | WeightedConfig | ScaleMatchedConfig | LateFocusConfig | UncertaintyConfig | GradientNormConfig,
    Field(discriminator="type"),
]
