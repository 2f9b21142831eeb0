"""Angular prototypical loss."""

from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional

from vivavoce.objectives.speaker.grouping import ComparingLoss, grouped


class PrototypicalConfig(BaseModel):
    """Angular prototypical loss: one utterance of each speaker against the means of the others."""

    model_config = ConfigDict(extra="forbid")
    compares: ClassVar[bool] = True

    type: Literal["prototypical"] = "prototypical"

    def build(self, embedding_dim: int, speakers: int) -> "PrototypicalLoss":
        """Make the loss; it has no classes, so that neither number matters."""
        return PrototypicalLoss()


class PrototypicalLoss(ComparingLoss):
    """Cross-entropy of matching each speaker's query, its last utterance in the batch, to the mean of its others.

    -log softmax_k(w·cos(q_j, c_k))[j], q_j the query of speaker j, c_k the mean of speaker k's other utterances.
    Source: Chung et al. 2020, "In defence of metric learning for speaker recognition", section 2.2,
    "angular prototypical".
    """

    def forward(self, embeddings: Tensor, speakers: Tensor, margin_share: float = 1.0) -> Tensor:
        """Mean loss of embeddings ``(batch, embedding_dim)`` with labels ``(batch,)``; there is no margin to share.

        A speaker of one utterance is left out; the loss is zero where fewer than two speakers remain.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            unit = functional.normalize(embeddings.float())
            groups = grouped(speakers)
            kept = torch.nonzero(groups.sizes > 1)[:, 0]
            if len(kept) < 2:
                return unit.sum() * 0.0
            member = groups.member[:, kept]
            places = torch.arange(1, len(unit) + 1, device=unit.device)[:, None]
            queries = unit.index_select(0, (member * places).argmax(dim=0))
            # Means of the support alone; cosines know no length, so that sums serve.
            prototypes = member.T @ unit - queries
            own = torch.arange(len(kept), device=unit.device)
            return functional.cross_entropy(self.scale * queries @ functional.normalize(prototypes).T, own)
