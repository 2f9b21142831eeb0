"""Judging a recording: does it hold its probe, and can a mouth be seen in it? What cannot be judged gets no answer."""

import math
from dataclasses import dataclass

import numpy as np

from vivavoce.signal.activity import speech_seconds
from vivavoce.signal.carriers import Carriers
from vivavoce.signal.iq import IQ_RATE_HZ
from vivavoce.signal.probe import DOPPLER_HZ
from vivavoce.signal.reasons import Reason, advice_of, label_of
from vivavoce.signal.steadiness import sway_mm
from vivavoce.signal.tones import (
    FLOOR_REACH_HZ,
    SEARCH_LOW_HZ,
    SHORTEST_S,
    WINDOW_S,
    Band,
    band_power,
    highest_hz,
    holds_band,
    median,
    refined,
    steady_tones,
)

# Below 0 dB in the 140 Hz Doppler band the tone stands less than 17 dB above a 3 Hz bin: indistinguishable from hum.
PRESENT_SNR_DB = 0.0
# Lips and chin at 10 cm echo at about -26 dBc (DESIGN §5): with 30 dB they stay above the noise of their whole band.
NEEDED_SNR_DB = 30.0
# 16-bit conversion needs a few codes: under -80 dBFS a tone is about 3 codes high and quantisation is no longer noise.
NEEDED_LEVEL_DBFS = -80.0
# The noisiest phones have -60 dBc/Hz beside a carrier of -17 dBFS RMS (DESIGN §5), which is -14 dB against a full-scale
# sine: more than that, with 2 dB to spare, is another device's.
JAM_DBFS_HZ = -72.0
# Steady noise has the same mean as its median says. What comes and goes, or sweeps, has a higher one.
UNSTEADY_DB = 3.0
# A hand that passes at 1 m/s shifts 20 kHz by 117 Hz; beyond this no motion near a phone is heard.
HAND_HZ = 150.0
FULL_SCALE = 0.999
CLIPPED_SHARE = 0.01
# Two tones of eight with a line beside them are no chance: of 800 recordings without a foreign set none had one.
FOREIGN_TONES = 2
# A second of speech holds three or four syllables; less says nothing of whether they match a mouth.
NEEDED_SPEECH_S = 1.0
# The mouth's echo falls from -26 dBc at 10 cm by 12 dB per doubling of the distance (DESIGN §5): -38 dBc at 20 cm.
# Where the noise would hide even that, an echo in which nothing moves says nothing; where it would not, nothing moves.
FARTHEST_DBC = -38.0
# Below 0 dB the mouth, were it there, would be weaker than the noise of its whole Doppler band.
NEEDED_MOTION_DB = 0.0
# In 1900 simulated recordings sway of 4 mm and more read as more than this in 99 % (175 of 176), sway up to 1 mm never
# did, and a phone on a stand, with the mouth alone moving, did in 1 %; benchmarks/abstention.py has other limits, too.
MOST_SWAY_MM = 1.8


@dataclass(frozen=True)
class ProbeQuality:
    """Whether a recording holds its probe, and whether it can be judged.

    Attributes:
        present: the tones can be told from the noise.
        level_dbfs: level of the median tone relative to a full-scale sine (-inf where there is nothing to measure).
        snr_db: median over tones of tone power against the noise in its ±70 Hz Doppler band, dB.
        reason: what is wrong in plain words, one of `Reason`; empty when a liveness answer can be given.
    """

    present: bool
    level_dbfs: float
    snr_db: float
    reason: str

    @property
    def usable(self) -> bool:
        """The recording is good enough for a liveness answer."""
        return not self.reason

    @property
    def label(self) -> str:
        """The reason in a word or two; empty when the recording is fine."""
        return label_of(self.reason)

    @property
    def advice(self) -> str:
        """One sentence to the user; empty when the recording is fine."""
        return advice_of(self.reason)


