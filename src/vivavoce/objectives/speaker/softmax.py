"""Plain softmax cross-entropy over the training speakers."""

from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional


class SoftmaxConfig(BaseModel):
    """Plain softmax cross-entropy over an affine layer."""

    model_config = ConfigDict(extra="forbid")
    compares: ClassVar[bool] = False

    type: Literal["softmax"] = "softmax"

    def build(self, embedding_dim: int, speakers: int) -> "SoftmaxLoss":
        """Make the loss for this many classes."""
        return SoftmaxLoss(embedding_dim, speakers)


class SoftmaxLoss(nn.Module):
    """Cross-entropy of an affine classifier."""

    def __init__(self, embedding_dim: int, speakers: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(embedding_dim, speakers)

    def forward(self, embeddings: Tensor, speakers: Tensor, margin_share: float = 1.0) -> Tensor:
        """Mean loss of embeddings ``(batch, embedding_dim)`` with labels ``(batch,)``; there is no margin to share."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return functional.cross_entropy(self.classifier(embeddings.float()), speakers)
