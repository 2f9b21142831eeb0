"""The timing of somebody who mouths along with a voice: late, drifting, and never quite with the phones."""

from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from vivavoce.simulate.config import AttackConfig
from vivavoce.simulate.job import Mouth
from vivavoce.simulate.motion import Motion

SHORTEST_S = 0.02  # of a mouthed phone
DRIFT_HZ = 0.5  # highest frequency of the drift of the tempo
STEP_S = 0.1  # between the jittered points of a measured motion, which knows no phones: about a phone's length


def mouthed_along(mouth: Mouth, speaker: str, rng: np.random.Generator, config: AttackConfig) -> tuple[Mouth, float]:
    """Let ``speaker`` say the words of ``mouth`` with an imitator's timing; returns the mouth and its mean lag in s.

    The lag itself is not in the mouth's own times: it delays the whole mouth (``Job.delay_s``).
    """
    lag_s = config.mouthing_lag_ms.draw(rng) / 1000
    jitter_s = config.mouthing_jitter_ms.draw(rng) / 1000
    drift_s = config.mouthing_drift_ms.draw(rng) / 1000
    if mouth.measured is not None:
        edges = np.arange(0, mouth.duration_s + STEP_S, STEP_S)
        # Measured gestures would be played faster than anybody moves, where points of time come too close.
        late = _late(rng, edges, jitter_s, drift_s, STEP_S / 2)
        return replace(mouth, speaker=speaker, measured=_warped(mouth.measured, edges, late)), lag_s
    edges = np.array([phone.start_s for phone in mouth.phones] + [mouth.phones[-1].end_s])
    late = _late(rng, edges, jitter_s, drift_s, SHORTEST_S)
    phones = tuple(
        replace(phone, start_s=float(start), end_s=float(end))
        for phone, start, end in zip(mouth.phones, late[:-1], late[1:], strict=True)
    )
    return Mouth(speaker, phones, mouth.duration_s), lag_s


def _late(rng: np.random.Generator, edges_s: np.ndarray, jitter_s: float, drift_s: float, least_s: float) -> np.ndarray:
    """New times (edges,) of the boundaries between phones: in the old order, the first and the last where they were."""
    time = np.arange(0, edges_s[-1] + 1 / DRIFT_HZ, STEP_S)
    drift = gaussian_filter1d(rng.standard_normal(len(time)), 1 / (2 * np.pi * DRIFT_HZ * STEP_S), mode="reflect")
    drift *= drift_s / max(float(np.sqrt(np.mean(drift**2))), 1e-9)
    moved = edges_s + jitter_s * rng.standard_normal(len(edges_s)) + np.interp(edges_s, time, drift)
    # Nobody mouths backwards: boundaries keep their order and a least distance, as far as there is room for it.
    least = min(least_s, 0.5 * float(edges_s[-1] - edges_s[0]) / max(len(edges_s) - 1, 1))
    steps = least * np.arange(len(edges_s))
    moved = np.maximum.accumulate(np.maximum(moved - steps, edges_s[0])) + steps
    ends = edges_s[-1] - least * np.arange(len(edges_s))[::-1]
    moved = np.minimum(moved, ends)
    moved[0], moved[-1] = edges_s[0], edges_s[-1]
    return moved


def _warped(motion: Motion, before_s: np.ndarray, after_s: np.ndarray) -> Motion:
    """Play a motion so that what was at ``before_s`` comes at ``after_s``."""
    known = np.arange(motion.positions_m.shape[1]) / motion.rate_hz
    # Monotone and smooth: time never runs backwards, and no speed jumps.
    at = np.clip(PchipInterpolator(after_s, before_s, extrapolate=True)(known), 0, known[-1])
    positions = CubicSpline(known, motion.positions_m, axis=1)(at)
    return Motion(motion.rate_hz, positions, np.interp(at, known, motion.aperture_m))