def probe_quality(wave: np.ndarray, rate: int, tones_hz: tuple[float, ...] | list[float]) -> ProbeQuality:
    """Judge the probe in a recording: is it there, alone, strong enough, unclipped?

    Args:
        wave: ``(samples,)`` one channel, full scale 1.
        rate: sample rate in Hz.
        tones_hz: the tones that were played; empty where nothing is known of a probe.
    """
    return _judged(wave, rate, tones_hz, None)[0]


def find_probe(wave: np.ndarray, rate: int) -> tuple[tuple[float, ...], ProbeQuality]:
    """Detect the tones of a recording and judge them: `detect_tones` and `probe_quality` in one pass.

    Args:
        wave: ``(samples,)`` one channel, full scale 1.
        rate: sample rate in Hz.
    """
    tones, band = _found(wave, rate)
    return tones, _judged(wave, rate, tones, band)[0]


def judge_recording(
    wave: np.ndarray, rate: int, tones_hz: tuple[float, ...] | None
) -> tuple[tuple[float, ...], ProbeQuality]:
    """Judge a recording as a whole: its probe, and then whether it has speech, a face near enough, and a still phone.

    Args:
        wave: ``(samples,)`` one channel, full scale 1.
        rate: sample rate in Hz.
        tones_hz: the tones that were played; None where they are not known and must be found.

    Returns:
        The tones in Hz, and the judgement.
    """
    band = None
    if tones_hz is None:
        tones_hz, band = _found(wave, rate)
    quality, carriers = _judged(wave, rate, tones_hz, band)
    if quality.usable:
        reason = _scene(wave, rate, np.asarray(_within(tones_hz, rate)), quality.snr_db, carriers)
        quality = ProbeQuality(quality.present, quality.level_dbfs, quality.snr_db, reason)
    return tuple(tones_hz), quality


def _found(wave: np.ndarray, rate: int) -> tuple[tuple[float, ...], Band | None]:
    if not holds_band(rate) or len(wave) < rate * SHORTEST_S:
        return (), None
    band = band_power(wave, rate)
    return refined(wave, rate, steady_tones(*band)), band


def _within(tones_hz: tuple[float, ...] | list[float], rate: int) -> list[float]:
    return [f for f in tones_hz if SEARCH_LOW_HZ <= f <= highest_hz(rate)]


def _judged(
    wave: np.ndarray, rate: int, tones_hz: tuple[float, ...] | list[float], band: Band | None
) -> tuple[ProbeQuality, Carriers | None]:
    """Judge the probe in a recording whose spectrum may be known already; with its I/Q where that was looked at."""
    nothing = float("-inf")
    if not holds_band(rate):
        return ProbeQuality(False, nothing, nothing, Reason.NO_BAND.value), None
    usable = np.asarray(_within(tones_hz, rate), dtype=np.float64)
    if not len(usable) or len(wave) < rate * SHORTEST_S or not np.any(wave):
        return ProbeQuality(False, nothing, nothing, Reason.ABSENT.value), None
    freqs, power = band_power(wave, rate) if band is None else band
    levels = _levels(freqs, power, usable, len(wave) / rate)
    carriers = Carriers.of(wave, rate, usable) if rate % IQ_RATE_HZ == 0 else None
    there = levels.snr_db >= PRESENT_SNR_DB
    if not there or (carriers is not None and 2 * carriers.right.sum() < len(usable)):
        strange = (carriers is not None and carriers.beside.any()) or len(steady_tones(freqs, power)) > 0
        reason = Reason.WRONG_NONCE if strange else Reason.WEAK if there else Reason.ABSENT
        if not strange and (levels.drowned if there else levels.noise_dbfs_hz >= JAM_DBFS_HZ):
            reason = Reason.JAMMED
        return ProbeQuality(reason is Reason.WEAK, levels.level_dbfs, levels.snr_db, reason.value), carriers
    reason = _weakness(np.asarray(wave), levels, carriers)
    return ProbeQuality(True, levels.level_dbfs, levels.snr_db, reason), carriers


