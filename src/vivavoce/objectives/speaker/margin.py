"""What the margin losses share: cosines with prototypes, and a margin on the target's that a schedule lets grow."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional


class MarginLoss(nn.Module, ABC):
    """Cross-entropy of scaled cosines between embeddings and prototypes, the target's lowered by a margin."""

    def __init__(self, embedding_dim: int, prototypes: int, margin: float, scale: float) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.empty(prototypes, embedding_dim))
        nn.init.xavier_normal_(self.prototypes)
        self.margin = margin
        self.scale = scale

    def forward(self, embeddings: Tensor, speakers: Tensor, margin_share: float = 1.0) -> Tensor:
        """Mean loss of embeddings ``(batch, embedding_dim)`` with labels ``(batch,)``.

        ``margin_share`` in 0…1 lets a schedule grow the margin from none; what lies outside is taken as the nearest
        end. Everything is computed in float32, under autocast too: half precision tells angles apart from 5° up.
        """
        margin = self.margin * min(1.0, max(0.0, margin_share))
        with torch.autocast(embeddings.device.type, enabled=False):
            cosine = self.cosines(embeddings.float())
            lowered = self.lowered(cosine.gather(1, speakers[:, None]), margin)
            return functional.cross_entropy(self.scale * cosine.scatter(1, speakers[:, None], lowered), speakers)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Cosine of each embedding ``(batch, embedding_dim)`` with each class, ``(batch, speakers)``."""
        return functional.linear(functional.normalize(embeddings), functional.normalize(self.prototypes))

    @abstractmethod
    def lowered(self, target: Tensor, margin: float) -> Tensor:
        """Cosines with the own class, ``(batch, 1)``, made worse by the margin."""


def widened(target: Tensor, margin: float) -> Tensor:
    """Cosines ``(batch, 1)`` of angles that are wider by ``margin``, radians.

    The cosine is kept off ±1, where the derivative of the arc cosine has no bound; that of the normalised embedding
    goes to zero there just as fast, so that the product stays bounded.
    """
    angle = target.clamp(-1 + 1e-6, 1 - 1e-6).arccos()
    # Past π the cosine would rise again and reward a wrong answer.
    return (angle + margin).clamp(max=torch.pi).cos()
