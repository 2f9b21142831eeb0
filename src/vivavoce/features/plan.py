"""Which recording's features go into which shard, and how large it all will be, before anything is computed.

Shards are cut by the durations that the manifest gives, so that neither the number of workers nor a kill has a say in
what stands where.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.features.folder import VALUE_BYTES, Record
from vivavoce.features.spec import StoreSpec, span_digests

FRAMES_PER_S = 100
# Largest file of a shard: one is made again after a kill, and a thousand hours are a hundred of them.
SHARD_BYTES = 512 * 2**20
# What a shard's index holds of each slot and each recording.
SLOT_BYTES, RECORDING_BYTES = 16, 128


class Estimate(NamedTuple):
    """What an extraction will take, before it starts."""

    recordings: int
    slots: int  # recordings × copies
    hours: float  # of sound, all copies together
    bytes: int
    shards: int


@dataclass(frozen=True)
class Plan:
    """Which recording's features go into which shard."""

    rows: Sequence[Row]
    spans: np.ndarray  # (recordings, 16) what the manifest says of each one's sound
    spec: StoreSpec
    channels: tuple[int, int]
    edges: tuple[int, ...]  # first recording of each shard, and the number of all
    estimate: Estimate

    @cached_property
    def key(self) -> str:
        """Hash of everything but the sound itself; shards carry it to say which store they belong to."""
        said = [self.spec.described(), self.channels, self.edges, [row.id for row in self.rows]]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode() + self.spans.tobytes()).hexdigest()

    def record(self, whole: bool) -> Record:
        """What store.json is to say."""
        return Record(self.key, self.spec.described(), self.channels, self.edges, whole)

    def members(self, shard: int) -> Sequence[Row]:
        """The recordings of a shard."""
        return self.rows[self.edges[shard] : self.edges[shard + 1]]


def make_plan(rows: Sequence[Row], spec: StoreSpec) -> Plan:
    """Cut the recordings into shards of about `SHARD_BYTES` a file at most, and estimate the size of it all."""
    front_end = spec.front_end.build()
    channels = (front_end.voice_channels, front_end.echo_channels)
    seconds = np.array([row.duration_s for row in rows])
    # Slow copies last longer: on average as the factors' reciprocals do.
    slow = [1 / factor for factor in spec.augment.build().speed_factors] if spec.copies > 1 else [1.0]
    versions = 1 + (spec.copies - 1) * float(np.mean(slow))
    longest = np.ceil(seconds * FRAMES_PER_S) * (1 + (spec.copies - 1) * max(slow)) + spec.copies
    size = longest * max(channels) * VALUE_BYTES
    shard = np.floor(np.maximum(np.cumsum(size) - 1, 0) / SHARD_BYTES)
    edges = np.unique(np.concatenate([[0], np.flatnonzero(np.diff(shard)) + 1, [len(rows)]]))
    total = seconds.sum() * versions * FRAMES_PER_S * sum(channels) * VALUE_BYTES
    total += len(rows) * (spec.copies * SLOT_BYTES + RECORDING_BYTES)
    hours = float(seconds.sum() * versions / 3600)
    estimate = Estimate(len(rows), len(rows) * spec.copies, hours, int(total), len(edges) - 1)
    return Plan(rows, span_digests(rows), spec, channels, tuple(edges.tolist()), estimate)
