"""Late focus: both tasks alike at first, the correlation task in the foreground at the end."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from vivavoce.objectives.multitask.base import Multitask, Terms


class LateFocusConfig(BaseModel):
    """A schedule that takes weight from the speaker task and gives it to the correlation task."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["late_focus"] = "late_focus"
    from_share: float = Field(default=0.5, ge=0, le=1, description="share of the run from which the weight moves")
    until_share: float = Field(default=0.8, ge=0, le=1, description="share of the run at which it has moved")
    speaker_weight: float = Field(
        default=0.2, ge=0, le=1, description="of the speaker loss from then on; before, both losses have weight 1"
    )

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.from_share > self.until_share:
            raise ValueError(f"from_share ({self.from_share}) must not be after until_share ({self.until_share})")
        return self

    def build(self) -> "LateFocus":
        """Make the joint loss."""
        return LateFocus(self)


class LateFocus(Multitask):
    """w·l₁ + (2 - w)·l₂ with w falling in a straight line from 1 to ``speaker_weight``.

    It is a curriculum over tasks (Bengio et al. 2009, "Curriculum learning"): who speaks is learnt by the stem that the
    other task then reads. The weights always add up to 2, so that the shift lowers no gradient as a whole.
    """

    def __init__(self, config: LateFocusConfig) -> None:
        super().__init__()
        self.config = config

    def speaker_weight(self, progress: float) -> float:
        """Weight of the speaker loss when ``progress`` (0…1) of the run is over."""
        begin, end = self.config.from_share, self.config.until_share
        moved = (progress - begin) / (end - begin) if end > begin else float(progress >= end)
        return 1 - (1 - self.config.speaker_weight) * min(1.0, max(0.0, moved))

    def terms(self, speaker: Tensor, correlation: Tensor, progress: float, shared: Sequence[nn.Parameter]) -> Terms:
        """The losses times the weights of this point of the run."""
        weight = self.speaker_weight(progress)
        return Terms(weight * speaker, (2 - weight) * correlation)
