"""Lengths, masks and frames of padded batches."""

import torch
from torch import Tensor

from vivavoce.errors import UserError

# Half and twice the speed are no voice of anybody's any more.
SPEED_RANGE = (0.5, 2.0)
# The grid of every feature of the package: frame t is centred at 5 ms + 10 ms · t. Only the voice front ends that other
# toolkits' weights expect lie beside it, and the echo then keeps the frames nearest to theirs.
FRAME_SHIFT_S = 0.010
VOICE_RATE_HZ = 16_000


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Return ``(batch, size)`` bool, true where an item still has content."""
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


def masked(values: Tensor, lengths: Tensor) -> Tensor:
    """Set ``(batch, time)`` or ``(batch, time, channels)`` to zero behind each item's end, whatever was there."""
    # On the CPU only the part where something may end is looked at; elsewhere finding it would cost a synchronisation,
    # and a graph that is being exported must not depend on the lengths at hand.
    whole = 0
    if values.device.type == "cpu" and len(lengths) and not torch.compiler.is_compiling():
        whole = min(max(0, int(lengths.min())), values.shape[1])
    mask = length_mask(lengths - whole, values.shape[1] - whole)
    if values.dim() == 3:
        mask = mask[:, :, None]
    rest = torch.where(mask, values[:, whole:], torch.zeros((), dtype=values.dtype, device=values.device))
    return torch.cat([values[:, :whole], rest], dim=1) if whole else rest


def voice_samples(samples: Tensor | int, rate: int) -> Tensor | int:
    """Return how many samples remain at 16 kHz: ``ceil(samples · 16000 / rate)``."""
    return -(-samples * VOICE_RATE_HZ // rate)


def grid_frames(samples: Tensor | int, rate: int) -> Tensor | int:
    """Return the number of frames on the common 10 ms grid (Kaldi's rule for ``snip_edges=False`` at 16 kHz)."""
    shift = round(FRAME_SHIFT_S * VOICE_RATE_HZ)
    return (voice_samples(samples, rate) + shift // 2) // shift


def sped_rate(rate: int, speed: float) -> int:
    """Return the rate in Hz as which a recording at ``rate`` is read to go ``speed`` times faster.

    Raises:
        UserError: the speed lies outside 0.5 to 2, or does not give a whole rate (steps of 0.01 always do at 16, 44.1
            and 48 kHz).
    """
    sped = round(rate * speed)
    if not SPEED_RANGE[0] <= speed <= SPEED_RANGE[1] or abs(sped - rate * speed) > 1e-3:
        raise UserError(
            f"A recording at {rate} Hz cannot be sped up {speed:g} times; take a speed from 0.5 to 2 in steps of 0.01."
        )
    return sped


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


def mirrored(index: Tensor, lengths: Tensor) -> Tensor:
    """Fold sample indices into ``[0, length)`` around the end samples, as torch's "reflect": ``-1 → 1``.

    Args:
        index: ``(batch, positions)`` int64, may lie outside.
        lengths: ``(batch,)`` int64; an item of one sample, or none, folds to 0.

    Returns:
        ``(batch, positions)`` int64.
    """
    last = (lengths - 1).clamp(min=0)[:, None]
    period = (2 * last).clamp(min=1)
    folded = torch.remainder(index, period)
    return torch.minimum(folded, period - folded).clamp(max=last)
