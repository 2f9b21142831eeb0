"""Log-Doppler windows and pulse-pair motion cues of held I/Q ``(batch, tones, 2, positions)``.

Feature frame t is centred between two I/Q positions, so Doppler windows have an even number of positions, and windows
over quantities that live between positions (differences, lag-one products) an odd number.
"""

import math

import torch
from torch import Tensor, nn

from vivavoce.signal.framing import FRAME_SHIFT_S
from vivavoce.signal.iq import IQ_RATE_HZ

# I/Q positions from one feature frame to the next; the frame's centre lies 1.5 positions (5 ms) after I/Q frame 3 t.
STEP = round(FRAME_SHIFT_S * IQ_RATE_HZ)
# First and second differences of the I/Q around the middle between two positions: (offset in positions, coefficient).
# A span of 10 ms sees fast gestures (gain 1 at 50 Hz), one of 30 ms slow ones (17 Hz: lower lip at p99, DESIGN §5).
DIFFERENCES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((-1.5, -0.5), (1.5, 0.5)),
    ((-4.5, -0.5), (4.5, 0.5)),
    ((-1.5, 0.25), (-0.5, -0.25), (0.5, -0.25), (1.5, 0.25)),
    ((-4.5, 0.25), (-0.5, -0.25), (0.5, -0.25), (4.5, 0.25)),
)
# Positions that the widest difference needs either side of the two in its middle.
REACH = 4


def window_size(window_ms: float) -> int:
    """Return the even number of I/Q positions nearest to a window of ``window_ms``."""
    return 2 * max(1, math.floor(window_ms * IQ_RATE_HZ / 2000 + 0.5))


def doppler_bins(size: int, max_doppler_hz: float, dropped: int) -> list[int]:
    """Return a window's signed DFT bins within ``±max_doppler_hz``, without the carrier and ``dropped`` beside it."""
    highest = math.floor(max_doppler_hz * size / IQ_RATE_HZ)
    return [k for k in range(-highest, highest + 1) if abs(k) > dropped]


def spectrum_taps(sizes: list[int], bins: list[list[int]], longest: int) -> Tensor:
    """Return Hann-windowed complex DFTs as real filters ``(2 · all bins, 2, longest)``.

    A line at 0 dBc in the middle of a bin gives power 1. All windows share their middle.
    """
    rows = []
    for size, at in zip(sizes, bins, strict=True):
        lag = torch.arange(size, dtype=torch.float64) + 0.5 - size / 2
        window = (1 + torch.cos(2 * math.pi * lag / size)) / size
        angle = -2 * math.pi * torch.tensor(at, dtype=torch.float64)[:, None] * lag / size
        real, imag = torch.cos(angle) * window, torch.sin(angle) * window
        margin = (longest - size) // 2
        rows.append(nn.functional.pad(torch.stack([real, imag], dim=1), (margin, margin)))
    lines = torch.cat(rows)
    real, imag = lines[:, 0], lines[:, 1]
    return torch.cat([torch.stack([real, -imag], dim=1), torch.stack([imag, real], dim=1)]).float()


def smoother(size: int, longest: int) -> Tensor:
    """Return a Hann window over ``size - 1`` of ``longest - 1`` middles, sum 1, as a filter ``(1, 1, longest - 1)``."""
    lag = torch.arange(size - 1, dtype=torch.float64) + 1 - size / 2
    window = (1 + torch.cos(2 * math.pi * lag / size)) / size
    margin = (longest - size) // 2
    return nn.functional.pad(window / window.sum(), (margin, margin)).float()[None, None]


def smoothed(values: Tensor, taps: Tensor) -> Tensor:
    """Average over each feature frame's windows.

    Args:
        values: ``(batch, channels, middles)``.
        taps: ``(windows, 1, longest - 1)``.

    Returns:
        ``(batch, channels, windows, frames)``.
    """
    batch, channels = values.shape[:2]
    rows = nn.functional.conv1d(values.reshape(batch * channels, 1, -1), taps, stride=STEP)
    return rows.view(batch, channels, *rows.shape[1:])


def line_power(held: Tensor, taps: Tensor) -> Tensor:
    """Return the power in each Doppler bin and feature frame, ``(batch, tones, bins, frames)``."""
    batch, tones = held.shape[:2]
    lines = nn.functional.conv1d(held.reshape(batch * tones, 2, -1), taps, stride=STEP)
    return lines.view(batch, tones, 2, -1, lines.shape[2]).square().sum(dim=2)


def difference(iq: Tensor, taps: tuple[tuple[float, float], ...], reach: int = REACH) -> Tensor:
    """Return a difference at every middle with ``reach`` positions either side, ``(batch, tones, 2, middles)``."""
    middles = iq.shape[3] - 1 - 2 * reach
    # The first such middle lies half a position after position ``reach``.
    starts = [(round(reach + 0.5 + offset), coefficient) for offset, coefficient in taps]
    return torch.stack([coefficient * iq[..., at : at + middles] for at, coefficient in starts]).sum(dim=0)


def tone_mean(power: Tensor, weights: Tensor) -> Tensor:
    """Average ``(batch, tones, ...)`` over tones with ``weights`` ``(batch, tones)``."""
    return torch.einsum("bk...,bk->b...", power, weights)


def pulse_pairs(iq: Tensor, weights: Tensor, lag: int = 1) -> Tensor:
    """Return the product at ``lag`` positions, real and imaginary, and the energy, ``(batch, 3, positions - lag)``.

    Averaged over the tones, the product is the pulse-pair estimate of a Doppler frequency (Kasai et al. 1985): all
    tones see the same motion, so their products add up where their I/Q, each with its own path phase, would not.
    """
    now, then = iq[..., lag:], iq[..., :-lag]
    real = (now * then).sum(dim=2)
    imag = now[:, :, 1] * then[:, :, 0] - now[:, :, 0] * then[:, :, 1]
    energy = iq.square().sum(dim=2)
    energy = 0.5 * (energy[..., lag:] + energy[..., :-lag])
    return tone_mean(torch.stack([real, imag, energy], dim=2), weights)
