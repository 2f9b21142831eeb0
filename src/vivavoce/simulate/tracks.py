"""Measured lip and jaw motion (EMA, lip landmarks) in place of the simulated."""

import zipfile
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt

from vivavoce.errors import UserError
from vivavoce.simulate.motion import RATE_HZ, Motion

_CUTOFF_HZ = 20.0  # above this sensors give noise: 90 % of lip velocity lies below 8 Hz (DESIGN §5)
_LOWEST_RATE_HZ = 50.0
_SHORTEST_S = 0.3
_MOST_MISSING = 0.5
# The lips' vertical distance that is exceeded 98 % of the time is taken as "closed": sensors sit on the skin, above
# and below the red, and never meet.
_CLOSED_PERCENTILE = 2.0
# The jaw's share of the lower lip's vertical velocity, where no jaw was measured: 0.25 and 0.30 by regression in the
# EMA files of ../shared/data that hold both.
_JAW_SHARE = 0.3
_FIELDS = ("upper_lip_mm", "lower_lip_mm")


def read_tracks(path: Path | str) -> Motion:
    """Read measured motion from an ``.npz``: 200 Hz, low-passed at 20 Hz, in the mouth's coordinates.

    Fields: ``fs`` (Hz), ``upper_lip_mm`` and ``lower_lip_mm`` (frames, 3), and optionally ``jaw_mm`` (frames, 3; or no
    frame at all) and ``valid`` (frames,) bool. Axes may come in any order and sign: up leads from the lower to the
    upper lip; forward from the jaw to the lips or, without a jaw, against where the lower lip goes as it lowers. Gaps
    (not ``valid``, not finite, or exactly zero in all axes) are bridged. Points that were not measured follow those
    that were: corners the lips' protrusion, chin the jaw or the lower lip; the tongue rides on the jaw.

    Raises:
        UserError: the file is missing or damaged, a field is missing or of another shape, ``fs`` is impossible, it is
            shorter than 0.3 s, most of it is missing, or the lips do not move.
    """
    path = Path(path)
    fs, upper, lower, jaw = _load(path)
    upper, lower = _smooth(upper, fs), _smooth(lower, fs)
    jaw = None if jaw is None else _smooth(jaw, fs)
    axes = _axes(path, upper, lower, jaw)
    upper, lower = upper @ axes.T, lower @ axes.T
    distance = upper[:, 1] - lower[:, 1]
    closed = float(np.percentile(distance, _CLOSED_PERCENTILE))
    opening = np.maximum(distance - closed, 0.0)
    origin = np.median(upper, axis=0) - np.array([0.0, closed / 2, 0.0])
    upper, lower = upper - origin, lower - origin
    points = _complete(upper, lower, None if jaw is None else jaw @ axes.T)
    return Motion(RATE_HZ, 1e-3 * points, 1e-3 * opening)


def _load(path: Path) -> tuple[float, np.ndarray, np.ndarray, np.ndarray | None]:
    try:
        with zipfile.ZipFile(path):  # an .npy loads, too, but holds no fields
            pass
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise UserError(f"There are no motion tracks at {path}; give the .npz file of a measured utterance.") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"{path} is not a readable .npz file of motion tracks ({error}); export it again.") from error
    missing = [name for name in ("fs", *_FIELDS) if name not in data]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}; motion tracks need fs, {' and '.join(_FIELDS)}.")
    fs = float(data["fs"]) if data["fs"].size == 1 and data["fs"].dtype.kind in "fiu" else float("nan")
    if not (_LOWEST_RATE_HZ <= fs <= 10_000):
        raise UserError(f"{path}: fs is {data['fs']} but must be one rate from {_LOWEST_RATE_HZ:.0f} to 10000 Hz.")
    frames = len(data[_FIELDS[0]]) if data[_FIELDS[0]].ndim else 0
    if frames < _SHORTEST_S * fs:
        raise UserError(f"{path} holds {frames} frames at {fs:g} Hz; motion tracks must last at least {_SHORTEST_S} s.")
    valid = data.get("valid", np.ones(frames, bool))
    if valid.shape != (frames,):
        raise UserError(
            f"{path}: valid has the shape {valid.shape}, but one value for each of {frames} frames is needed."
        )
    jaw = data.get("jaw_mm")
    wanted = [*_FIELDS, *(["jaw_mm"] if jaw is not None and len(jaw) else [])]
    tracks = [_bridged(path, name, data[name], valid.astype(bool), frames) for name in wanted]
    return fs, tracks[0], tracks[1], tracks[2] if len(tracks) == 3 else None


