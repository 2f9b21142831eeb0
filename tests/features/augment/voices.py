"""Voices that the tests augment."""

import numpy as np
import torch
from torch import Tensor

RATE = 16_000


def syllables(seconds: float = 2.0, seed: int = 0, level: float = 0.05) -> np.ndarray:
    """White noise in irregular syllables, ``(samples,)`` float32: every band has the same envelope."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    points = np.arange(0, samples + RATE // 8, RATE // 8)
    envelope = np.interp(np.arange(samples), points, rng.uniform(0, 1, len(points)) ** 2)
    return (level * envelope * rng.standard_normal(samples)).astype(np.float32)


def batch(*voices: np.ndarray) -> tuple[Tensor, Tensor]:
    """Voices padded with what must never matter, and their lengths."""
    lengths = torch.tensor([len(voice) for voice in voices])
    padded = torch.full((len(voices), int(lengths.max())), 7.0)
    for row, voice in zip(padded, voices, strict=True):
        row[: len(voice)] = torch.from_numpy(voice)
    return padded, lengths


def envelope_lag_ms(before: np.ndarray, after: np.ndarray) -> float:
    """Lag of the amplitude envelope (below some 20 Hz, 1 ms steps) at which both agree best, ms."""
    smooth = np.hanning(401) / np.hanning(401).sum()
    first, second = (np.sqrt(np.convolve(wave.astype(float) ** 2, smooth, "same"))[::16] for wave in (before, after))
    first, second = first - first.mean(), second - second.mean()
    agreement = np.correlate(second, first, "full")
    return float(np.argmax(agreement) - (len(first) - 1))


def waveform_lag_ms(before: np.ndarray, after: np.ndarray) -> float:
    """Lag of the waveform itself, with all frequencies weighted alike (GCC-PHAT, Knapp and Carter 1976), ms."""
    size = 2 * len(before)
    cross = np.conj(np.fft.rfft(before, size)) * np.fft.rfft(after, size)
    strong = np.abs(cross) > 1e-3 * np.abs(cross).max()
    lags = np.fft.irfft(np.where(strong, cross / np.maximum(np.abs(cross), 1e-30), 0), size)
    lag = int(np.argmax(lags))
    return (lag - size if lag > size // 2 else lag) / RATE * 1000
