"""Crops of recordings, cut by the same code from a store on disk and from recordings computed a moment ago."""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vivavoce.features.store import FeatureStore, Shards


class SpeakerBatch(NamedTuple):
    """Crops for the speaker task."""

    voice: Tensor  # (batch, frames, voice channels)
    speakers: Tensor  # (batch,) class labels


class Origin(IntEnum):
    """How a pair of voice and echo came about."""

    RECORDED = 0  # as they were recorded together, by a live speaker or in an attack
    REPLACE = 1  # a live voice with the echo of an attack
    SWAP = 2  # a live voice with the echo of another live recording
    SHIFT = 3  # a live voice with its own echo of another time
    PARTIAL = 4  # a span of both comes from elsewhere: from one recording (still true), or from two


class LivenessBatch(NamedTuple):
    """Streams for the correlation task, each encoded once, and which voice is judged with which echo.

    Streams are padded with zeros behind their lengths. The first pairs are the recordings of the batch as they are:
    pair i joins voice i with echo i. Labels of frames are those of the 20 ms frames that heads judge.
    """

    voice: Tensor  # (voices, frames, voice channels)
    echo: Tensor  # (echoes, frames, echo channels)
    voice_lengths: Tensor  # (voices,)
    echo_lengths: Tensor  # (echoes,)
    voice_of: Tensor  # (pairs,) index of the voice
    echo_of: Tensor  # (pairs,) index of the echo
    lengths: Tensor  # (pairs,) frames that are judged, no more than either stream has
    live: Tensor  # (pairs,) 1 where voice and echo belong together throughout, else 0
    frame_live: Tensor  # (pairs, ceil(frames / 2)) 1 where they belong together around that frame, else 0
    origin: Tensor  # (pairs,) an `Origin`
    kind: Tensor  # (pairs,) a recording's kind as its place in `Kind`; -1 for pairs that were made
    taught: Tensor  # (taught,) pairs whose mouth's motion is known; they are recordings as they are
    motion: Tensor  # (taught, frames, motion channels) what the mouth did


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
    array: np.ndarray | Shards,
    store: FeatureStore,
    slots: np.ndarray,
    starts: np.ndarray,
    frames: int,
    lengths: np.ndarray | None = None,
) -> tuple[Tensor, Tensor]:
    """Crops ``(slots, frames, channels)`` with zeros behind a recording's end, and their lengths ``(slots,)``.

    ``lengths`` ``(slots,)`` ends crops earlier.
    """
    crops = np.empty((len(slots), frames, array.shape[1]), dtype=array.dtype)
    counts = np.clip(store.frames[slots] - starts, 0, frames if lengths is None else lengths)
    for (crop, first, _, start), count in zip(_spans(crops, store, slots, starts), counts.tolist(), strict=True):
        crop[:count] = array[first + start : first + start + count]
        crop[count:] = 0
    return torch.from_numpy(crops).float(), torch.from_numpy(counts)


def _spans(
    crops: np.ndarray, store: FeatureStore, slots: np.ndarray, starts: np.ndarray
) -> Iterator[tuple[np.ndarray, int, int, int]]:
    """Pair each crop's room with the first frame and length of its recording and the crop's start in it."""
    return zip(crops, store.starts[slots].tolist(), store.frames[slots].tolist(), starts.tolist(), strict=True)
