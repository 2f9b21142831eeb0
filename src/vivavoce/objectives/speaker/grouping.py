"""What the losses that compare within a batch share: the batch grouped by speaker, and a learnt scale of cosines."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

# Wan et al. 2018, section 2.1, begin at 10; above the upper bound the loss would only sharpen what is settled.
FIRST_SCALE = 10.0
MOST_SCALE = 100.0


class Groups(NamedTuple):
    """A batch grouped by speaker."""

    member: Tensor  # (batch, speakers) 1 where the utterance is the speaker's, else 0
    of: Tensor  # (batch,) number of each utterance's speaker

    @property
    def sizes(self) -> Tensor:
        """Utterances of each speaker, ``(speakers,)``."""
        return self.member.sum(dim=0)


def grouped(speakers: Tensor) -> Groups:
    """Group labels ``(batch,)`` by speaker."""
    names, of = speakers.unique(return_inverse=True)
    return Groups(functional.one_hot(of, len(names)).float(), of)


class ComparingLoss(nn.Module):
    """A loss of scaled cosines between embeddings and the centroids of a batch.

    The scale w > 0 is learnt as its logarithm. The offset b of the papers is left out: it cancels in the softmax.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied with."""
        return self.log_scale.exp().clamp(max=MOST_SCALE)
