"""The phone's accelerometer beside a recording: from acceleration to where the phone was."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vivavoce.errors import UserError
from vivavoce.signal.iq import IQ_RATE_HZ

# Of the polynomial that is taken out of what was integrated twice: with fewer orders drift is left, with more of them
# sway, which begins at 0.3 Hz (DESIGN §5), is taken out, too.
ORDERS_A_SECOND = 2 / 3
# Sound and sensor may end this far apart; the phone is then held where it was last.
LATE_S = 0.1


def accelerometer_of(recording: Path) -> Path:
    """Where a recording's acceleration lies: beside it, ``<name>.accel.npz``."""
    return recording.with_suffix(".accel.npz")


class Sensor(NamedTuple):
    """The acceleration that goes with a recording, which begins ``start_s`` seconds into the file."""

    path: Path
    start_s: float = 0.0


def read_displacement(path: Path, start_s: float, seconds: float) -> np.ndarray:
    """Read the phone's displacement from ``start_s`` on for ``seconds``: ``(iq_frames, 3)`` in m at 300 Hz.

    The file is an ``.npz`` with ``rate_hz`` and ``acceleration`` (frames, 3) in m/s², gravity taken out, from the
    sound file's first sample on. A phone that follows its own place, by its camera as well, may give that instead:
    ``displacement`` (frames, 3) in m.

    Raises:
        UserError: the file is missing, damaged, or ends before the recording does.
    """
    try:
        with np.load(path) as file:
            placed = "displacement" in file
            rate_hz, read = float(file["rate_hz"]), file["displacement" if placed else "acceleration"].astype(float)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"The accelerometer's file {path} cannot be read ({error}); it must hold rate_hz and acceleration, or set "
            "front_end.echo.compensate to none or echo."
        ) from error
    if read.ndim != 2 or read.shape[1] != 3 or not rate_hz > 0 or not np.isfinite(read).all():
        raise UserError(f"The accelerometer's file {path} must hold acceleration (frames, 3) in m/s² and its rate_hz.")
    end_s = start_s + seconds
    if len(read) / rate_hz < end_s - LATE_S:
        raise UserError(
            f"The accelerometer's file {path} ends after {len(read) / rate_hz:.2f} s, the recording after "
            f"{end_s:.2f} s; record both to the end."
        )
    way = (_at_iq_rate if placed else displacement)(read, rate_hz, int(end_s * IQ_RATE_HZ) + 2)
    return way[round(start_s * IQ_RATE_HZ) :][: int(seconds * IQ_RATE_HZ) + 1]


def displacement(acceleration: np.ndarray, rate_hz: float, iq_frames: int) -> np.ndarray:
    """Integrate acceleration ``(frames, 3)`` in m/s² twice: ``(iq_frames, 3)`` in m at 300 Hz.

    Where the phone was and how fast it was going at the start is not known, and what noise and bias add up to is slow:
    a polynomial is taken out, whose order grows with the duration.
    """
    frames = len(acceleration)
    way = np.cumsum(np.cumsum(acceleration - acceleration.mean(axis=0), axis=0), axis=0) / rate_hz**2
    order = max(2, round(ORDERS_A_SECOND * frames / rate_hz))
    slow = np.polynomial.legendre.legvander(np.linspace(-1, 1, frames), order)
    way = way - slow @ np.linalg.lstsq(slow, way, rcond=None)[0]
    return _at_iq_rate(way, rate_hz, iq_frames)


def _at_iq_rate(way: np.ndarray, rate_hz: float, iq_frames: int) -> np.ndarray:
    at = np.arange(iq_frames) * (rate_hz / IQ_RATE_HZ)
    return np.stack([np.interp(at, np.arange(len(way)), axis) for axis in way.T], axis=1)
