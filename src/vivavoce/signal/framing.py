"""Lengths, masks and frames of padded batches."""

import torch
from torch import Tensor

# Every feature of the package lives on this grid: frame t is centred at 5 ms + 10 ms · t.
FRAME_SHIFT_S = 0.010
VOICE_RATE_HZ = 16_000


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Return ``(batch, size)`` bool, true where an item still has content."""
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


def masked(values: Tensor, lengths: Tensor) -> Tensor:
    """Set ``(batch, time)`` or ``(batch, time, channels)`` to zero behind each item's end, whatever was there."""
    mask = length_mask(lengths, values.shape[1])
    if values.dim() == 3:
        mask = mask[:, :, None]
    return torch.where(mask, values, torch.zeros((), dtype=values.dtype, device=values.device))


def voice_samples(samples: Tensor | int, rate: int) -> Tensor | int:
    """Return how many samples remain at 16 kHz: ``ceil(samples · 16000 / rate)``."""
    return -(-samples * VOICE_RATE_HZ // rate)


def grid_frames(samples: Tensor | int, rate: int) -> Tensor | int:
    """Return the number of frames on the common 10 ms grid (Kaldi's rule for ``snip_edges=False`` at 16 kHz)."""
    shift = round(FRAME_SHIFT_S * VOICE_RATE_HZ)
    return (voice_samples(samples, rate) + shift // 2) // shift


def reflected(index: Tensor, lengths: Tensor) -> Tensor:
    """Fold sample indices into ``[0, length)`` as Kaldi does: ``-1 → 0``, ``length → length - 1``, again and again.

    Args:
        index: ``(batch, positions)`` int64, may lie outside.
        lengths: ``(batch,)`` int64; an empty item folds to 0.

    Returns:
        ``(batch, positions)`` int64.
    """
    period = 2 * lengths.clamp(min=1)[:, None]
    folded = torch.remainder(index, period)
    return torch.minimum(folded, period - 1 - folded)
