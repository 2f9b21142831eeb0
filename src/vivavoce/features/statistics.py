"""Mean and spread of features over chosen recordings."""

import numpy as np
import torch
from torch import Tensor


def channel_statistics(
    array: np.ndarray, starts: np.ndarray, frames: np.ndarray, items: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over all frames of ``items``, each ``(channels,)``, streamed in double precision.

    Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", eq. 2.1 (pairwise update).
    """
    count, mean, squares = 0, np.zeros(array.shape[1]), np.zeros(array.shape[1])
    for item in items:
        part = array[starts[item] : starts[item] + frames[item]].astype(np.float64)
        delta = part.mean(axis=0) - mean
        total = count + len(part)
        mean = mean + delta * len(part) / total
        squares = squares + part.var(axis=0) * len(part) + delta**2 * count * len(part) / total
        count = total
    std = np.sqrt(squares / max(count, 1))
    return torch.from_numpy(mean).float(), torch.from_numpy(std).float()
