"""Context-aware masking: a convolution whose channels are weighted by what the utterance and the segment are like.

Source: Wang et al. 2023, "CAM++: A fast and efficient network for speaker verification using context-aware masking",
section 2.3 and equations 1-4.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

SEGMENT_FRAMES = 100  # of one local context; section 2.3


class Segments(NamedTuple):
    """Which frames are an utterance's own, and how many in all and in each segment; at least 1, so as to divide by."""

    kept: Tensor | None  # (batch, 1, frames) 1 or 0; None: all
    own: Tensor  # (batch | 1, 1, segments)
    total: Tensor  # (batch | 1, 1, 1)

    @classmethod
    def of(cls, x: Tensor, mask: Tensor | None) -> "Segments":
        """Count for ``(batch, channels, frames)`` with ``mask`` ``(batch, frames)``."""
        kept = None if mask is None else mask[:, None, :].to(x.dtype)
        own = _segment_sums(x.new_ones(1, 1, x.shape[2]) if kept is None else kept)
        return cls(kept, own.clamp(min=1), own.sum(dim=2, keepdim=True).clamp(min=1))


class ContextMasking(nn.Module):
    """Dilated convolution times a gate drawn from the utterance's mean plus the segment's mean.

    The gate is the same for all frames of a segment, so it is computed once a segment.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        self.local = nn.Conv1d(channels_in, channels_out, kernel, dilation=dilation, padding=padding, bias=False)
        self.squeeze = nn.Conv1d(channels_in, channels_in // 2, 1)
        self.excite = nn.Conv1d(channels_in // 2, channels_out, 1)

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        """Map ``(batch, channels_in, frames)``, finite where padded, to ``(batch, channels_out, frames)``."""
        x = x if segments.kept is None else x * segments.kept
        sums = _segment_sums(x)
        context = sums / segments.own + sums.sum(dim=2, keepdim=True) / segments.total
        gate = self.excite(self.squeeze(context).relu()).sigmoid()
        spread = gate[:, :, :, None].expand(-1, -1, -1, SEGMENT_FRAMES).flatten(2)
        return self.local(x) * spread[:, :, : x.shape[2]]


def _segment_sums(x: Tensor) -> Tensor:
    """Sum ``(batch, channels, frames)`` over each segment, ``(batch, channels, ceil(frames / 100))``."""
    segments = -(-x.shape[2] // SEGMENT_FRAMES)
    if torch.compiler.is_compiling():
        segments += 1  # an empty one: exporting takes a size of 1 for a constant, and short recordings have one segment
    padded = functional.pad(x, (0, segments * SEGMENT_FRAMES - x.shape[2]))
    return padded.unflatten(2, (segments, SEGMENT_FRAMES)).sum(dim=3)
