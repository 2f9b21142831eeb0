"""What the mouth did behind the live recordings of a batch: known of simulated ones, and never asked of a user's.

A voice and an echo that are both noisy teach each other slowly. Each of them learns faster from the motion itself,
which stands between the two (learning with privileged information: Vapnik & Vashist 2009).
"""

import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError

# Motion is given at the rate of the features.
RATE_HZ = 100.0
# Typical excursion in mm, and typical speed in mm a frame (DESIGN §5: the lower lip's median is 3.3 cm/s).
EXCURSION_MM, SPEED_MM = 3.0, 0.33
# A recording of 5 s takes 25 kB.
KEPT = 4096


class MouthMotion:
    """The motion of the mouth behind some of the recordings, in place and speed, at the features' frame rate."""

    def __init__(self, paths: Sequence[Path | None]) -> None:
        """Take the file of each recording's motion, None where there is none; see `motion_paths`."""
        self.paths = list(paths)
        first = next((path for path in self.paths if path is not None), None)
        self.channels = 0 if first is None else 2 * read_motion(first).shape[1]

    def known(self, items: np.ndarray) -> np.ndarray:
        """Which of the recordings have it, ``(items,)`` bool."""
        return np.array([self.paths[item] is not None for item in items.tolist()], dtype=bool)

    def crops(self, items: np.ndarray, starts: np.ndarray, frames: int, speeds: np.ndarray) -> Tensor:
        """Motion during crops, ``(items, frames, channels)``: place in typical excursions, speed in typical ones.

        Args:
            items: recordings that have it, ``(items,)``.
            starts: first frame of each crop, ``(items,)``.
            frames: length of the crops; behind a recording's end the mouth is held.
            speeds: how many times faster each recording was played, ``(items,)``.
        """
        crops = np.empty((len(items), frames, self.channels // 2), dtype=np.float32)
        for crop, item, start, speed in zip(crops, items.tolist(), starts.tolist(), speeds.tolist(), strict=True):
            path = self.paths[item]
            assert path is not None
            motion = read_motion(path)
            at = (start + np.arange(frames) + 0.5) * speed - 0.5
            crop[:] = motion[np.clip(np.rint(at).astype(np.int64), 0, len(motion) - 1)]
        crops -= crops.mean(axis=1, keepdims=True)
        velocity = np.gradient(crops, axis=1) if frames > 1 else np.zeros_like(crops)
        return torch.from_numpy(np.concatenate([crops / EXCURSION_MM, velocity / SPEED_MM], axis=2))


@lru_cache(KEPT)
def read_motion(path: Path) -> np.ndarray:
    """Read ``mouth_mm`` ``(frames, points)`` of a simulated recording.

    Raises:
        UserError: the file is missing or damaged, or of another rate.
    """
    try:
        with np.load(path) as file:
            rate_hz, motion = float(file["rate_hz"]), np.asarray(file["mouth_mm"], dtype=np.float32)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"The mouth's motion {path} cannot be read ({error}); simulate the recordings again, or set "
            "correlation.teacher_weight to 0."
        ) from error
    if motion.ndim != 2 or not len(motion) or rate_hz != RATE_HZ or not np.isfinite(motion).all():
        raise UserError(f"The mouth's motion {path} must hold mouth_mm (frames, points) at {RATE_HZ:g} Hz.")
    return motion


def motion_paths(rows: Sequence[Row]) -> list[Path | None]:
    """The file of the mouth's motion behind each recording; None of what is no live recording, or has none."""
    return [
        row.path.parent / row.meta.mouth_motion if row.meta.mouth_motion and row.meta.kind is Kind.LIVE else None
        for row in rows
    ]
