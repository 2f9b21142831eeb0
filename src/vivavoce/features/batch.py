"""Crops of recordings, cut by the same code from a store on disk and from recordings computed a moment ago."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vivavoce.features.store import FeatureStore, Shards


class SpeakerBatch(NamedTuple):
    """Crops for the speaker task."""

    voice: Tensor  # (batch, frames, voice channels)
    speakers: Tensor  # (batch,) class labels


class LivenessBatch(NamedTuple):
    """Crops for the correlation task; padded where a recording is shorter than the crop."""

    voice: Tensor  # (batch, frames, voice channels)
    echo: Tensor  # (batch, frames, echo channels)
    lengths: Tensor  # (batch,)
    live: Tensor  # (batch,) 1 for live, 0 for an attack
    shifted_of: Tensor  # (shifted,) which crop a shifted echo belongs to
    shifted_echo: Tensor  # (shifted, frames, channels) cut from the same recording, earlier or later
    shifted_lengths: Tensor  # (shifted,)


def random_starts(store: FeatureStore, slots: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    """First frame of a random crop of each slot, ``(slots,)``; 0 where the recording is no longer than the crop."""
    slack = np.maximum(store.frames[slots] - frames, 0)
    return np.floor(rng.random(len(slots)) * (slack + 1)).astype(np.int64)


def gather_wrapped(
    array: np.ndarray | Shards, store: FeatureStore, slots: np.ndarray, starts: np.ndarray, frames: int
) -> Tensor:
    """Crops ``(slots, frames, channels)``; a recording shorter than the crop is repeated."""
    crops = np.empty((len(slots), frames, array.shape[1]), dtype=array.dtype)
    # One plain copy a crop: an index of all frames at once would be ten times slower.
    for crop, first, length, start in _spans(crops, store, slots, starts):
        count = min(frames, length - start)
        crop[:count] = array[first + start : first + start + count]
        if count < frames:
            crop[count:] = array[first : first + length][(np.arange(count, frames) + start) % length]
    return torch.from_numpy(crops).float()


def gather_padded(
    array: np.ndarray | Shards, store: FeatureStore, slots: np.ndarray, starts: np.ndarray, frames: int
) -> tuple[Tensor, Tensor]:
    """Crops ``(slots, frames, channels)`` with zeros behind a recording's end, and their lengths ``(slots,)``."""
    crops = np.empty((len(slots), frames, array.shape[1]), dtype=array.dtype)
    lengths = np.clip(store.frames[slots] - starts, 0, frames)
    for (crop, first, _, start), count in zip(_spans(crops, store, slots, starts), lengths.tolist(), strict=True):
        crop[:count] = array[first + start : first + start + count]
        crop[count:] = 0
    return torch.from_numpy(crops).float(), torch.from_numpy(lengths)


def _spans(
    crops: np.ndarray, store: FeatureStore, slots: np.ndarray, starts: np.ndarray
) -> Iterator[tuple[np.ndarray, int, int, int]]:
    """Pair each crop's room with the first frame and length of its recording and the crop's start in it."""
    return zip(crops, store.starts[slots].tolist(), store.frames[slots].tolist(), starts.tolist(), strict=True)
