"""Synthesised noise: white, pink, speech-shaped, and babble, each item from its own random stream."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vivavoce.features.augment.base import RATE_HZ
from vivavoce.features.augment.fourier import irfft, rfft

NoiseKind = Literal["white", "pink", "speech", "babble"]
# Long-term average speech spectrum, men and women together: third-octave centre in Hz and level in dB
# (Byrne et al. 1994, "An international comparison of long-term average speech spectra", table II).
LTASS = (
    *((63, 38.6), (80, 43.5), (100, 54.4), (125, 57.7), (160, 56.8), (200, 60.2), (250, 60.3), (315, 59.0)),
    *((400, 62.1), (500, 62.1), (630, 60.5), (800, 56.8), (1000, 53.7), (1250, 53.0), (1600, 52.0), (2000, 48.7)),
    *((2500, 48.1), (3150, 46.8), (4000, 45.6), (5000, 44.5), (6300, 44.3), (8000, 43.7)),
)
PINK_FROM_HZ = 20.0
# Each talker of babble: a level that wanders by 8 dB (the spread of speech in 1/8 s) at syllable rate, below 4 Hz.
TALKERS = (3, 8)
SPREAD_DB = 8.0
STEP = RATE_HZ // 8


def synthesise(kinds: Sequence[NoiseKind], rngs: Sequence[np.random.Generator], size: int, like: Tensor) -> Tensor:
    """Return Gaussian noise ``(batch, size)`` of one kind an item, periodic in ``size``, of no particular level."""
    shapes = torch.from_numpy(np.stack([_shape(kind, size) for kind in kinds])).to(like.device)
    steady = np.array([kind != "babble" for kind in kinds])
    spectrum = like.new_zeros(len(kinds), size // 2 + 1, dtype=torch.complex64)
    rows = np.flatnonzero(steady)
    if len(rows):  # white noise has a white spectrum: no need to go there from time
        drawn = np.stack([rngs[row].standard_normal(2 * (size // 2 + 1), dtype=np.float32) for row in rows.tolist()])
        spectrum[torch.from_numpy(rows)] = torch.from_numpy(drawn.view(np.complex64)).to(like.device)
    rows = np.flatnonzero(~steady)
    if len(rows):
        spectrum[torch.from_numpy(rows)] = rfft(_modulated([rngs[row] for row in rows.tolist()], size).to(like.device))
    return irfft(spectrum.mul_(shapes), size)


def _modulated(rngs: Sequence[np.random.Generator], size: int) -> Tensor:
    """White noise with the modulation of several talkers, ``(batch, size)``.

    The sum of independent noises with envelopes e_k is, as a random process, one noise with the envelope √Σ e_k²
    (modulated speech-shaped noise after Dreschler et al. 2001, "ICRA noises").
    """
    points = size // STEP + 2
    out = np.empty((len(rngs), size), dtype=np.float32)
    coarse = np.arange(points) * STEP
    for row, rng in zip(out, rngs, strict=True):
        talkers = rng.integers(*TALKERS, endpoint=True)
        power = (10 ** (SPREAD_DB / 10 * rng.standard_normal((talkers, points)))).sum(axis=0)
        envelope = np.interp(np.arange(size), coarse, np.sqrt(power / talkers))
        np.multiply(rng.standard_normal(size, dtype=np.float32), envelope, out=row, casting="same_kind")
    return torch.from_numpy(out)


@lru_cache(maxsize=64)
def _shape(kind: NoiseKind, size: int) -> np.ndarray:
    """Amplitude of each bin, ``(size // 2 + 1,)`` float32; nothing at 0 Hz."""
    hertz = np.fft.rfftfreq(size, 1 / RATE_HZ)
    hertz[0] = hertz[1]
    if kind == "white":
        shape = np.ones_like(hertz)
    elif kind == "pink":
        shape = 1 / np.sqrt(np.maximum(hertz, PINK_FROM_HZ))
    else:
        centres, levels_db = np.array(LTASS, dtype=float).T
        density_db = levels_db - 10 * np.log10(centres)  # a third octave is as wide as its centre is high
        octaves_below = np.maximum(np.log2(centres[0] / hertz), 0)
        shape = 10 ** ((np.interp(np.log(hertz), np.log(centres), density_db) - 18 * octaves_below) / 20)
    shape[0] = 0
    return shape.astype(np.float32)
