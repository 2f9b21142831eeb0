"""Joint losses without a memory: the sum, the weighted sum, and two losses brought to one scale."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vivavoce.objectives.multitask.base import Multitask, Terms

# A loss near zero would otherwise be scaled up without bound, and the noise in it with it.
MOST_SCALE = 1e3


class SumConfig(BaseModel):
    """Sum of the speaker loss and ``correlation.weight`` times the correlation loss."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["sum"] = "sum"

    def build(self) -> "SumOfTasks":
        """Make the joint loss."""
        return SumOfTasks()


class WeightedConfig(BaseModel):
    """Weighted mean of the two losses."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["weighted"] = "weighted"
    speaker_share: float = Field(default=0.5, gt=0, lt=1, description="weight of the speaker loss; the rest is left")

    def build(self) -> "WeightedTasks":
        """Make the joint loss."""
        return WeightedTasks(self.speaker_share)


class ScaleMatchedConfig(BaseModel):
    """Both losses on the scale of the speaker loss."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["scale_matched"] = "scale_matched"

    def build(self) -> "ScaleMatchedTasks":
        """Make the joint loss."""
        return ScaleMatchedTasks()


class SumOfTasks(Multitask):
    """l₁ + l₂."""

    def terms(self, speaker: Tensor, correlation: Tensor, progress: float, shared: Sequence[nn.Parameter]) -> Terms:
        """The losses as they are."""
        return Terms(speaker, correlation)


class WeightedTasks(Multitask):
    """a·l₁ + (1 - a)·l₂."""

    def __init__(self, speaker_share: float) -> None:
        super().__init__()
        self.speaker_share = speaker_share

    def terms(self, speaker: Tensor, correlation: Tensor, progress: float, shared: Sequence[nn.Parameter]) -> Terms:
        """The losses times their shares."""
        return Terms(self.speaker_share * speaker, (1 - self.speaker_share) * correlation)


class ScaleMatchedTasks(Multitask):
    """l₁ + l₂ / (l₂/l₁), the ratio a constant of the step: both have the value of l₁, and l₂ the gradient of l₁·log l₂.

    The logarithm is what makes it indifferent to the units of l₂; Chennupati et al. 2019, "MultiNet++: multi-stream
    feature aggregation and geometric loss strategy for multi-task learning", join the logarithms of both losses.
    """

    follows_gradient = False  # the value is that of l₁, whatever becomes of l₂

    def terms(self, speaker: Tensor, correlation: Tensor, progress: float, shared: Sequence[nn.Parameter]) -> Terms:
        """The speaker loss, and the correlation loss on its scale."""
        ratio = (correlation / speaker.clamp(min=1e-12)).detach().clamp(min=1 / MOST_SCALE)
        # A batch in which no speakers could be compared has no scale to match, and still teaches the other task.
        return Terms(speaker, correlation / torch.where(speaker > 0, ratio, 1.0))
