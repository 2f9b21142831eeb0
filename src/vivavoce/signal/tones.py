"""Finding the steady tones between 17 and 22 kHz in a recording whose probe is not known."""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from vivavoce.signal.probe import MIN_SPACING_HZ, PROBE_LOW_HZ

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
# So is a weak peak in a strong tone's neighbourhood: a hand that passes at 1 m/s reaches 120 Hz, at -17 dB and less
# (DESIGN §5), while a phone's response falls by 2.4 dB at most from one tone to the next, 200 Hz away.
DOPPLER_BELOW_DB = 15.0

Band = tuple[np.ndarray, np.ndarray]  # frequencies (bins,) and power (windows, bins)


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
    if not holds_band(rate) or len(wave) < rate * SHORTEST_S:
        return ()
    return refined(wave, rate, steady_tones(*band_power(wave, rate)))


def highest_hz(rate: int) -> float:
    """Return the highest frequency sought in recordings at ``rate`` Hz."""
    # The last 1 % below Nyquist is the anti-alias filter's.
    return min(SEARCH_HIGH_HZ, 0.99 * rate / 2)


def holds_band(rate: int) -> bool:
    """Tell whether ``rate`` Hz holds at least a little of the probe's band."""
    return highest_hz(rate) >= PROBE_LOW_HZ + MIN_SPACING_HZ


def band_power(wave: np.ndarray, rate: int) -> Band:
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
    low, high = np.searchsorted(freqs, SEARCH_LOW_HZ), np.searchsorted(freqs, highest_hz(rate), side="right")
    lines = np.abs(spectrum[:, low:high]).astype(np.float64) * (2 / window.sum(dtype=np.float64))
    return freqs[low:high], lines**2


def steady_tones(freqs: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Return the bins' frequencies ``(tones,)`` of the steady tones, ascending.

    Args:
        freqs: ``(bins,)`` Hz.
        power: ``(windows, bins)``, as `band_power` gives it.
    """
    # The median over time: an echo that is stronger than its carrier for a moment does not pull the frequency.
    typical_db = 10 * np.log10(median(power) + 1e-30)
    reach = round(FLOOR_REACH_HZ / (freqs[1] - freqs[0]))
    typical_floor_db = _running_median(typical_db, reach)
    inner = np.zeros(len(freqs), dtype=bool)
    inner[1:-1] = (typical_db[1:-1] >= typical_db[:-2]) & (typical_db[1:-1] > typical_db[2:])
    # In a window the tone may lie one bin beside its mean place (own clock, a little Doppler), hence 5 dB less here.
    peaks = np.flatnonzero(inner & (typical_db - typical_floor_db > PROMINENCE_DB - 5))
    around_db = 10 * np.log10(power[:, peaks[:, None] + np.array([-1, 0, 1])].max(axis=2) + 1e-30)
    # A burst lifts its own surroundings, too: each window has its floor, which is needed at the few peaks alone.
    level_db = np.pad(10 * np.log10(power + 1e-30), ((0, 0), (reach, reach)), mode="reflect")
    surroundings = level_db[:, peaks[:, None] + np.arange(2 * reach + 1)]
    floor_db = np.partition(surroundings, reach, axis=2)[:, :, reach]
    stands = (around_db - floor_db > PROMINENCE_DB) & (np.abs(around_db - median(around_db)) < STEADY_SPREAD_DB)
    peaks = peaks[stands.mean(axis=0) >= STEADY_SHARE]
    if not len(peaks):
        return np.zeros(0)
    peaks = peaks[typical_db[peaks] > typical_db[peaks].max() - MAX_BELOW_STRONGEST_DB]
    kept: list[int] = []
    for peak in peaks[np.argsort(-typical_db[peaks])]:
        away = np.abs(freqs[kept] - freqs[peak])
        weak = typical_db[peak] < typical_db[kept] - DOPPLER_BELOW_DB
        if not np.any(away < np.where(weak, MIN_SPACING_HZ - 2 * (freqs[1] - freqs[0]), MIN_DISTANCE_HZ)):
            kept.append(int(peak))
    return freqs[np.sort(np.asarray(kept, dtype=int))]


def refined(wave: np.ndarray, rate: int, rough_hz: np.ndarray) -> tuple[float, ...]:
    """Read the frequencies ``rough_hz`` ``(tones,)`` anew within ±2 Hz from the middle two seconds."""
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


def median(values: np.ndarray) -> np.ndarray:
    """Median of ``(windows, bins)`` over the windows; five times as fast as `numpy.median` on so few rows."""
    ordered = np.sort(values, axis=0)
    return 0.5 * (ordered[(len(values) - 1) // 2] + ordered[len(values) // 2])


@lru_cache(maxsize=8)
def _hann(size: int) -> np.ndarray:
    """Periodic Hann window, float32."""
    return np.hanning(size + 1)[:size].astype(np.float32)


def _running_median(values_db: np.ndarray, reach: int) -> np.ndarray:
    """Median over ``2·reach + 1`` bins, sampled every ``reach // 2`` bins and held; ``(bins,)``."""
    step = max(1, reach // 2)
    padded = np.pad(values_db, (reach, reach), mode="reflect")
    medians = np.partition(sliding_window_view(padded, 2 * reach + 1)[::step], reach, axis=1)[:, reach]
    return np.repeat(medians, step)[: len(values_db)]
