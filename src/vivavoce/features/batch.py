"""Batches of random crops: one gather over the store for a whole batch."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vivavoce.features.store import FeatureStore


class SpeakerBatch(NamedTuple):
    """Crops for the speaker task."""

    voice: Tensor  # (batch, frames, mels)
    speakers: Tensor  # (batch,) class labels


class LivenessBatch(NamedTuple):
    """Crops for the correlation task; padded where a recording is shorter than the crop."""

    voice: Tensor  # (batch, frames, mels)
    echo: Tensor  # (batch, frames, channels)
    lengths: Tensor  # (batch,)
    live: Tensor  # (batch,) 1 for live, 0 for an attack
    shifted_of: Tensor  # (shifted,) which crop a shifted echo belongs to
    shifted_echo: Tensor  # (shifted, frames, channels) cut from the same recording, earlier or later
    shifted_lengths: Tensor  # (shifted,)


def random_starts(store: FeatureStore, items: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    """First frame of a random crop of each item, ``(items,)``; 0 where the recording is no longer than the crop."""
    slack = np.maximum(store.frames[items] - frames, 0)
    return np.floor(rng.random(len(items)) * (slack + 1)).astype(np.int64)


def gather_wrapped(
    array: np.ndarray, store: FeatureStore, items: np.ndarray, starts: np.ndarray, frames: int
) -> Tensor:
    """Crops ``(items, frames, channels)`` of a flat array; a recording shorter than the crop is repeated."""
    offset = (starts[:, None] + np.arange(frames)) % store.frames[items][:, None]
    return torch.from_numpy(array[store.starts[items][:, None] + offset]).float()


def gather_padded(
    array: np.ndarray, store: FeatureStore, items: np.ndarray, starts: np.ndarray, frames: int
) -> tuple[Tensor, Tensor]:
    """Crops ``(items, frames, channels)`` with zeros behind a recording's end, and their lengths ``(items,)``."""
    offset = starts[:, None] + np.arange(frames)
    length = np.clip(store.frames[items] - starts, 0, frames)
    inside = np.arange(frames)[None, :] < length[:, None]
    offset = np.minimum(offset, store.frames[items][:, None] - 1)
    crops = array[store.starts[items][:, None] + offset].astype(np.float32)
    crops[~inside] = 0
    return torch.from_numpy(crops), torch.from_numpy(length)
