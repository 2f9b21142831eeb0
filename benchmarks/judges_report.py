"""What is true of a judge's mouths: speed, opening, spectrum, and how its own sound foretells the opening."""

from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch

from judges import Judge, measured
from vivavoce.audio import read_audio
from vivavoce.corpus.manifest import Row
from vivavoce.signal.voice import FbankConfig
from vivavoce.simulate import kinematics
from vivavoce.simulate.motion import POINTS, RATE_HZ, Motion

_VOICE_RATE = 16000
_LOWER, _UPPER = POINTS.index("lower_lip"), POINTS.index("upper_lip")
_LAGS_MS = np.arange(-150, 151, 10)  # of the motion behind the sound; the filter bank has a frame every 10 ms
_EDGE = 15  # frames of the filter bank: the largest lag


def report(folder: Path, ema: Path) -> dict[str, Any]:
    """Give the figures of a folder of sound and motion, beside those of measured mouths where they are at hand."""
    judge = measured(folder, None, folder)
    found = {"recordings": len(judge.rows), "seconds": round(sum(row.duration_s for row in judge.rows), 1)}
    found["motion"] = motion_figures(judge)
    if ema.is_dir():
        found["motion of measured mouths"] = motion_figures(measured(ema, None, ema))
    if len({row.speaker for row in judge.rows}) > 1:
        found["log-mel to lip opening, unseen speakers"] = predictability(judge)
    return found


def motion_figures(judge: Judge) -> dict[str, Any]:
    """Speed of the lips where there is sound, range and spectrum of the opening, and how it goes with the level."""
    speeds, ranges, levels = [], [], []
    for row in judge.rows:
        motion = judge.motions[row.id]
        wave, rate = _voice(row)
        level = kinematics.log_envelope(wave, rate, len(motion.aperture_m), RATE_HZ)
        heard = kinematics.sounding(level, RATE_HZ)
        speeds.append(kinematics.speeds_cm_s(motion)[:, heard])
        ranges.append(1e3 * np.ptp(motion.aperture_m[heard]))
        levels.append(kinematics.envelope_correlation(motion.aperture_m, level, RATE_HZ))
    moving = np.concatenate(speeds, axis=1)
    spectrum = kinematics.velocity_spectrum_points_hz([judge.motions[row.id].aperture_m for row in judge.rows], RATE_HZ)
    return {
        "lower lip, cm/s, p50 p90 p99": np.percentile(moving[_LOWER], [50, 90, 99]).round(2).tolist(),
        "upper lip, cm/s, p50 p90 p99": np.percentile(moving[_UPPER], [50, 90, 99]).round(2).tolist(),
        "range of the opening, mm, p10 p50 p90": np.percentile(ranges, [10, 50, 90]).round(1).tolist(),
        "velocity of the opening, Hz, 50 % 90 % below": np.round(spectrum, 2).tolist(),
        "opening against level, r, median": round(float(np.median([one.zero for one in levels])), 2),
        "lag of the best r, ms, median": float(np.median([one.lag_ms for one in levels])),
    }


def predictability(judge: Judge) -> dict[str, float]:
    """Ridge regression from the sound to the opening of speakers it never met, at zero and at the best lag."""
    fbank = FbankConfig(num_mel_bins=40).build()
    features, tracks = [], []
    for row in judge.rows:
        wave, _ = _voice(row)
        with torch.inference_mode():
            mel, _ = fbank(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
        features.append(mel[0, _EDGE:-_EDGE].numpy())
        tracks.append(_lagged(judge.motions[row.id], mel.shape[1]))
    r = kinematics.linear_predictability(features, tracks, [row.speaker for row in judge.rows], context=5)
    best = int(np.argmax(r))
    return {
        "r": round(float(r[len(_LAGS_MS) // 2]), 3),
        "best r": round(float(r[best]), 3),
        "best lag, ms": float(_LAGS_MS[best]),
    }


def _lagged(motion: Motion, frames: int) -> np.ndarray:
    """Opening in mm at the filter bank's frames but its edges, as if seen at each lag: (frames, lags)."""
    # Frame t of the filter bank is centred at 5 ms + 10 ms t.
    at = 0.005 + 0.01 * np.arange(_EDGE, frames - _EDGE)[:, None] + 1e-3 * _LAGS_MS
    return 1e3 * np.interp(at, np.arange(len(motion.aperture_m)) / RATE_HZ, motion.aperture_m)


def _voice(row: Row) -> tuple[np.ndarray, int]:
    wave, rate = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
    return np.asarray(soxr.resample(wave, rate, _VOICE_RATE), dtype=np.float32), _VOICE_RATE
