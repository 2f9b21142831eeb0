"""Softmax cross-entropy over the training speakers, without a margin."""

from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional


class SoftmaxConfig(BaseModel):
    """Softmax cross-entropy over an affine layer."""

    model_config = ConfigDict(extra="forbid")
    compares: ClassVar[bool] = False

    type: Literal["softmax"] = "softmax"
    scale: float = Field(default=30.0, gt=0, description="length of the embeddings that are classified")

    def build(self, embedding_dim: int, speakers: int) -> "SoftmaxLoss":
        """Make the loss for this many classes."""
        return SoftmaxLoss(embedding_dim, speakers, self.scale)


class SoftmaxLoss(nn.Module):
    """Cross-entropy of an affine classifier of embeddings of one length: -log softmax(W·s·x/‖x‖ + b)[speaker].

    Recordings are compared by cosine, so an embedding's length says nothing; and at length 1 no classifier gets sure of
    anything for thousands of steps. Source: Ranjan et al. 2017, "L2-constrained softmax loss for discriminative face
    verification", eq. 2.
    """

    def __init__(self, embedding_dim: int, speakers: int, scale: float = 30.0) -> None:
        super().__init__()
        self.scale = scale
        self.classifier = nn.Linear(embedding_dim, speakers)

    def forward(self, embeddings: Tensor, speakers: Tensor, margin_share: float = 1.0) -> Tensor:
        """Mean loss of embeddings ``(batch, embedding_dim)`` with labels ``(batch,)``; there is no margin to share."""
        with torch.autocast(embeddings.device.type, enabled=False):
            scaled = self.scale * functional.normalize(embeddings.float())
            return functional.cross_entropy(self.classifier(scaled), speakers)
