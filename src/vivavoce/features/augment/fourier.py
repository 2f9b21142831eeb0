"""Fourier transforms of padded batches whose rows do not depend on each other, to the last bit on the CPU."""

import numpy as np
import scipy.fft
import torch
from torch import Tensor


def block_size(samples: int) -> int:
    """Return the smallest of the sizes ``2^k · (4, 5, 6, 7)`` that holds ``samples``.

    Fast for every transform, at most a quarter too long, and few enough that recordings of similar lengths share one.
    """
    octave = max(0, (max(samples, 1) - 1).bit_length() - 3)
    return max(256, next(part << octave for part in (4, 5, 6, 7, 8) if part << octave >= samples))


def rfft(wave: Tensor) -> Tensor:
    """Return the spectrum ``(batch, samples // 2 + 1)`` of real ``(batch, samples)``."""
    if wave.device.type != "cpu":
        return torch.fft.rfft(wave)
    # MKL's transform of a row depends on the number of rows in the last bits, and a codec makes bits audible;
    # pocketfft's does not, and is as fast.
    return torch.from_numpy(np.asarray(scipy.fft.rfft(wave.numpy(), axis=1)))


def irfft(spectrum: Tensor, size: int) -> Tensor:
    """Return real ``(batch, size)`` of a spectrum ``(batch, size // 2 + 1)``."""
    if spectrum.device.type != "cpu":
        return torch.fft.irfft(spectrum, size)
    return torch.from_numpy(np.asarray(scipy.fft.irfft(spectrum.numpy(), size, axis=1)))


def product(first: Tensor, second: Tensor) -> Tensor:
    """Return the product of two spectra ``(batch, bins)``.

    Written out: torch's own rounds the last few elements of memory otherwise than the rest, and which bin those are
    depends on the number of rows.
    """
    a, b = torch.view_as_real(first), torch.view_as_real(second)
    real = a[..., 0] * b[..., 0] - a[..., 1] * b[..., 1]
    imaginary = a[..., 0] * b[..., 1] + a[..., 1] * b[..., 0]
    return torch.complex(real, imaginary)
