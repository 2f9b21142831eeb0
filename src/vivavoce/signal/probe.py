"""The probe: inaudible tones that the phone plays; drawing them, finding them, judging them in a recording."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from vivavoce.errors import UserError

# Below 18 kHz adults hear the probe, above 20 kHz phones' loudspeakers and anti-alias filters fade (DESIGN §5:
# 0 to -12 dB per kHz above 17 kHz).
PROBE_LOW_HZ = 18_000
PROBE_HIGH_HZ = 20_000
# Doppler of a mouth stays within ±70 Hz of a tone (DESIGN §5: 54 Hz at most at 20 kHz), so 200 Hz never overlaps.
MIN_SPACING_HZ = 200
# All tones lie on one lattice of 100 Hz with a common random offset. Third-order products of the loudspeaker,
# f_i + f_j - f_k, then fall exactly on a tone (a static line, removed with the carrier) or >= 100 Hz away, never into
# the ±70 Hz Doppler band, where freely drawn tones would put about eight spurious lines beside each tone.
LATTICE_HZ = 100

# Where tones are sought: from a little below the probe's band to what 44.1 kHz recordings still hold.
SEARCH_LOW_HZ = 17_000.0
SEARCH_HIGH_HZ = 22_000.0
# 0.5 s Hann windows give 2 Hz bins. A recording under 1 s gets windows of half its length: three of them, overlapping,
# tell a steady tone from a burst.
WINDOW_S = 0.5
# The frequency is then read from one window of up to 2 s, which parts the carrier from slow echoes 1 Hz away.
REFINE_S = 2.0
SHORTEST_S = 0.5
MAX_WINDOWS = 64
# A bin of noise is exponentially distributed: 15 dB above its median happens once in 3e9 windows.
PROMINENCE_DB = 15.0
# Half-width of the surroundings: wide enough that a hand's Doppler (±120 Hz at 1 m/s) does not fill it.
FLOOR_REACH_HZ = 300.0
# A fricative, a chainsaw or a rattle has its peaks elsewhere half a second later; a probe stays. A hand that comes to
# the phone takes 8 dB from the carrier (UltraSense recordings), hence the wide spread.
STEADY_SHARE = 0.75
STEADY_SPREAD_DB = 10.0
# DESIGN §5: a phone's response above 17 kHz falls by 40 dB at most; what is weaker is a by-product.
MAX_BELOW_STRONGEST_DB = 40.0
# Two peaks closer than this are one tone with its Doppler sidebands.
MIN_DISTANCE_HZ = 80.0

# Doppler band (Hz either side) in which noise competes with the echo.
DOPPLER_HZ = 70.0
# Below 0 dB in the 140 Hz Doppler band the tone stands less than 17 dB above a 3 Hz bin: indistinguishable from hum.
PRESENT_SNR_DB = 0.0
# Lips and chin at 10 cm echo at about -26 dBc (DESIGN §5): with 30 dB they stay above the noise of their whole band.
NEEDED_SNR_DB = 30.0
# 16-bit conversion needs a few codes: under -80 dBFS a tone is about 3 codes high and quantisation is no longer noise.
NEEDED_LEVEL_DBFS = -80.0
FULL_SCALE = 0.999
CLIPPED_SHARE = 0.01

NO_PROBE = "no probe in the recording"
FOREIGN = "the tones in the recording are not those of its probe"
CLIPPED = "the recording is clipped"


@dataclass(frozen=True)
class Probe:
    """Tones that a phone plays during one session.

    Attributes:
        tones_hz: frequencies in Hz, ascending.
        phases: phase of each tone in radians at time 0; tone k is ``cos(2π f_k t + phases[k])``.
        level_dbfs: level of all tones together, relative to a full-scale sine.
    """

    tones_hz: tuple[float, ...]
    phases: tuple[float, ...]
    level_dbfs: float

    @property
    def amplitude(self) -> float:
        """Amplitude of each tone (full scale 1), the same for all."""
        return 10 ** (self.level_dbfs / 20) / math.sqrt(len(self.tones_hz))

    def waveform(self, rate: int, samples: int) -> np.ndarray:
        """Return what the phone plays: ``(samples,)`` float32 at ``rate`` Hz."""
        time_s = np.arange(samples) / rate
        angles = 2 * np.pi * np.outer(self.tones_hz, time_s) + np.asarray(self.phases)[:, None]
        return (self.amplitude * np.cos(angles).sum(axis=0)).astype(np.float32)


def draw_probe(
    rng: np.random.Generator,
    tones: int = 8,
    low_hz: int = PROBE_LOW_HZ,
    high_hz: int = PROBE_HIGH_HZ,
    level_dbfs: float = -12.0,
) -> Probe:
    """Draw a session's probe: the nonce that makes yesterday's ultrasound worthless today.

    The tones lie on a 100 Hz lattice with a common offset in whole Hz and at least 200 Hz apart, uniformly over all
    such sets: C(13, 8) patterns × 100 offsets = 128 700, about 2^17 possibilities for the default of 8 tones, before
    the phases. Whole hertz let a player loop one second seamlessly.

    Args:
        rng: source of randomness.
        tones: number of tones.
        low_hz: lowest frequency allowed, Hz.
        high_hz: highest frequency allowed (exclusive), Hz.
        level_dbfs: level of all tones together; at most ``-10·log10(tones)`` (-9 dBFS for 8), so that even all crests
            in one instant stay within full scale.

    Raises:
        UserError: the tones do not fit into the band, or could clip.
    """
    steps_apart = MIN_SPACING_HZ // LATTICE_HZ
    places = (high_hz - low_hz) // LATTICE_HZ
    choices = places - (tones - 1) * (steps_apart - 1)
    if tones < 1 or choices < tones:
        raise UserError(
            f"{tones} probe tones do not fit between {low_hz} and {high_hz} Hz at {MIN_SPACING_HZ} Hz spacing; "
            "ask for fewer tones or a wider band."
        )
    loudest_dbfs = -10 * math.log10(tones)
    if level_dbfs > loudest_dbfs + 1e-9:
        raise UserError(f"{tones} tones at {level_dbfs:g} dBFS can clip; choose at most {loudest_dbfs:.1f} dBFS.")
    steps = np.sort(rng.choice(choices, size=tones, replace=False)) + np.arange(tones) * (steps_apart - 1)
    offset_hz = int(rng.integers(LATTICE_HZ))
    frequencies = low_hz + offset_hz + LATTICE_HZ * steps
    phases = rng.uniform(-np.pi, np.pi, tones)
    return Probe(tuple(float(f) for f in frequencies), tuple(float(p) for p in phases), float(level_dbfs))


@dataclass(frozen=True)
class ProbeQuality:
    """Whether a recording holds its probe, and how well.

    Attributes:
        present: the tones can be told from the noise.
        level_dbfs: level of the median tone relative to a full-scale sine (-inf where there is nothing to measure).
        snr_db: median over tones of tone power against the noise in its ±70 Hz Doppler band, dB.
        reason: what is wrong in plain words; empty when the probe is fine.
    """

    present: bool
    level_dbfs: float
    snr_db: float
    reason: str

    @property
    def usable(self) -> bool:
        """The probe is good enough for a liveness answer."""
        return not self.reason


def detect_tones(wave: np.ndarray, rate: int) -> tuple[float, ...]:
    """Find the steady tones between 17 and 22 kHz, to 0.5 Hz or better.

    A tone stands 15 dB above the median of its surroundings (±300 Hz) and is still there, at the same frequency and
    within 10 dB, in three quarters of the half-second windows.

    Args:
        wave: ``(samples,)`` one channel, full scale 1.
        rate: sample rate in Hz.

    Returns:
        Frequencies in Hz, ascending; empty where the recording has no probe, is shorter than 0.5 s, or has a sample
        rate that holds no ultrasound band.
    """
    return find_probe(wave, rate)[0]


def find_probe(wave: np.ndarray, rate: int) -> tuple[tuple[float, ...], ProbeQuality]:
    """Detect the tones of a recording and judge them: `detect_tones` and `probe_quality` in one pass.

    Args:
        wave: ``(samples,)`` one channel, full scale 1.
        rate: sample rate in Hz.
    """
    if not _holds_band(rate) or len(wave) < rate * SHORTEST_S:
        return (), _judged(wave, rate, (), None)
    band = _band_power(wave, rate)
    tones = _refined(wave, rate, _tones_of(*band))
    return tones, _judged(wave, rate, tones, band)


def probe_quality(wave: np.ndarray, rate: int, tones_hz: tuple[float, ...] | list[float]) -> ProbeQuality:
    """Judge the probe in a recording: is it there, strong enough, unclipped?

    Args:
        wave: ``(samples,)`` one channel, full scale 1.
        rate: sample rate in Hz.
        tones_hz: the tones that were played; empty where nothing is known of a probe.
    """
    return _judged(wave, rate, tones_hz, None)


Band = tuple[np.ndarray, np.ndarray]  # frequencies (bins,) and power (windows, bins)


def _judged(wave: np.ndarray, rate: int, tones_hz: tuple[float, ...] | list[float], band: Band | None) -> ProbeQuality:
    """Judge the probe in a recording whose spectrum may be known already."""
    nothing = float("-inf")
    if not _holds_band(rate):
        return ProbeQuality(False, nothing, nothing, f"the sample rate holds no ultrasound band ({rate} Hz)")
    usable = [f for f in tones_hz if SEARCH_LOW_HZ <= f <= _highest(rate)]
    if not usable or len(wave) < rate * SHORTEST_S or not np.any(wave):
        return ProbeQuality(False, nothing, nothing, NO_PROBE)
    freqs, power = _band_power(wave, rate) if band is None else band
    levels_db, snrs_db = _levels(freqs, power, np.asarray(usable), len(wave) / rate)
    level, snr = float(np.median(levels_db)), float(np.median(snrs_db))
    if snr < PRESENT_SNR_DB:
        others = _tones_of(freqs, power)
        reason = FOREIGN if len(others) else NO_PROBE
        return ProbeQuality(False, level, snr, reason)
    return ProbeQuality(True, level, snr, _weakness(np.asarray(wave), level, snr))


def _weakness(wave: np.ndarray, level_db: float, snr_db: float) -> str:
    if np.mean(np.abs(wave) >= FULL_SCALE) > CLIPPED_SHARE:
        return CLIPPED
    if snr_db < NEEDED_SNR_DB:
        return f"the probe is too weak (SNR {snr_db:.0f} dB, {NEEDED_SNR_DB:.0f} dB needed)"
    if level_db < NEEDED_LEVEL_DBFS:
        return f"the probe is too weak (level {level_db:.0f} dBFS, {NEEDED_LEVEL_DBFS:.0f} dBFS needed)"
    return ""


def _highest(rate: int) -> float:
    # The last 1 % below Nyquist is the anti-alias filter's.
    return min(SEARCH_HIGH_HZ, 0.99 * rate / 2)


def _holds_band(rate: int) -> bool:
    return _highest(rate) >= PROBE_LOW_HZ + MIN_SPACING_HZ


def _band_power(wave: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies ``(bins,)`` and power ``(windows, bins)`` where a full-scale sine peaks at 1."""
    # float32 is enough: its rounding lies 130 dB below the recording, spread over all bins.
    wave = np.asarray(wave, dtype=np.float32)
    size = min(round(WINDOW_S * rate), len(wave) // 2)
    frames = sliding_window_view(wave, size)[:: size // 2]
    if len(frames) > MAX_WINDOWS:
        frames = frames[np.linspace(0, len(frames) - 1, MAX_WINDOWS).round().astype(int)]
    window = _hann(size)
    padded = round(WINDOW_S * rate)
    spectrum = np.asarray(scipy.fft.rfft(frames * window, n=padded, axis=1))
    freqs = np.fft.rfftfreq(padded, 1 / rate)
    low, high = np.searchsorted(freqs, SEARCH_LOW_HZ), np.searchsorted(freqs, _highest(rate), side="right")
    lines = np.abs(spectrum[:, low:high]).astype(np.float64) * (2 / window.sum(dtype=np.float64))
    return freqs[low:high], lines**2


@lru_cache(maxsize=8)
def _hann(size: int) -> np.ndarray:
    """Periodic Hann window, float32."""
    return np.hanning(size + 1)[:size].astype(np.float32)


def _tones_of(freqs: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Return the bins' frequencies ``(tones,)`` of the steady tones, ascending."""
    level_db = 10 * np.log10(power + 1e-30)
    # The median over time: an echo that is stronger than its carrier for a moment does not pull the frequency.
    typical_db = _median(level_db)
    floor_db = _running_median(level_db, round(FLOOR_REACH_HZ / (freqs[1] - freqs[0])))
    inner = np.zeros(len(freqs), dtype=bool)
    inner[1:-1] = (typical_db[1:-1] >= typical_db[:-2]) & (typical_db[1:-1] > typical_db[2:])
    peaks = np.flatnonzero(inner)
    # In a window the tone may lie one bin beside its mean place (own clock, a little Doppler).
    around_db = 10 * np.log10(power[:, peaks[:, None] + np.array([-1, 0, 1])].max(axis=2) + 1e-30)
    stands = (around_db - floor_db[:, peaks] > PROMINENCE_DB) & (
        np.abs(around_db - np.median(around_db, axis=0)) < STEADY_SPREAD_DB
    )
    peaks = peaks[stands.mean(axis=0) >= STEADY_SHARE]
    if not len(peaks):
        return np.zeros(0)
    peaks = peaks[typical_db[peaks] > typical_db[peaks].max() - MAX_BELOW_STRONGEST_DB]
    kept: list[int] = []
    for peak in peaks[np.argsort(-typical_db[peaks])]:
        if all(abs(freqs[peak] - freqs[other]) >= MIN_DISTANCE_HZ for other in kept):
            kept.append(int(peak))
    return freqs[np.sort(np.asarray(kept, dtype=int))]


def _refined(wave: np.ndarray, rate: int, rough_hz: np.ndarray) -> tuple[float, ...]:
    """Read the frequencies anew within ±2 Hz from the middle two seconds."""
    if not len(rough_hz):
        return ()
    size = min(len(wave), round(REFINE_S * rate))
    start = (len(wave) - size) // 2
    padded = round(REFINE_S * rate)
    middle = np.asarray(wave[start : start + size], dtype=np.float32)
    lines = np.abs(np.asarray(scipy.fft.rfft(middle * _hann(size), n=padded))).astype(np.float64)
    bin_hz = rate / padded
    places = np.round(rough_hz / bin_hz).astype(int)[:, None] + np.arange(-round(2 / bin_hz), round(2 / bin_hz) + 1)
    at = places[np.arange(len(places)), lines[places].argmax(axis=1)]
    # A parabola through the logarithm of a Hann main lobe is right to about 0.02 bins.
    left, middle, right = (np.log(lines[at + step] + 1e-30) for step in (-1, 0, 1))
    curve = np.minimum(left - 2 * middle + right, -1e-12)
    shift = np.clip(0.5 * (left - right) / curve, -0.5, 0.5)
    return tuple(float(f) for f in (at + shift) * bin_hz)


def _running_median(values_db: np.ndarray, reach: int) -> np.ndarray:
    """Median over ``2·reach + 1`` bins, sampled every ``reach // 2`` bins and held; ``(windows, bins)``."""
    step = max(1, reach // 2)
    padded = np.pad(values_db, ((0, 0), (reach, reach)), mode="reflect")
    medians = np.partition(sliding_window_view(padded, 2 * reach + 1, axis=1)[:, ::step], reach, axis=2)[:, :, reach]
    return np.repeat(medians, step, axis=1)[:, : values_db.shape[1]]


def _median(values: np.ndarray) -> np.ndarray:
    """Median of ``(windows, bins)`` over the windows; five times as fast as `numpy.median` on so few rows."""
    ordered = np.sort(values, axis=0)
    return 0.5 * (ordered[(len(values) - 1) // 2] + ordered[len(values) // 2])


def _levels(
    freqs: np.ndarray, power: np.ndarray, tones_hz: np.ndarray, duration_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Level in dBFS and SNR in dB of each tone, ``(tones,)`` each."""
    window_s = min(duration_s / 2, WINDOW_S)
    noise_hz = 1.5 / window_s  # equivalent noise bandwidth of a Hann window
    away = np.abs(freqs[None, :] - tones_hz[:, None])
    # The Hann main lobe (±4 Hz for 0.5 s); it also holds another device's clock (±1 Hz at 20 kHz, DESIGN §5).
    lobes = (away <= 2 / window_s).astype(float)
    tone_power = _median(power) @ lobes.T * (freqs[1] - freqs[0]) / noise_hz
    # Between the tones, outside the Doppler of any; the median of an exponential is ln 2 of its mean.
    between = (away.min(axis=0) >= DOPPLER_HZ + 10) & (away <= 300.0)
    floors = np.array([np.median(power[:, near]) if near.any() else 0.0 for near in between]) / math.log(2)
    noise = floors / noise_hz * 2 * DOPPLER_HZ
    return 10 * np.log10(tone_power + 1e-30), 10 * np.log10((tone_power + 1e-30) / (noise + 1e-30))
