"""Regression deltas: how features change from frame to frame, on padded batches."""

import torch
from torch import Tensor

from vivavoce.signal.framing import masked

# Two frames either side, as in HTK (DELTAWINDOW) and Kaldi (--delta-window): 50 ms at a shift of 10 ms.
WINDOW = 2


def with_deltas(features: Tensor, lengths: Tensor, order: int, window: int = WINDOW) -> Tensor:
    """Append the deltas of orders 1 to ``order`` to each frame.

    The first order is the slope of the least-squares line through ``2 · window + 1`` frames,
    ``Σ θ (c[t+θ] - c[t-θ]) / 2 Σ θ²`` for θ from 1 to the window (HTK Book, section 5.9). The second order applies the
    same slope twice. As in Kaldi (``feature-functions.cc``), both are filters over the features themselves, whose first
    and last frames are repeated beyond the ends; HTK repeats the deltas' instead, which differs near the ends only.

    Args:
        features: ``(batch, frames, channels)``.
        lengths: frames of each item, ``(batch,)``; what lies behind them is never looked at.
        order: 0 returns the features as they are.
        window: frames either side.

    Returns:
        ``(batch, frames, (order + 1) · channels)``, zero behind each item's end.
    """
    if not features.shape[1]:
        return features.new_zeros(features.shape[0], 0, (order + 1) * features.shape[2])
    features = masked(features, lengths)
    parts = [features]
    for number, kernel in enumerate(delta_kernels(order, window)[1:], start=1):
        reach = len(kernel) // 2
        held = _held(features, lengths, reach)
        slices = [held[:, at : at + features.shape[1]] for at in range(len(kernel))]
        total = torch.zeros_like(features)
        # The weights sum to 0 and mirror each other: taken in pairs, a constant gives exactly 0.
        for step in range(1, reach + 1):
            after, before = slices[reach + step], slices[reach - step]
            pair = after - before if number % 2 else (after - features) + (before - features)
            total = total + kernel[reach + step] * pair
        parts.append(masked(total, lengths))
    return torch.cat(parts, dim=2)


def delta_kernels(order: int, window: int = WINDOW) -> list[list[float]]:
    """Return the filters of orders 0 to ``order``, each of odd size, to be slid over the frames (not flipped)."""
    norm = 2 * sum(step * step for step in range(1, window + 1))
    slope = [step / norm for step in range(-window, window + 1)]
    kernels = [[1.0]]
    for _ in range(order):
        last = kernels[-1]
        wider = [0.0] * (len(last) + 2 * window)
        for at, value in enumerate(last):
            for step, weight in enumerate(slope):
                wider[at + step] += value * weight
        kernels.append(wider)
    return kernels


def _held(features: Tensor, lengths: Tensor, reach: int) -> Tensor:
    """Repeat each item's first and last frame, ``(batch, frames + 2 · reach, channels)``."""
    at = torch.arange(-reach, features.shape[1] + reach, device=features.device)
    index = torch.minimum(at.clamp(min=0)[None, :], (lengths - 1).clamp(min=0)[:, None])
    return features.gather(1, index[:, :, None].expand(-1, -1, features.shape[2]))
