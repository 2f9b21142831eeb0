"""Windows, mel filters and cosine transform as Kaldi defines them (``feature-window.cc``, ``mel-computations.cc``).

Other toolkits' mel filters, which are straight on the axis in Hz, stand beside Kaldi's.
"""

import math
from typing import Literal

import torch
from torch import Tensor

WindowName = Literal["povey", "hamming", "hanning"]


def analysis_window(name: WindowName, size: int) -> Tensor:
    """Return Kaldi's analysis window ``(size,)``, float64; ``povey`` is a Hann window to the power 0.85."""
    angle = 2 * math.pi * torch.arange(size, dtype=torch.float64) / (size - 1)
    if name == "hamming":
        return 0.54 - 0.46 * torch.cos(angle)
    hanning = 0.5 - 0.5 * torch.cos(angle)
    return hanning if name == "hanning" else hanning.clamp(min=0) ** 0.85


def mel_filters(mels: int, fft_size: int, rate_hz: float, low_hz: float, high_hz: float) -> Tensor:
    """Return Kaldi's triangular filters ``(fft_size // 2 + 1, mels)``, float64; triangles are straight on the mel axis.

    The mel scale is ``1127 ln(1 + f / 700)``; the bin at the Nyquist frequency has no weight, as in Kaldi.
    """
    edges = torch.linspace(_mel(low_hz), _mel(high_hz), mels + 2, dtype=torch.float64)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    bins = torch.arange(fft_size // 2 + 1, dtype=torch.float64) * rate_hz / fft_size
    at = (1127.0 * torch.log1p(bins / 700.0))[:, None]
    rising, falling = (at - left) / (centre - left), (right - at) / (right - centre)
    weights = torch.minimum(rising, falling).clamp(min=0)
    weights[-1] = 0
    return weights


def hz_filters(mels: int, fft_size: int, rate_hz: float, low_hz: float, high_hz: float, *, even: bool) -> Tensor:
    """Return triangular filters ``(fft_size // 2 + 1, mels)``, float64, whose sides are straight on the axis in Hz.

    Their centres are equally far apart in mels. Filters rise from the centre before to 1, and fall to the centre after
    (torchaudio's ``melscale_fbanks`` with the HTK scale), or, ``even``, as steeply as they rose (SpeechBrain's).
    """
    edges = torch.linspace(_mel(low_hz), _mel(high_hz), mels + 2, dtype=torch.float64)
    edges = 700.0 * torch.expm1(edges / 1127.0)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    at = (torch.arange(fft_size // 2 + 1, dtype=torch.float64) * rate_hz / fft_size)[:, None]
    rising = (at - left) / (centre - left)
    falling = 2 - rising if even else (right - at) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0)


def cosine_transform(mels: int, ceps: int, lifter: float) -> Tensor:
    """Return the orthonormal DCT-II times Kaldi's cepstral lifter, ``(mels, ceps)``, float64."""
    order = torch.arange(ceps, dtype=torch.float64)[None, :]
    middle = torch.arange(mels, dtype=torch.float64)[:, None] + 0.5
    matrix = math.sqrt(2 / mels) * torch.cos(math.pi / mels * middle * order)
    matrix[:, 0] = math.sqrt(1 / mels)
    if lifter > 0:
        matrix = matrix * (1 + 0.5 * lifter * torch.sin(math.pi * order / lifter))
    return matrix


def _mel(hz: float) -> float:
    return 1127.0 * math.log1p(hz / 700.0)
