"""Measures a probe in a recording, simulated or real: carrier, moving echo, sidebands, noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.signal

DOPPLER_HZ = 70.0  # half width of the band in which a mouth's echo lies (DESIGN §5: 54 Hz at most)
STOP_HZ = 130.0  # what a neighbour 200 Hz away has on this side of its own Doppler band is kept out
REJECTION_DB = 100.0
FACTOR_RATE_HZ = 300  # divides 44.1 and 48 kHz
NOISE_OFF_HZ = 90.0  # noise is read this far from every tone, beyond Doppler
NOISE_WITHIN_HZ = 600.0


@dataclass(frozen=True)
class ProbeLevels:
    """Carrier of all tones together in dBFS (RMS); moving part (mean over tones) and noise density against it."""

    carrier_dbfs: float
    dynamic_dbc: float
    noise_dbc_hz: float


def tone_factor(wave: np.ndarray, rate: int, tone_hz: float) -> np.ndarray:
    """Complex factor of one tone at 300 Hz, ±70 Hz wide, less the filter's ends: (samples,) to (frames,)."""
    low = _low_pass(rate)
    turned = wave * np.exp(-2j * np.pi * tone_hz / rate * np.arange(len(wave)))
    step = rate // FACTOR_RATE_HZ
    whole = np.asarray(scipy.signal.upfirdn(low, turned, down=step))
    first, last = -(-(len(low) - 1) // step), (len(wave) - 1) // step
    return 2 * whole[first : last + 1]


def _low_pass(rate: int) -> np.ndarray:
    """Kaiser-windowed sinc: passes ±70 Hz, stops 100 dB down from 130 Hz (Kaiser 1974: length and beta)."""
    transition = 2 * np.pi * (STOP_HZ - DOPPLER_HZ) / rate
    half = int(np.ceil((REJECTION_DB - 7.95) / (2.285 * transition) / 2))
    edge = (STOP_HZ + DOPPLER_HZ) / rate
    places = np.arange(-half, half + 1)
    return edge * np.sinc(edge * places) * np.kaiser(2 * half + 1, 0.1102 * (REJECTION_DB - 8.7))


def split_static(factor: np.ndarray) -> tuple[complex, np.ndarray]:
    """Split a tone's factor (frames,) into what stands still and what moves.

    The clock offset between player and recorder, which turns even a still scene, is found and taken out first.
    """
    size = 1 << int(np.ceil(np.log2(16 * len(factor))))
    lines = np.log(np.abs(np.fft.fft(factor * np.hanning(len(factor)), size)) + 1e-30)
    peak = int(np.argmax(lines))
    before, top, after = lines[peak - 1], lines[peak], lines[(peak + 1) % size]
    curve = before - 2 * top + after
    # A parabola through the logarithms of three lines: the Hann window's main lobe is one to 1e-4 of its width.
    offset = (peak + (0.5 * (before - after) / curve if curve else 0.0)) / size
    still = factor * np.exp(-2j * np.pi * offset * np.arange(len(factor)))
    return complex(still.mean()), still - still.mean()


def probe_levels(wave: np.ndarray, rate: int, tones_hz: Sequence[float]) -> ProbeLevels:
    """Measure the probe of a recording (samples,) in [−1, 1]; ``tones_hz`` are its tones.

    Moving part: power within ±70 Hz of a tone that does not stand still over the recording, against the tone.
    """
    parts = [split_static(tone_factor(wave, rate, tone)) for tone in tones_hz]
    carrier = sum(abs(still) ** 2 for still, _ in parts) / 2
    moving = [float(np.mean(np.abs(moves) ** 2)) / abs(still) ** 2 for still, moves in parts]
    return ProbeLevels(
        carrier_dbfs=float(10 * np.log10(carrier)),
        dynamic_dbc=float(10 * np.log10(sum(moving) / len(moving))),
        noise_dbc_hz=noise_density_db(wave, rate, tones_hz) - float(10 * np.log10(carrier)),
    )


def noise_density_db(wave: np.ndarray, rate: int, tones_hz: Sequence[float]) -> float:
    """Median one-sided density near the tones but beyond their Doppler bands, dB full scale (RMS) per Hz."""
    hertz, density = scipy.signal.welch(wave, rate, window="blackmanharris", nperseg=min(len(wave), rate // 8))
    apart = np.abs(hertz[:, None] - np.asarray(tones_hz)).min(axis=1)
    return float(10 * np.log10(np.median(density[(apart > NOISE_OFF_HZ) & (apart < NOISE_WITHIN_HZ)]) + 1e-30))


def sideband_dbc(wave: np.ndarray, rate: int, tone_hz: float, offset_hz: float) -> float:
    """Level of the line ``offset_hz`` beside a tone against the tone, dB; Blackman-Harris window."""
    window = scipy.signal.get_window("blackmanharris", len(wave))
    time = np.arange(len(wave)) / rate

    def line(hertz: float) -> float:
        return float(np.abs(np.sum(wave * window * np.exp(-2j * np.pi * hertz * time))))

    return float(20 * np.log10(line(tone_hz + offset_hz) / line(tone_hz)))
