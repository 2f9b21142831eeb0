"""The motion of the mouth behind a simulated live recording, written beside it: what a teacher of the model may see."""

from pathlib import Path

import numpy as np

from vivavoce.files import atomic_path
from vivavoce.simulate.motion import Motion
from vivavoce.simulate.scatter import at_times

RATE_HZ = 100.0  # a value each frame of the features
FRAME_MIDDLE_S = 0.005
CHANNELS = 13  # forward and up of six points, and the lips' opening


def mouth_frames(motion: Motion, from_s: float, seconds: float) -> np.ndarray:
    """Place of the mouth at the middle of each feature frame, ``(frames, 13)`` in mm.

    Forward and up of each of `simulate.motion.POINTS`, then the opening of the lips. Where the points are to the side
    says no more: they move alike on both sides.

    Args:
        motion: the mouth's motion.
        from_s: when its time 0 is in the recording, s.
        seconds: length of the recording, s.
    """
    times_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ + FRAME_MIDDLE_S - from_s
    positions_m, aperture_m = at_times(motion, times_s)
    points = positions_m[:, :, :2].transpose(1, 0, 2).reshape(len(times_s), -1)
    return 1000 * np.concatenate([points, aperture_m[:, None]], axis=1)


def write_mouth(path: Path, motion: Motion, from_s: float, seconds: float) -> None:
    """Write ``rate_hz`` and ``mouth_mm`` (frames, 13) of one recording, atomically."""
    frames = mouth_frames(motion, from_s, seconds).astype(np.float32)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, rate_hz=np.float64(RATE_HZ), mouth_mm=frames)
