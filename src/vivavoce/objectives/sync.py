"""The synchrony loss: a second of voice must find its own echo among all those of the batch.

A symmetric InfoNCE loss (van den Oord et al. 2018, eq. 4; Radford et al. 2021, "CLIP", figure 3) over aligned windows
of two streams, as in audio-visual synchronisation (Chung & Zisserman 2016; Afouras et al. 2020). One batch gives
hundreds of negatives for the price of one matrix product, where each judged pair costs a pass of the head.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# The scale of the cosines is learnt from here; above the upper bound the loss would only sharpen what is settled.
FIRST_SCALE = 10.0
MOST_SCALE = 100.0


class SyncLoss(nn.Module):
    """Cross-entropy of matching each voice window to its echo window, and the other way round."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))

    def forward(self, voice: Tensor, echo: Tensor, lengths: Tensor) -> Tensor:
        """Mean loss in nats of live streams ``(live, channels, frames)`` of which ``lengths`` ``(live,)`` frames count.

        Windows that do not lie wholly in their utterance are left out; the loss is zero where fewer than two remain.
        """
        kept = torch.nonzero(self._whole(lengths, voice.shape[2]))[:, 0]
        voice, echo = (self._windows(stream).index_select(0, kept) for stream in (voice, echo))
        if len(voice) < 2:
            return voice.sum() * 0.0
        scale = self.log_scale.exp().clamp(max=MOST_SCALE)
        cosines = scale * functional.normalize(voice, dim=1) @ functional.normalize(echo, dim=1).T
        own = torch.arange(len(cosines), device=cosines.device)
        return 0.5 * (functional.cross_entropy(cosines, own) + functional.cross_entropy(cosines.T, own))

    def _windows(self, stream: Tensor) -> Tensor:
        """Cut into windows side by side: ``(live · windows, channels · window)``."""
        count = stream.shape[2] // self.window
        cut = stream[:, :, : count * self.window].unflatten(2, (count, self.window))
        return cut.transpose(1, 2).flatten(0, 1).flatten(1)

    def _whole(self, lengths: Tensor, frames: int) -> Tensor:
        ends = (torch.arange(frames // self.window, device=lengths.device) + 1) * self.window
        return (ends[None, :] <= lengths[:, None]).flatten()
