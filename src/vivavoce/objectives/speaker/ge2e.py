"""Generalised end-to-end loss."""

from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional

from vivavoce.objectives.speaker.grouping import ComparingLoss, grouped


class Ge2eConfig(BaseModel):
    """Generalised end-to-end loss: each utterance against the centroids of its batch."""

    model_config = ConfigDict(extra="forbid")
    compares: ClassVar[bool] = True

    type: Literal["ge2e"] = "ge2e"

    def build(self, embedding_dim: int, speakers: int) -> "Ge2eLoss":
        """Make the loss; it has no classes, so that neither number matters."""
        return Ge2eLoss()


class Ge2eLoss(ComparingLoss):
    """Cross-entropy of finding the own speaker's centroid among those of the batch.

    -log softmax_k(w·cos(x, c_k))[own], w learnt, c_k the centroid of speaker k.
    The own centroid is of the speaker's other utterances: one that held the utterance itself would be found for that.
    Source: Wan et al. 2018, "Generalized end-to-end loss for speaker verification", eq. 5, 6 (softmax), 8 and 9.
    """

    def forward(self, embeddings: Tensor, speakers: Tensor, margin_share: float = 1.0) -> Tensor:
        """Mean loss of embeddings ``(batch, embedding_dim)`` with labels ``(batch,)``; there is no margin to share.

        A speaker of one utterance is a centroid for the others alone; the loss is zero where fewer than two speakers
        or no speaker with two utterances is in the batch.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            unit = functional.normalize(embeddings.float())
            groups = grouped(speakers)
            judged = torch.nonzero(groups.sizes[groups.of] > 1)[:, 0]
            if not len(judged) or len(groups.sizes) < 2:
                return unit.sum() * 0.0
            sums = groups.member.T @ unit
            # Cosines know no length, so that sums serve as means do.
            others = functional.normalize(sums.index_select(0, groups.of) - unit)
            own = (unit * others).sum(dim=1, keepdim=True)
            cosines = torch.where(groups.member > 0, own, unit @ functional.normalize(sums).T)
            return functional.cross_entropy(self.scale * cosines.index_select(0, judged), groups.of[judged])
