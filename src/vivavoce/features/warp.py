"""Speed copies of log-mel features: more speakers from the same recordings.

A voice played 10 % faster or slower is another speaker (Yamamoto et al. 2019, "Speaker augmentation and bandwidth
extension for deep speaker embedding"). On log-mel frames that is a warp of the frequency axis together with a
resampling of time, far cheaper than a new waveform and possible on the training device.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def mel_warp_matrix(mels: int, factor: float, low_hz: float, high_hz: float) -> Tensor:
    """Linear map ``(mels, mels)`` that moves a log-mel spectrum's content from frequency f to ``factor · f``.

    The mel scale is Kaldi's, 1127 · ln(1 + f / 700). Bins that would come from above ``high_hz`` repeat the last one.
    """
    low, high = _mel(low_hz), _mel(high_hz)
    centres = low + np.arange(1, mels + 1) / (mels + 1) * (high - low)
    source_hz = 700 * np.expm1(centres / 1127) / factor
    position = np.clip((_mel(source_hz) - low) / (high - low) * (mels + 1) - 1, 0, mels - 1)
    below = np.floor(position).astype(int)
    share = position - below
    matrix = np.zeros((mels, mels), dtype=np.float32)
    matrix[np.arange(mels), below] += 1 - share
    matrix[np.arange(mels), np.minimum(below + 1, mels - 1)] += share
    return torch.from_numpy(matrix)


def change_speed(voice: Tensor, matrix: Tensor, frames: int) -> Tensor:
    """Warp ``(batch, frames_in, mels)`` in frequency by ``matrix`` and resample time to ``frames``."""
    warped = (voice @ matrix.T).transpose(1, 2)
    return functional.interpolate(warped, size=frames, mode="linear", align_corners=False).transpose(1, 2)


def _mel(hz: np.ndarray | float) -> np.ndarray:
    return 1127 * np.log1p(np.asarray(hz) / 700)
