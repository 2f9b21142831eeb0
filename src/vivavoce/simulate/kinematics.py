"""Measures of a moving mouth, the same for simulated and measured motion: speed, spectrum, what sound foretells of it.

The benchmark prints them beside the published figures of DESIGN §5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation
from scipy.signal import butter, sosfiltfilt, welch

from vivavoce.simulate.motion import Motion

_SPEECH_MARGIN_S = 0.1  # lips still move for speech this long before and after its sound
_ENVELOPE_WINDOW_S = 0.025
_ENVELOPE_CUTOFF_HZ = 10.0  # syllables, not glottal pulses
# Frames at most this far below the loudest are speech. Without the limit pauses, in which sound and mouth both close,
# make r 0.2–0.4 larger; with it the EMA files of ../shared/data give the r that was published of them (±0.1).
_ACTIVE_DB = 30.0


def speeds_cm_s(motion: Motion) -> np.ndarray:
    """Give the speed of each point, (points, frames), in cm/s, by central differences."""
    velocity = np.gradient(motion.positions_m, 1.0 / motion.rate_hz, axis=1)
    return 100.0 * np.linalg.norm(velocity, axis=-1)


def velocity_spectrum_points_hz(
    series: Sequence[np.ndarray], rate_hz: float, shares: Sequence[float] = (0.5, 0.9)
) -> list[float]:
    """Find below which frequency each share of the power of the series' velocity lies (Hz).

    ``series``: positions (frames,) of several utterances, pooled; Welch windows of 1.28 s, Hann.
    """
    size = round(1.28 * rate_hz)
    total = np.zeros(size // 2 + 1)
    for positions in series:
        if len(positions) >= size:
            frequency, power = welch(np.gradient(positions) * rate_hz, rate_hz, nperseg=size, detrend="constant")
            total += power * len(positions)
    if not total.any():
        raise ValueError(f"no series is as long as one spectral window ({size} frames) or none moves")
    share = np.cumsum(total) / total.sum()
    return [float(np.interp(wanted, share, frequency)) for wanted in shares]


def log_envelope(wave: np.ndarray, rate: int, frames: int, rate_hz: float) -> np.ndarray:
    """Give a recording's level (frames,) in dB in 25 ms windows centred at each motion frame, smoothed below 10 Hz."""
    half = round(_ENVELOPE_WINDOW_S / 2 * rate)
    energy = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    centre = np.round(np.arange(frames) * rate / rate_hz).astype(np.int64)
    last = len(wave)
    begin, end = np.clip(centre - half, 0, last), np.clip(centre + half, 0, last)
    power = (energy[end] - energy[begin]) / np.maximum(end - begin, 1)
    level = 10.0 * np.log10(np.maximum(power, 1e-12))
    return sosfiltfilt(butter(2, _ENVELOPE_CUTOFF_HZ, fs=rate_hz, output="sos"), level)


def sounding(level_db: np.ndarray, rate_hz: float) -> np.ndarray:
    """Mark the frames (frames,) bool with speech by level, and 100 ms on either side: the time for speeds."""
    return binary_dilation(level_db > level_db.max() - _ACTIVE_DB, iterations=round(_SPEECH_MARGIN_S * rate_hz))


@dataclass(frozen=True)
class LagCorrelation:
    """Correlation at zero lag, at the best lag, and that lag (ms; positive: the motion comes after the sound)."""

    zero: float
    best: float
    lag_ms: float


def envelope_correlation(
    aperture: np.ndarray, envelope_db: np.ndarray, rate_hz: float, max_lag_s: float = 0.15
) -> LagCorrelation:
    """Correlate lip opening with the speech level in dB, both (frames,), where there is speech, over ±``max_lag_s``."""
    most = min(round(max_lag_s * rate_hz), len(aperture) - 2)
    active = np.flatnonzero(envelope_db > envelope_db.max() - _ACTIVE_DB)
    lags = np.arange(-most, most + 1)
    moved = active + lags[:, None]
    inside = (moved >= 0) & (moved < len(aperture))
    pairs = zip(moved, inside, strict=True)
    values = np.array([correlation(aperture[at[ok]], envelope_db[active[ok]]) for at, ok in pairs])
    best = int(np.argmax(values))
    return LagCorrelation(float(values[most]), float(values[best]), float(1e3 * lags[best] / rate_hz))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r of two series; 0 where one of them does not vary."""
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else 0.0


def linear_predictability(
    features: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    speakers: Sequence[str],
    *,
    context: int = 10,
    folds: int = 5,
    ridge: float = 0.03,
) -> np.ndarray:
    """Tell how well a linear map of sound foretells motion for speakers it has never met.

    ``features``: (frames, mels) an utterance; ``targets``: (frames, outputs) on the same grid. Ridge regression on
    ±``context`` frames, trained without the fold's speakers. Returns Pearson's r (outputs,) pooled over all frames,
    each utterance less its own mean. ``ridge`` is relative to the features' mean variance times the frame count.

    Raises:
        ValueError: fewer speakers than two.
    """
    names = sorted(set(speakers))
    if len(names) < 2:
        raise ValueError("across speakers needs at least two of them")
    fold_of = {name: i % min(folds, len(names)) for i, name in enumerate(names)}
    fold = [fold_of[s] for s in speakers]
    inputs = [_with_context(_centred(f), context) for f in features]
    outputs = [_centred(t) for t in targets]
    gram = [x.T @ x for x in inputs]
    cross = [x.T @ y for x, y in zip(inputs, outputs, strict=True)]
    everything = np.sum(gram, axis=0), np.sum(cross, axis=0)
    predicted: list[np.ndarray] = [np.empty(0)] * len(inputs)
    for held in range(max(fold) + 1):
        test = [i for i, f in enumerate(fold) if f == held]
        a = everything[0] - np.sum([gram[i] for i in test], axis=0)
        b = everything[1] - np.sum([cross[i] for i in test], axis=0)
        weights = np.linalg.solve(a + ridge * np.trace(a) / len(a) * np.eye(len(a)), b)
        for i in test:
            predicted[i] = _centred(inputs[i] @ weights)
    guess, truth = np.concatenate(predicted), np.concatenate(outputs)
    return np.array([correlation(guess[:, k], truth[:, k]) for k in range(truth.shape[1])])


def _centred(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    return x - x.mean(axis=0)


def _with_context(x: np.ndarray, context: int) -> np.ndarray:
    """Stack each frame with its ``context`` neighbours on either side (edges repeated)."""
    at = np.clip(np.arange(len(x))[:, None] + np.arange(-context, context + 1), 0, len(x) - 1)
    return x[at].reshape(len(x), -1)