def _bridged(path: Path, name: str, track: np.ndarray, valid: np.ndarray, frames: int) -> np.ndarray:
    """Check one sensor's track (frames, 3) in mm and fill its gaps by straight lines."""
    if track.shape != (frames, 3) or track.dtype.kind not in "fiu":
        raise UserError(
            f"{path}: {name} has the shape {track.shape}, but numbers of the shape ({frames}, 3) are needed."
        )
    track = track.astype(np.float64)
    # A sensor in the very origin is a sensor that was not seen, whatever `valid` says.
    good = valid & np.isfinite(track).all(axis=1) & (track != 0).any(axis=1)
    if good.mean() < 1 - _MOST_MISSING:
        raise UserError(f"{path}: {1 - good.mean():.0%} of {name} is missing; at least half must have been measured.")
    at = np.arange(frames)
    return np.stack([np.interp(at, at[good], track[good, axis]) for axis in range(3)], axis=1)


def _smooth(track: np.ndarray, fs: float) -> np.ndarray:
    """Low-pass at 20 Hz without delay and take values every 5 ms: (frames, 3) to (frames at 200 Hz, 3)."""
    frames = len(track)
    sections = butter(4, _CUTOFF_HZ, fs=fs, output="sos")
    track = sosfiltfilt(sections, track, axis=0, padlen=min(frames - 1, round(0.2 * fs)))
    at = np.arange(max(1, round(frames / fs * RATE_HZ))) / RATE_HZ
    return CubicSpline(np.arange(frames) / fs, track)(np.minimum(at, (frames - 1) / fs))


def _axes(path: Path, upper: np.ndarray, lower: np.ndarray, jaw: np.ndarray | None) -> np.ndarray:
    """Find forward, up and left among the file's axes: a signed permutation (3, 3), rows in that order."""
    across = np.median(upper - lower, axis=0)
    up = int(np.argmax(np.abs(across)))
    if not np.abs(np.diff(lower, axis=0)).max() > 0 or across[up] == 0:
        raise UserError(f"{path}: the lips do not move or lie at one place; check the sensors' columns.")
    rest = [axis for axis in range(3) if axis != up]
    if jaw is not None:
        ahead = np.median(lower - jaw, axis=0)
        front = max(rest, key=lambda axis: abs(ahead[axis]))
        forward = np.sign(ahead[front])
    else:
        front = max(rest, key=lambda axis: float(np.var(upper[:, axis]) + np.var(lower[:, axis])))
        # The jaw turns about its joint: as the lower lip goes down it goes back.
        down = -np.sign(across[up]) * np.diff(lower[:, up])
        forward = -np.sign(np.sum(np.diff(lower[:, front]) * down))
    axes = np.zeros((3, 3))
    axes[0, front] = forward or 1.0
    axes[1, up] = np.sign(across[up])
    axes[2] = np.cross(axes[0], axes[1])
    return axes


def _complete(upper: np.ndarray, lower: np.ndarray, jaw: np.ndarray | None) -> np.ndarray:
    """Place all POINTS, (points, frames, 3) in mm, from the measured ones; rest places as in articulation.py."""
    protrusion = 0.5 * (upper[:, 0] + lower[:, 0])
    protrusion = protrusion - np.median(protrusion)
    down = np.maximum(0.0, np.percentile(lower[:, 1], 98) - lower[:, 1])
    zero = np.zeros_like(down)
    if jaw is None:
        lowered, back = _JAW_SHARE * down, -0.35 * _JAW_SHARE * down
    else:
        lowered = np.percentile(jaw[:, 1], 98) - jaw[:, 1]
        back = jaw[:, 0] - np.median(jaw[:, 0])
    corners = [
        np.stack([-8.0 + 0.4 * protrusion, -0.3 * down, side * (25.0 - 0.8 * protrusion)], -1) for side in (1.0, -1.0)
    ]
    chin = np.stack([-4.0 + back, -35.0 - lowered, zero], -1)
    tongue = np.stack([-14.0 + back, -8.0 - lowered, zero], -1)
    return np.stack([upper, lower, *corners, chin, tongue])
