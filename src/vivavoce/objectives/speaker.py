"""Losses of the speaker task: classification of the training speakers by their embeddings."""

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional


class SoftmaxConfig(BaseModel):
    """Plain softmax cross-entropy over an affine layer."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["softmax"] = "softmax"

    def build(self, embedding_dim: int, speakers: int) -> "SoftmaxLoss":
        """Make the loss for this many classes."""
        return SoftmaxLoss(embedding_dim, speakers)


class AamSoftmaxConfig(BaseModel):
    """Additive angular margin softmax."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["aam"] = "aam"
    margin: float = Field(default=0.2, ge=0, lt=math.pi / 2, description="angle added to the target's, radians")
    scale: float = Field(default=30.0, gt=0, description="what cosines are multiplied with before the softmax")

    def build(self, embedding_dim: int, speakers: int) -> "AamSoftmaxLoss":
        """Make the loss for this many classes."""
        return AamSoftmaxLoss(self, embedding_dim, speakers)


class SoftmaxLoss(nn.Module):
    """Cross-entropy of an affine classifier."""

    def __init__(self, embedding_dim: int, speakers: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(embedding_dim, speakers)

    def forward(self, embeddings: Tensor, speakers: Tensor, margin_share: float = 1.0) -> Tensor:
        """Mean loss of embeddings ``(batch, embedding_dim)`` with labels ``(batch,)``; there is no margin to share."""
        return functional.cross_entropy(self.classifier(embeddings), speakers)


class AamSoftmaxLoss(nn.Module):
    """Cross-entropy of scaled cosines, the target's angle widened by a margin.

    Source: Deng et al. 2019, "ArcFace: additive angular margin loss for deep face recognition", eq. 3.
    """

    def __init__(self, config: AamSoftmaxConfig, embedding_dim: int, speakers: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.empty(speakers, embedding_dim))
        nn.init.xavier_normal_(self.prototypes)
        self.margin = config.margin
        self.scale = config.scale

    def forward(self, embeddings: Tensor, speakers: Tensor, margin_share: float = 1.0) -> Tensor:
        """Mean loss of embeddings ``(batch, embedding_dim)`` with labels ``(batch,)``.

        ``margin_share`` in 0…1 lets a schedule grow the margin from none. Angles are computed in float32 and kept
        off 0 and π, where the derivative of the arc cosine has no bound.
        """
        cosine = functional.linear(functional.normalize(embeddings.float()), functional.normalize(self.prototypes))
        target = cosine.gather(1, speakers[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        # Past π the cosine would rise again and reward a wrong answer.
        widened = (target.arccos() + self.margin * margin_share).clamp(max=math.pi).cos()
        return functional.cross_entropy(self.scale * cosine.scatter(1, speakers[:, None], widened), speakers)
