"""The probe of one recording: is it there, how strong is each tone, what lies between the tones, whose clock is it?"""

from functools import lru_cache

import numpy as np
import scipy.fft

from vivavoce.signal.probe import DOPPLER_HZ, PROBE_LOW_HZ
from vivavoce.signal.quality import PRESENT_SNR_DB
from vivavoce.signal.tones import (
    FLOOR_REACH_HZ,
    PROMINENCE_DB,
    SEARCH_HIGH_HZ,
    SEARCH_LOW_HZ,
    SHORTEST_S,
    WINDOW_S,
    detect_tones,
)

# Pairs of neighbouring windows, spread over the recording: enough for medians, and a bounded cost for long recordings.
MAX_PAIRS = 4
# First look: a tone that `detect_tones` finds stands 15 dB above its surroundings in most windows, so that the median
# over windows of its bin is well above this; narrow blocks follow the slope of a codec's or a phone's low-pass.
SUSPECT_DB = PROMINENCE_DB - 5.0
SUSPECT_BLOCK_HZ = 60.0
# Beyond the Doppler of any tone, with the margin that `probe_quality` leaves.
CLEAR_HZ = DOPPLER_HZ + 10.0
TINY = 1e-30

Numbers = dict[str, float | int | str | None]
NO_BAND: Numbers = {
    "probe_present": None,
    "probe_dbfs": None,
    "probe_snr_db": None,
    "weakest_snr_db": None,
    "snrs_db": None,
    "between_dbc": None,
    "clock_ppm": None,
}


def measure_probe(samples: np.ndarray, rate: int, probe_hz: tuple[float, ...] | None) -> Numbers:
    """Measure declared tones, or look for undeclared ones.

    Args:
        samples: ``(samples,)`` float32, full scale 1.
        rate: sample rate in Hz.
        probe_hz: declared tones in Hz; empty or None: none are known, and only their presence is measured.

    Returns:
        ``probe_present`` (1, 0, or None where the rate holds no ultrasound or the recording is under 0.5 s), level of
        the median tone ``probe_dbfs``, SNR in the ±70 Hz Doppler band of the median and of the weakest tone (dB),
        all tones' SNR as text, power between the tones relative to the tones ``between_dbc``, and the clock's offset
        in parts per million.
    """
    highest = min(SEARCH_HIGH_HZ, 0.99 * rate / 2)  # the last 1 % below Nyquist is the anti-alias filter's
    if highest < PROBE_LOW_HZ + 200 or len(samples) < rate * SHORTEST_S:
        return dict(NO_BAND)
    tones = np.array([f for f in probe_hz or () if SEARCH_LOW_HZ <= f <= highest])
    hop = min(round(WINDOW_S * rate), len(samples) // 2) // 2
    freqs, spectra = _pairs(samples, rate, hop, highest)
    if not len(tones):
        return {**NO_BAND, "probe_present": int(_finds_tones(samples, rate, freqs, spectra))}
    return _declared(freqs, spectra, tones, hop / rate)


def _pairs(samples: np.ndarray, rate: int, hop: int, highest: float) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies ``(bins,)`` and spectra ``(pairs, 2, bins)`` where a full-scale sine has magnitude 1.

    The two windows of a pair lie one hop, half a window, apart.
    """
    size = 2 * hop
    last = len(samples) - size - hop  # not negative: three hops are at most three quarters of the recording
    starts = np.linspace(0, last, min(MAX_PAIRS, 1 + last // (2 * hop))).astype(int)[:, None] + np.array([0, hop])
    window = _window(size)
    frames = samples[starts[..., None] + np.arange(size)] * window
    padded = round(WINDOW_S * rate)
    bin_hz = rate / padded
    first, stop = int(np.ceil(SEARCH_LOW_HZ / bin_hz)), int(highest / bin_hz) + 1
    spectra = np.asarray(scipy.fft.rfft(frames, n=padded, axis=-1), np.complex64)[..., first:stop] * (2 / window.sum())
    return np.arange(first, stop) * bin_hz, spectra


def _finds_tones(samples: np.ndarray, rate: int, freqs: np.ndarray, spectra: np.ndarray) -> bool:
    """Look at the typical spectrum first; the search itself costs ten times more."""
    power = np.median(np.abs(spectra.reshape(-1, len(freqs))) ** 2, axis=0)
    block = round(SUSPECT_BLOCK_HZ / (freqs[1] - freqs[0]))
    blocks = power[: len(power) // block * block].reshape(-1, block)
    suspect = blocks.max(axis=1) > 10 ** (SUSPECT_DB / 10) * np.median(blocks, axis=1)
    return bool(suspect.any()) and bool(detect_tones(samples, rate))


@lru_cache(8)
def _window(size: int) -> np.ndarray:
    return np.hanning(size + 1)[:size].astype(np.float32)


def _declared(freqs: np.ndarray, spectra: np.ndarray, tones: np.ndarray, hop_s: float) -> Numbers:
    power = np.median(np.abs(spectra.reshape(-1, len(freqs))) ** 2, axis=0).astype(np.float64)
    noise_hz = 1.5 / (2 * hop_s)  # equivalent noise bandwidth of a Hann window
    away = np.abs(freqs[None, :] - tones[:, None])
    lobe_hz = 1 / hop_s  # the Hann main lobe, which also holds another device's clock
    level = (away <= lobe_hz) @ power * (freqs[1] - freqs[0]) / noise_hz
    clear = away.min(axis=0) >= CLEAR_HZ
    # The median of an exponential, as the power of a bin of noise is, is ln 2 of its mean.
    near = [np.median(power[clear & (one <= FLOOR_REACH_HZ)]) if np.any(clear & (one <= 300)) else 0.0 for one in away]
    snr_db = 10 * np.log10((level + TINY) / (np.asarray(near) / np.log(2) / noise_hz * 2 * DOPPLER_HZ + TINY))
    inner = clear & (freqs >= tones.min() - FLOOR_REACH_HZ) & (freqs <= tones.max() + FLOOR_REACH_HZ)
    between = power[inner].sum() * (freqs[1] - freqs[0]) / noise_hz
    present = float(np.median(snr_db)) >= PRESENT_SNR_DB
    return {
        "probe_present": int(present),
        "probe_dbfs": float(10 * np.log10(np.median(level) + TINY)),
        "probe_snr_db": float(np.median(snr_db)),
        "weakest_snr_db": float(snr_db.min()),
        "snrs_db": " ".join(f"{value:.1f}" for value in snr_db),
        "between_dbc": float(10 * np.log10((between + TINY) / (level.sum() + TINY))),
        "clock_ppm": _clock_ppm(freqs, spectra, tones[snr_db >= PRESENT_SNR_DB], hop_s) if present else None,
    }


def _clock_ppm(freqs: np.ndarray, spectra: np.ndarray, tones: np.ndarray, hop_s: float) -> float | None:
    """Median over tones of (frequency - declared) / declared, from the phase that a tone gains in one hop.

    With hops of 0.25 s it is unambiguous within ±2 Hz, ±100 ppm at 20 kHz: five times a second device's clock.
    """
    places = np.abs(freqs[None, :] - tones[:, None]).argmin(axis=1)
    gained = np.einsum("pt,pt->t", spectra[:, 1, places], spectra[:, 0, places].conj())
    if not np.any(gained):
        return None
    turned = gained * np.exp(-2j * np.pi * tones * hop_s)
    return float(np.median(np.angle(turned) / (2 * np.pi * hop_s) / tones) * 1e6)
