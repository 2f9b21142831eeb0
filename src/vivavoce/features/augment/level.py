"""Active speech level: the power of a voice while it speaks, pauses left out (ITU-T P.56, method B)."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from vivavoce.features.augment.base import RATE_HZ

FRAME = RATE_HZ // 100
# ITU-T P.56 (12/2011), clause 7: time constant of the two smoothers, hangover, margin.
SMOOTHING_S = 0.03
HANGOVER_FRAMES = 20
MARGIN_DB = 15.9
_DECAY = math.exp(-FRAME / RATE_HZ / SMOOTHING_S)
_TAPS = 32  # of the smoothers' response; it is below 1e-3 of its peak behind them


def active_power(wave: Tensor, lengths: Tensor) -> Tensor:
    """Return the active speech power of each item, ``(batch,)``, full scale 1; 0 where it is silent.

    P.56 with its envelope sampled every 10 ms: a frame is active where the twice smoothed rectified signal was at
    the threshold in the last 0.2 s, and the threshold lies 15.9 dB below the power of the active part.

    Args:
        wave: ``(batch, samples)`` at 16 kHz, zero behind each item's end.
        lengths: ``(batch,)`` samples, above 0.
    """
    frames = -(-lengths // FRAME)
    count = -(-wave.shape[1] // FRAME)
    cut = functional.pad(wave, (0, count * FRAME - wave.shape[1])).unflatten(1, (count, FRAME))
    energy = cut.square().sum(dim=2).sum(dim=1)
    envelope = _trailing_max(_smoothed(cut.abs().mean(dim=2)))
    envelope = torch.where(torch.arange(count, device=wave.device) < frames[:, None], envelope, -1.0)
    thresholds = envelope.sort(dim=1, descending=True).values
    # Threshold k leaves k + 1 frames active.
    active = (torch.arange(1, count + 1, device=wave.device) * FRAME).minimum(lengths[:, None])
    power = energy[:, None] / active
    below = (power <= thresholds.square() * 10 ** (MARGIN_DB / 10)) & (thresholds > 0)
    # The lowest threshold at which the margin is met; a lone click never meets it and counts as active throughout.
    last = torch.where(below, torch.arange(count, device=wave.device), -1).amax(dim=1)
    last = torch.where(last < 0, frames - 1, last)
    return power.gather(1, last[:, None])[:, 0]


def _smoothed(values: Tensor) -> Tensor:
    """Two cascaded exponential averages of ``(batch, frames)``, as their common impulse response."""
    lag = torch.arange(_TAPS - 1, -1, -1, device=values.device)
    taps = (1 - _DECAY) ** 2 * (lag + 1) * _DECAY**lag
    return (functional.pad(values, (_TAPS - 1, 0)).unfold(1, _TAPS, 1) * taps).sum(dim=2)


def _trailing_max(values: Tensor) -> Tensor:
    return functional.pad(values, (HANGOVER_FRAMES, 0)).unfold(1, HANGOVER_FRAMES + 1, 1).amax(dim=2)
