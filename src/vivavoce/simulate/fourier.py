"""scipy's single-precision FFTs of one axis, typed."""

import numpy as np
import scipy.fft


def fast_size(least: int) -> int:
    """Smallest FFT size from ``least`` on that is fast."""
    return int(scipy.fft.next_fast_len(least) or least)


def rfft(wave: np.ndarray, size: int) -> np.ndarray:
    """Spectrum (…, size // 2 + 1) of real (…, samples), padded with zeros to ``size``; keeps single precision."""
    return np.asarray(scipy.fft.rfft(wave, size))


def irfft(spectrum: np.ndarray, size: int) -> np.ndarray:
    """Real (…, size) of a spectrum (…, size // 2 + 1); keeps single precision."""
    return np.asarray(scipy.fft.irfft(spectrum, size))


def fft(factors: np.ndarray) -> np.ndarray:
    """Spectrum of complex (…, samples); keeps single precision."""
    return np.asarray(scipy.fft.fft(factors))


def frequencies(size: int, rate_hz: float) -> np.ndarray:
    """Frequencies in Hz of the bins of ``rfft``."""
    return np.arange(size // 2 + 1) * (rate_hz / size)
