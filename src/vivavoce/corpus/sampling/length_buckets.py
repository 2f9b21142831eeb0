"""Batches of recordings of similar length, inside any other order."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from vivavoce.corpus.sampling.base import BatchSpec, PlannedSampler, PlannedSamplerConfig, cut
from vivavoce.corpus.sampling.items import Items
from vivavoce.corpus.sampling.kind_balanced import KindBalancedConfig
from vivavoce.corpus.sampling.random import RandomConfig
from vivavoce.corpus.sampling.speaker_balanced import SpeakerBalancedConfig
from vivavoce.corpus.sampling.weighted import WeightedConfig
from vivavoce.errors import UserError

InnerConfig = Annotated[
    RandomConfig | WeightedConfig | SpeakerBalancedConfig | KindBalancedConfig, Field(discriminator="type")
]


class LengthBucketsConfig(PlannedSamplerConfig):
    """Another sampler's recordings, batched by length."""

    type: Literal["length_buckets"] = "length_buckets"
    inner: InnerConfig = Field(default_factory=RandomConfig, description="which recordings, and how often")
    buckets: int = Field(
        default=10,
        ge=1,
        description="most ranges of length, each with about as many recordings and two batches or more",
    )
    max_padded: float | None = Field(
        default=None,
        gt=0,
        description="most that a batch may hold with its padding, items times the longest, in the unit of the lengths "
        "(frames or s); the batch then bounds the items as well, whichever comes first",
    )
    drop_last: bool = Field(default=True, description="leave out a last batch that is not full")

    @field_validator("inner")
    @classmethod
    def _drops_nothing(cls, inner: InnerConfig) -> InnerConfig:
        if "drop_last" in inner.model_fields_set:
            raise ValueError("drop_last belongs to length_buckets itself, which makes the batches")
        return inner

    def sampler(self, items: Items, spec: BatchSpec) -> "LengthBucketsSampler":
        """Make the sampler."""
        inner = self.inner.sampler(items, spec)
        lengths = np.asarray(items.lengths, float)
        return LengthBucketsSampler(inner, lengths, self.buckets, self.max_padded, self.drop_last)


class LengthBucketsSampler(PlannedSampler):
    """Collects each bucket's items in the order of the inner sampler into batches, and shuffles the batches.

    An epoch holds what the inner sampler's does, so its weights and shares hold over the epoch, and in a batch as far
    as lengths allow. What does not fill a batch of its bucket is batched with its neighbours in length. The number of
    batches may differ by epoch, unless the inner sampler takes each item once.
    """

    def __init__(
        self, inner: PlannedSampler, lengths: np.ndarray, buckets: int, max_padded: float | None, drop_last: bool
    ) -> None:
        super().__init__(inner.spec)
        self.inner = inner
        self.lengths = lengths
        self.max_padded = max_padded
        self.drop_last = drop_last
        if not self._largest(float(lengths.max())):
            raise UserError(
                f"The longest recording ({lengths.max():g}) does not fit into max_padded = {max_padded:g} on each of "
                f"{self.spec.world} processes; raise max_padded, or leave such recordings out."
            )
        # With less than two batches in a bucket, the same recordings would meet in each epoch.
        full = max(1, len(inner.order(0)) // (2 * self._largest(float(lengths.mean()))))
        buckets = min(buckets, full)
        edges = np.quantile(lengths, np.arange(1, buckets) / buckets)
        self.bucket = np.searchsorted(edges, lengths)  # (items,)

    def order(self, epoch: int) -> np.ndarray:
        """Items of an epoch, batch after batch; (drawn,) int64."""
        return np.concatenate(self.plan(epoch))

    def plan(self, epoch: int) -> list[np.ndarray]:
        """Global batches of an epoch; each (batch,) int64."""
        order = self.inner.order(epoch)
        bucket = self.bucket[order]
        batches, left = [], []
        for number in np.unique(bucket):
            members = order[bucket == number]
            size = self._largest(float(self.lengths[members].max()))
            full = len(members) // size * size
            batches += list(members[:full].reshape(-1, size))
            left.append(members[full:])
        batches += self._neighbours(np.concatenate(left))
        if not batches:
            return cut(order, self.spec.batch, self.drop_last)  # says why there is none
        rng = np.random.default_rng([self.spec.seed, epoch, 1])  # not the inner sampler's numbers again
        return [batches[number] for number in rng.permutation(len(batches))]

    def _neighbours(self, items: np.ndarray) -> list[np.ndarray]:
        """Batches of neighbours in length, from the longest down."""
        items = items[np.argsort(-self.lengths[items], kind="stable")]
        batches = []
        while len(items):
            size = self._largest(float(self.lengths[items[0]]))
            if len(items) < size and self.drop_last:
                break
            batches.append(items[:size])
            items = items[size:]
        return batches

    def _largest(self, length: float) -> int:
        """Most items of a global batch whose longest has this length: a multiple of the ranks."""
        batch, world = self.spec.batch, self.spec.world
        if self.max_padded is None:
            return batch
        fitting = batch if length * batch <= self.max_padded else int(self.max_padded / length)
        return fitting // world * world
