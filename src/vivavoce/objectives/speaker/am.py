"""Additive margin softmax, the large margin cosine loss."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vivavoce.objectives.speaker.margin import MarginLoss


class AmSoftmaxConfig(BaseModel):
    """Additive margin softmax: a margin on the cosine."""

    model_config = ConfigDict(extra="forbid")
    compares: ClassVar[bool] = False

    type: Literal["am"] = "am"
    margin: float = Field(default=0.2, ge=0, lt=2, description="taken off the target's cosine")
    scale: float = Field(default=30.0, gt=0, description="what cosines are multiplied with before the softmax")

    def build(self, embedding_dim: int, speakers: int) -> "AmSoftmaxLoss":
        """Make the loss for this many classes."""
        return AmSoftmaxLoss(embedding_dim, speakers, self.margin, self.scale)


class AmSoftmaxLoss(MarginLoss):
    """Cross-entropy of scaled cosines, a margin taken off the target's.

    -log(exp(s·(cos θ_y - m)) / (exp(s·(cos θ_y - m)) + Σ_{j≠y} exp(s·cos θ_j))), y the own prototype.
    Source: Wang H. et al. 2018, "CosFace: large margin cosine loss for deep face recognition", eq. 4; the same as Wang
    F. et al. 2018, "Additive margin softmax for face verification".
    """

    def lowered(self, target: Tensor, margin: float) -> Tensor:
        """Cosines less the margin."""
        return target - margin