@dataclass(frozen=True)
class _Levels:
    """Medians over the tones: level, SNR against the noise as it mostly is, and against its mean; noise density."""

    level_dbfs: float
    snr_db: float
    mean_snr_db: float
    noise_dbfs_hz: float

    @property
    def drowned(self) -> bool:
        """Too much between the tones, and it is not the phone's own noise."""
        own = self.noise_dbfs_hz < JAM_DBFS_HZ and self.snr_db - self.mean_snr_db < UNSTEADY_DB
        return self.mean_snr_db < NEEDED_SNR_DB and not own


def _weakness(wave: np.ndarray, levels: _Levels, carriers: Carriers | None) -> str:
    if np.mean(np.abs(wave) >= FULL_SCALE) > CLIPPED_SHARE:
        return Reason.CLIPPED.value
    if carriers is not None and carriers.beside.sum() >= FOREIGN_TONES:
        return Reason.SECOND_PROBE.value
    if levels.drowned:
        return Reason.JAMMED.value
    if levels.snr_db < NEEDED_SNR_DB or levels.level_dbfs < NEEDED_LEVEL_DBFS:
        return Reason.WEAK.value
    return ""


def _scene(wave: np.ndarray, rate: int, tones_hz: np.ndarray, snr_db: float, carriers: Carriers | None) -> str:
    """Say why a recording with a good probe cannot be judged; empty where it can."""
    if speech_seconds(wave, rate) < NEEDED_SPEECH_S:
        return Reason.SPEECH.value
    if carriers is None:
        return ""
    # What moves holds the noise, too: as much again of motion makes 3 dB.
    seen = 10 ** ((float(np.median(carriers.moving_db)) + snr_db) / 10) - 1
    if -snr_db > FARTHEST_DBC and seen < 10 ** (NEEDED_MOTION_DB / 10):
        return Reason.FAR.value
    if sway_mm(carriers.moving, tones_hz) > MOST_SWAY_MM:
        return Reason.MOVING.value
    return ""


def _levels(freqs: np.ndarray, power: np.ndarray, tones_hz: np.ndarray, duration_s: float) -> _Levels:
    """Measure the tones ``(tones,)`` in a spectrum ``(windows, bins)``."""
    window_s = min(duration_s / 2, WINDOW_S)
    noise_hz = 1.5 / window_s  # equivalent noise bandwidth of a Hann window
    away = np.abs(freqs[None, :] - tones_hz[:, None])
    # The Hann main lobe (±4 Hz for 0.5 s); it also holds another device's clock (±1 Hz at 20 kHz, DESIGN §5).
    lobes = (away <= 2 / window_s).astype(float)
    tone_db = 10 * np.log10(median(power) @ lobes.T * (freqs[1] - freqs[0]) / noise_hz + 1e-30)
    # Between the tones, outside the Doppler of any; the median of an exponential is ln 2 of its mean.
    between = (away.min(axis=0) >= DOPPLER_HZ + 10) & (away <= FLOOR_REACH_HZ)
    # Hands reach 120 Hz for moments, which the median does not see: the mean looks farther away where there is room.
    farther = between & (away.min(axis=0) >= HAND_HZ)
    typical, mean = [], []
    averaged = power.mean(axis=0)
    for near, far in zip(between, farther, strict=True):
        typical.append(np.median(power[:, near]) / math.log(2) if near.any() else 0.0)
        mean.append(averaged[far if far.any() else near].mean() if near.any() else 0.0)
    # Per hertz, and relative to a full-scale sine.
    typical_db, mean_db = (10 * np.log10(np.asarray(values) / noise_hz + 1e-30) for values in (typical, mean))
    doppler_db = 10 * math.log10(2 * DOPPLER_HZ)
    return _Levels(
        float(np.median(tone_db)),
        float(np.median(tone_db - typical_db)) - doppler_db,
        float(np.median(tone_db - mean_db)) - doppler_db,
        float(np.median(typical_db)),
    )
