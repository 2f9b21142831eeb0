"""A seeded permutation of all recordings, or of a part of them an epoch."""

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from vivavoce.corpus.sampling.base import BatchSpec, PlannedSampler, PlannedSamplerConfig, cut
from vivavoce.corpus.sampling.items import Items
from vivavoce.errors import UserError


class RandomConfig(PlannedSamplerConfig):
    """Each recording once, in random order."""

    type: Literal["random"] = "random"
    share: float | None = Field(default=None, gt=0, le=1, description="share of the recordings an epoch takes")
    count: int | None = Field(default=None, ge=1, description="recordings an epoch takes; instead of share")
    drop_last: bool = Field(default=True, description="leave out a last batch that is not full")

    @model_validator(mode="after")
    def _one_of_both(self) -> "RandomConfig":
        if self.share is not None and self.count is not None:
            raise ValueError("give share or count, not both")
        return self

    def sampler(self, items: Items, spec: BatchSpec) -> "RandomSampler":
        """Make the sampler."""
        count = self.count or (len(items) if self.share is None else round(self.share * len(items)))
        if not 0 < count <= len(items):
            raise UserError(
                f"An epoch would take {count} of the {len(items)} recordings; choose a share or count from 1 to "
                f"{len(items)} recordings."
            )
        return RandomSampler(len(items), count, spec, self.drop_last)


class RandomSampler(PlannedSampler):
    """Deals ``count`` of the items an epoch; with fewer than all, no item comes again before the others were dealt.

    An epoch of a part takes the next part of one permutation; what is left of it, fewer than ``count``, is left out.
    """

    def __init__(self, items: int, count: int, spec: BatchSpec, drop_last: bool) -> None:
        super().__init__(spec)
        self.items = items
        self.count = count
        self.drop_last = drop_last

    def order(self, epoch: int) -> np.ndarray:
        """Items of an epoch; (count,) int64."""
        round_number, part = divmod(epoch, self.items // self.count)
        permutation = self.generator(round_number).permutation(self.items)
        return permutation[part * self.count : (part + 1) * self.count]

    def plan(self, epoch: int) -> list[np.ndarray]:
        """Global batches of an epoch; each (batch,) int64."""
        return cut(self.order(epoch), self.spec.batch, self.drop_last)
