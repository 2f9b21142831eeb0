"""Recordings made of a probe and noise."""

import numpy as np

from vivavoce.signal.probe import Probe


def recorded(probe: Probe, rate: int, seconds: float, level_db: float = -20, noise_db: float = -80, seed: int = 0):
    """The probe at ``level_db`` re what the phone plays, in white noise of ``noise_db`` dBFS RMS."""
    samples = round(rate * seconds)
    noise = np.random.default_rng(seed).normal(size=samples) * 10 ** (noise_db / 20)
    return probe.waveform(rate, samples) * 10 ** (level_db / 20) + noise


def speech(rate: int, seconds: float, seed: int = 0, level_db: float = -26) -> np.ndarray:
    """Noise below 4 kHz in four syllables a second with a pause behind each; ``(samples,)``."""
    rng = np.random.default_rng(seed)
    samples = round(rate * seconds)
    spectrum = np.fft.rfft(rng.normal(size=samples))
    hertz = np.fft.rfftfreq(samples, 1 / rate)
    spectrum[(hertz < 150) | (hertz > 3800)] = 0
    time_s = np.arange(samples) / rate
    wave = np.fft.irfft(spectrum, samples) * np.maximum(0.0, np.sin(2 * np.pi * 2 * time_s)) ** 0.5
    return wave * 10 ** (level_db / 20) / max(float(np.sqrt(np.mean(wave**2))), 1e-12)


def moving(
    probe: Probe, rate: int, seconds: float, swing_mm: float, echo_db: float = -20, noise_db: float = -80, seed: int = 0
) -> np.ndarray:
    """The probe with an echo whose path sways as a hand does, ``swing_mm`` RMS in 0.3–2.5 Hz; ``(samples,)``."""
    rng = np.random.default_rng(seed)
    samples = round(rate * seconds)
    time_s = np.arange(samples) / rate
    wave = rng.normal(size=samples) * 10 ** (noise_db / 20)
    away_m = 0.1 + np.zeros(samples)
    for hz in np.linspace(0.3, 2.5, 12):
        away_m += swing_mm * 1e-3 * np.sqrt(2 / 12) * np.cos(2 * np.pi * hz * time_s + rng.uniform(0, 2 * np.pi))
    for hz, phase in zip(probe.tones_hz, probe.phases, strict=True):
        delayed = 2 * np.pi * hz * (time_s - 2 * away_m / 343) + phase
        direct = np.cos(2 * np.pi * hz * time_s + phase)
        wave += 0.1 * probe.amplitude * (direct + 10 ** (echo_db / 20) * np.cos(delayed))
    return wave
