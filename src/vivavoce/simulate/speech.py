"""The voice before it reaches a microphone: to 48 kHz, with its fricatives' own ultrasound, at a level."""

import numpy as np
import scipy.signal
import soxr
from pydantic import Field

from vivavoce.simulate.draws import Settings, Spread, decibels, spread

RATE_HZ = 48_000

FULL_BAND_RATE_HZ = 44_100  # a recording at this rate or above holds its fricatives' ultrasound already
FRAME_S = 0.01
LEAK_FROM_HZ = 17_000.0


class SpeechConfig(Settings):
    """Level and ultrasound of a voice at the phone."""

    level_dbfs: Spread = Field(default=spread(-36, -28, -20), description="active speech level at the phone, dBFS RMS")
    leakage_db_hz: Spread = Field(
        default=spread(-91, -85, -78),
        description="fricatives in 18–22 kHz, 99th percentile of frames, dB/Hz re speech power (DESIGN §5)",
    )


def active_level(wave: np.ndarray, rate: int = RATE_HZ) -> float:
    """RMS (full scale 1) of the 20 ms frames within 30 dB of the loudest, below about 5 kHz; 0 for silence.

    The mean over five samples (a zero at 19.2 kHz of 48) keeps a probe in the wave from counting as speech.
    """
    low = wave[: len(wave) // 5 * 5].reshape(-1, 5).mean(axis=1)
    size = max(1, round(0.02 * rate / 5))
    if len(low) < size:
        return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0
    power = np.mean(np.square(low[: len(low) // size * size].reshape(-1, size), dtype=np.float64), axis=1)
    loud = power[power >= power.max() * 1e-3]
    return float(np.sqrt(loud.mean()))


def at_level(wave: np.ndarray, level_dbfs: float) -> np.ndarray:
    """Scale a voice to an active level in dBFS; silence stays silence."""
    level = active_level(wave)
    return wave if level == 0 else (wave * np.float32(decibels(level_dbfs) / level)).astype(np.float32)


def to_48k(wave: np.ndarray, rate: int) -> np.ndarray:
    """Resample (samples,) of any rate to 48 kHz, float32, of the same duration to the sample."""
    wave = wave.astype(np.float32, copy=False)
    if rate == RATE_HZ:
        return wave
    return np.asarray(soxr.resample(wave, rate, RATE_HZ, quality="HQ"), dtype=np.float32)


def fricative_leakage(
    rng: np.random.Generator, wave: np.ndarray, rate: int, samples: int, density_db_hz: float
) -> np.ndarray:
    """Noise above 17 kHz that follows the fricatives of ``wave``, whose own rate ends below them.

    Args:
        rng: source of randomness.
        wave: the voice at its own ``rate``, (samples at that rate,).
        rate: sample rate of ``wave``, Hz.
        samples: length wanted at 48 kHz.
        density_db_hz: one-sided density of the 99th percentile of frames, dB/Hz against the active speech power.

    Returns:
        (samples,) float32 at 48 kHz, to be added to the voice at the scale of ``wave``.
    """
    # Fricatives are what a voice has in the upper half of its band, up to 8 kHz.
    edge = min(rate / 2, 8000.0) / 2
    high = scipy.signal.sosfilt(scipy.signal.butter(4, edge, "highpass", fs=rate, output="sos"), wave)
    size = max(1, round(FRAME_S * rate))
    power = np.mean(np.square(np.pad(high, (0, -len(high) % size)).reshape(-1, size)), axis=1)
    strongest = np.quantile(power, 0.99)
    if strongest <= 0:
        return np.zeros(samples, dtype=np.float32)
    density = active_level(wave, rate) ** 2 * 10 ** (density_db_hz / 10)
    amplitude = np.sqrt(power / strongest * density * RATE_HZ / 2)
    centres = (np.arange(len(power)) + 0.5) * size / rate * RATE_HZ
    hiss = rng.standard_normal(samples, dtype=np.float32) * np.interp(np.arange(samples), centres, amplitude)
    shape = scipy.signal.butter(4, LEAK_FROM_HZ, "highpass", fs=RATE_HZ, output="sos")
    return np.asarray(scipy.signal.sosfilt(shape, hiss), dtype=np.float32)


def voice_at_48k(rng: np.random.Generator, wave: np.ndarray, rate: int, config: SpeechConfig) -> np.ndarray:
    """Return a recorded voice as a mouth would emit it, 48 kHz float32, its fricatives reaching above 17 kHz."""
    voice = to_48k(wave, rate)
    if rate >= FULL_BAND_RATE_HZ:
        return voice
    return voice + fricative_leakage(rng, wave, rate, len(voice), config.leakage_db_hz.draw(rng))
