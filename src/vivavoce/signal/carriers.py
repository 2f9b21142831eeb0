"""The I/Q of a probe's tones in one recording: is each tone its own, what sounds beside it, what moves around it."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
import torch

from vivavoce.signal.iq import (
    IQ_RATE_HZ,
    PASS_HZ,
    Demodulator,
    carrier_level,
    drift_removed,
    gain_removed,
    mean_removed,
)

# One device plays and records; even another device's clock is off by 1 Hz at most at 20 kHz (DESIGN §5: 50 ppm).
OWN_HZ = 1.5
# Foreign lines are sought up to here: half-way to the nearest tone of a probe (200 Hz away).
BESIDE_HZ = 100.0
# A Hann window's side lobes lie 31 dB down, so that a foreign line's are never taken for a tone of its own.
RIGHT_DB = 20.0
# A line keeps one frequency for the whole recording. Sway, mouths and hands are Doppler *bands*: against the mean
# power of the 6 Hz around it the second highest peak of all tones reached 10 dB in 500 simulated live and replayed
# recordings with up to 8 mm of sway; 99 % of recorded ultrasound had 24 dB or more, all 16 (benchmarks/abstention.py).
LINE_DB = 14.0
RING_HZ = 6.0
# Without a mouth's Doppler of its own a weaker line does nothing: lips and chin are at -26 dBc (DESIGN §5).
LEAST_LINE_DBC = -45.0
# Slower than this is the carrier's own neighbourhood: residue of the clock, sway.
SLOWEST_LINE_HZ = 3.0
SLOWEST_MOTION_HZ = 2.0
LEAST_CARRIER = 1e-7


@dataclass(frozen=True)
class Carriers:
    """What the I/Q says of each tone.

    Attributes:
        moving: what moves, relative to each carrier, ``(tones, frames)`` complex at 300 Hz.
        right: the tone asked for is there, not one some Hz beside it, ``(tones,)``.
        line_db: how far the strongest foreign line within 100 Hz stands above its surroundings, ``(tones,)``; -inf
            where there is no peak that is strong enough to matter.
        moving_db: power of what moves between 2 and 70 Hz either side, dBc, ``(tones,)``.
    """

    moving: np.ndarray
    right: np.ndarray
    line_db: np.ndarray
    moving_db: np.ndarray

    @classmethod
    def of(cls, wave: np.ndarray, rate: int, tones_hz: np.ndarray) -> "Carriers":
        """Demodulate ``wave`` ``(samples,)`` at the tones ``(tones,)``; the rate is a multiple of 300 Hz."""
        demodulate = _demodulator(rate)
        lengths = torch.tensor([len(wave)])
        with torch.inference_mode():
            samples = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))[None]
            iq = demodulate(samples, lengths, torch.from_numpy(tones_hz)[None])
            first, last = (int(frame[0]) for frame in demodulate.frame_range(lengths))
            iq = iq[..., first : last + 1]
            moving = _complex(_moving(iq))
        right, line_db = _lines(_complex(iq))
        return cls(moving, right, line_db, _moving_db(moving))

    @property
    def beside(self) -> np.ndarray:
        """Whether a foreign line sounds within 100 Hz of each tone, ``(tones,)``."""
        return self.line_db > LINE_DB


@lru_cache(maxsize=4)
def _demodulator(rate: int) -> Demodulator:
    return Demodulator(rate)


def _complex(iq: torch.Tensor) -> np.ndarray:
    parts = iq[0].double().numpy()
    return parts[:, 0] + 1j * parts[:, 1]


def _moving(iq: torch.Tensor) -> torch.Tensor:
    """Take clock, shared gain and static paths out of I/Q ``(1, tones, 2, frames)``, relative to each carrier."""
    inside = torch.ones(1, iq.shape[3], dtype=torch.bool)
    iq = drift_removed(iq, inside)
    iq = iq / carrier_level(iq, inside).clamp(min=LEAST_CARRIER)[:, :, None, None]
    shares = torch.full((1, iq.shape[1]), 1 / iq.shape[1], dtype=iq.dtype)
    return mean_removed(gain_removed(iq, inside, shares), inside)


def _moving_db(moving: np.ndarray) -> np.ndarray:
    """Power of ``(tones, frames)`` between 2 and 70 Hz either side of each carrier, dB, ``(tones,)``."""
    frames = moving.shape[1]
    lines = np.abs(np.asarray(scipy.fft.fft(moving, axis=1))) ** 2
    away = np.abs(np.fft.fftfreq(frames, 1 / IQ_RATE_HZ))
    seen = lines[:, (away >= SLOWEST_MOTION_HZ) & (away <= PASS_HZ)].sum(axis=1) / frames**2
    return 10 * np.log10(seen + 1e-12)


def _lines(iq: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tell of each tone ``(tones, frames)`` whether it is there, and how a foreign line beside it stands out, dB."""
    frames = iq.shape[1]
    window = np.hanning(frames + 2)[1:-1]
    size = 2 * frames
    power = np.abs(np.asarray(scipy.fft.fft(iq * (window / window.sum()), n=size, axis=1))) ** 2
    power, freqs = np.fft.fftshift(power, axes=1), np.fft.fftshift(np.fft.fftfreq(size, 1 / IQ_RATE_HZ))
    away = np.abs(freqs)
    peaks = np.zeros(power.shape, dtype=bool)
    peaks[:, 1:-1] = (power[:, 1:-1] >= power[:, :-2]) & (power[:, 1:-1] > power[:, 2:])
    # The main lobe of a Hann window reaches two cycles either side; the ring lies just outside of it.
    lobe_hz = 2.2 * IQ_RATE_HZ / frames
    near = away <= BESIDE_HZ
    least = power[:, near].max(axis=1) * 10 ** (-RIGHT_DB / 10)
    own = np.where(peaks & (away <= OWN_HZ), power, 0.0).max(axis=1)
    matters = power > np.maximum(own, least)[:, None] * 10 ** (LEAST_LINE_DBC / 10)
    foreign = peaks & matters & near & (away > max(SLOWEST_LINE_HZ, lobe_hz))
    ring = _ring(power, away > max(OWN_HZ, lobe_hz), lobe_hz * size / IQ_RATE_HZ, size / IQ_RATE_HZ)
    stands = np.where(foreign, power / np.maximum(ring, 1e-30), 0.0).max(axis=1)
    with np.errstate(divide="ignore"):
        return own > least, 10 * np.log10(stands)


def _ring(power: np.ndarray, counted: np.ndarray, lobe: float, bins_per_hz: float) -> np.ndarray:
    """Mean power 6 Hz wide on the louder side of each bin, outside of its main lobe of ``lobe`` bins.

    Only the bins that are ``counted`` ``(bins,)`` make the mean: the carrier itself is no surroundings.
    """
    inner = int(np.ceil(lobe))
    outer = inner + max(1, round(RING_HZ * bins_per_hz))
    at = np.arange(power.shape[1]) + outer

    def sides(values: np.ndarray) -> np.ndarray:
        total = np.cumsum(np.pad(values, ((0, 0), (outer + 1, outer))), axis=1)
        below, above = total[:, at - inner] - total[:, at - outer], total[:, at + outer] - total[:, at + inner]
        return np.stack([below, above])

    return np.max(sides(power * counted) / np.maximum(sides(counted[None].astype(float)), 1), axis=0)
