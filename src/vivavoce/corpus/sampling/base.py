"""What all samplers share: an epoch planned as global batches, the part of one rank, and the state."""

import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from vivavoce.corpus.sampling.items import Items
from vivavoce.errors import UserError


class Sampler(Protocol):
    """Yields the batches of one epoch of one rank."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...

    def set_epoch(self, epoch: int) -> None:
        """Go to another epoch, which has another order."""
        ...

    def state_dict(self, position: int | None = None) -> dict[str, Any]:
        """Say where the sampler stands."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly behind the last batch of a saved state."""
        ...


@dataclass(frozen=True)
class BatchSpec:
    """How an epoch is cut: items of a batch of all ranks together, the seed, and which rank this is.

    Raises:
        UserError: the batch cannot be divided evenly among the ranks.
        ValueError: the rank is not one of the world's.
    """

    batch: int
    seed: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise ValueError(f"Rank {self.rank} is not below the world size {self.world}.")
        if self.batch < 1 or self.batch % self.world:
            raise UserError(
                f"A batch of {self.batch} cannot be divided evenly among {self.world} processes; "
                f"choose a multiple of {self.world}."
            )


class PlannedSampler(ABC):
    """Plans the global batches of an epoch from seed and epoch alone, and yields this rank's part of each.

    The plan does not depend on the rank, so the parts of all ranks, put together in the order of the ranks, are the
    batches that a single process would see. Where a last, smaller batch cannot be divided evenly, items of that batch
    are repeated until it can (as in ``torch.utils.data.DistributedSampler``); nothing else is repeated for the ranks.
    """

    def __init__(self, spec: BatchSpec) -> None:
        self.spec = spec
        self.epoch = 0
        self._position = 0  # batches of the epoch that were yielded
        self._restored = False
        self._planned: tuple[int, list[np.ndarray]] | None = None

    @abstractmethod
    def order(self, epoch: int) -> np.ndarray:
        """Items of an epoch in their order; (drawn,) int64 indices, the same for the same seed and epoch."""

    def plan(self, epoch: int) -> list[np.ndarray]:
        """Global batches of an epoch; each (batch,) int64 indices."""
        return cut(self.order(epoch), self.spec.batch, drop_last=False)

    def generator(self, epoch: int) -> np.random.Generator:
        """Randomness of an epoch."""
        return np.random.default_rng([self.spec.seed, epoch])

    def __len__(self) -> int:
        """Batches of the present epoch, the same on every rank."""
        return len(self._plan(self.epoch))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield this rank's batches, (batch / world,) int64 indices; from the beginning, or behind a restored state."""
        if not self._restored:
            self._position = 0
        self._restored = False
        plan = self._plan(self.epoch)
        for position in range(self._position, len(plan)):
            self._position = position + 1
            yield self._part(plan[position])

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch; a state just restored in that very epoch is kept."""
        if self._restored and epoch == self.epoch:
            return
        self.epoch, self._position, self._restored = epoch, 0, False

    def state_dict(self, position: int | None = None) -> dict[str, Any]:
        """Say where the sampler stands, alike on every rank; loads on any number of ranks that gives the same plan.

        Args:
            position: batches that were used up; None: all that were yielded. A loader that reads ahead has had more
                yielded than were trained on, so it gives the number itself.
        """
        if position is None:
            position = self._position
        return {"epoch": self.epoch, "position": position, "plan": _checksum(self._plan(self.epoch))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly behind the last batch of a saved state.

        Raises:
            UserError: the state was saved over other recordings, with another seed or another config.
        """
        epoch, position = state["epoch"], state["position"]
        plan = self._plan(epoch)
        if state["plan"] != _checksum(plan) or not 0 <= position <= len(plan):
            raise UserError(
                f"The sampler's saved state (epoch {epoch}, batch {position}) belongs to other recordings, another "
                "seed or other sampling options; give it the ones it was saved with, or train into another folder."
            )
        self.epoch, self._position, self._restored = epoch, position, True

    def _plan(self, epoch: int) -> list[np.ndarray]:
        """Plan an epoch; the last one planned is kept."""
        if self._planned is None or self._planned[0] != epoch:
            self._planned = epoch, self.plan(epoch)
        return self._planned[1]

    def _part(self, batch: np.ndarray) -> np.ndarray:
        """Cut this rank's block out of a global batch."""
        world = self.spec.world
        share = math.ceil(len(batch) / world)
        whole = np.resize(batch, share * world)
        return whole[self.spec.rank * share : (self.spec.rank + 1) * share]


class PlannedSamplerConfig(BaseModel, ABC):
    """A sampler's options."""

    model_config = ConfigDict(extra="forbid")

    @abstractmethod
    def sampler(self, items: Items, spec: BatchSpec) -> PlannedSampler:
        """Make the sampler."""

    def build(self, items: Items, batch: int, seed: int, rank: int = 0, world: int = 1) -> PlannedSampler:
        """Make the sampler of one rank; ``batch`` is what all ranks together take in a step.

        Raises:
            UserError: there are no recordings, or they do not allow what the options ask for.
        """
        if not len(items):
            raise UserError("There are no recordings to draw from; check the manifest and what was filtered out of it.")
        sampler = self.sampler(items, BatchSpec(batch, seed, rank, world))
        len(sampler)  # an epoch that cannot be planned is refused here, not in the middle of a run
        return sampler


def cut(order: np.ndarray, batch: int, drop_last: bool) -> list[np.ndarray]:
    """Cut (drawn,) items into batches of ``batch``; ``drop_last`` leaves a smaller last one out.

    Raises:
        UserError: no batch is left.
    """
    batches = np.split(order, range(batch, len(order), batch))
    if drop_last and len(batches[-1]) < batch:
        batches.pop()
    if not batches:
        raise UserError(
            f"A batch of {batch} is larger than the {len(order)} recordings of an epoch, and a smaller last batch is "
            "dropped; lower the batch, or set drop_last to false."
        )
    return batches


def _checksum(plan: list[np.ndarray]) -> int:
    sizes = np.array([len(batch) for batch in plan])
    return zlib.crc32(np.concatenate([sizes, *plan]).astype("<i8").tobytes())
