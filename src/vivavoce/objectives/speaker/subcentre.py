"""Additive angular margin softmax with several centres a speaker."""

import math
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from vivavoce.objectives.speaker.margin import MarginLoss, widened


class SubcentreAamConfig(BaseModel):
    """Additive angular margin softmax with sub-centres."""

    model_config = ConfigDict(extra="forbid")
    compares: ClassVar[bool] = False

    type: Literal["subcentre_aam"] = "subcentre_aam"
    margin: float = Field(default=0.2, ge=0, lt=math.pi / 2, description="angle added to the target's, radians")
    scale: float = Field(default=30.0, gt=0, description="what cosines are multiplied with before the softmax")
    centres: int = Field(default=3, ge=1, description="K, prototypes of each speaker")

    def build(self, embedding_dim: int, speakers: int) -> "SubcentreAamLoss":
        """Make the loss for this many classes."""
        return SubcentreAamLoss(self, embedding_dim, speakers)


class SubcentreAamLoss(MarginLoss):
    """`AamSoftmaxLoss` against the nearest of K prototypes of each speaker: cos θ_j = max_k cos(x, w_jk).

    Recordings that are labelled wrongly or sound unlike the rest gather at a centre of their own and spoil the others
    less. Source: Deng et al. 2020, "Sub-center ArcFace: boosting face recognition by large-scale noisy web faces"; its
    experiments choose K = 3.
    """

    def __init__(self, config: SubcentreAamConfig, embedding_dim: int, speakers: int) -> None:
        super().__init__(embedding_dim, speakers * config.centres, config.margin, config.scale)
        self.centres = config.centres

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Cosine of each embedding ``(batch, embedding_dim)`` with each speaker's nearest centre."""
        return super().cosines(embeddings).unflatten(1, (-1, self.centres)).amax(dim=2)

    def lowered(self, target: Tensor, margin: float) -> Tensor:
        """Cosines of the widened angles."""
        return widened(target, margin)
