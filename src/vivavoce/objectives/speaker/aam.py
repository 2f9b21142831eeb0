"""Additive angular margin softmax."""

import math
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vivavoce.objectives.speaker.margin import MarginLoss, widened


class AamSoftmaxConfig(BaseModel):
    """Additive angular margin softmax."""

    model_config = ConfigDict(extra="forbid")
    compares: ClassVar[bool] = False

    type: Literal["aam"] = "aam"
    margin: float = Field(default=0.2, ge=0, lt=math.pi / 2, description="angle added to the target's, radians")
    scale: float = Field(default=30.0, gt=0, description="what cosines are multiplied with before the softmax")

    def build(self, embedding_dim: int, speakers: int) -> "AamSoftmaxLoss":
        """Make the loss for this many classes."""
        return AamSoftmaxLoss(embedding_dim, speakers, self.margin, self.scale)


class AamSoftmaxLoss(MarginLoss):
    """Cross-entropy of scaled cosines, the target's angle widened by a margin.

    -log(exp(s·cos(θ_y + m)) / (exp(s·cos(θ_y + m)) + Σ_{j≠y} exp(s·cos θ_j))), θ_j the angle to prototype j, y the own.
    Source: Deng et al. 2019, "ArcFace: additive angular margin loss for deep face recognition", eq. 3.
    """

    def lowered(self, target: Tensor, margin: float) -> Tensor:
        """Cosines of the widened angles."""
        return widened(target, margin)
