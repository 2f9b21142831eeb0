"""What every augmentation is: a config with a probability, and a step that changes the chosen items of a batch."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from torch import Tensor

from vivavoce.features.augment.bank import Bank, Rereads
from vivavoce.signal.framing import VOICE_RATE_HZ

Band = Literal["voice", "ultrasound"]
RATE_HZ = VOICE_RATE_HZ


class Section(BaseModel):
    """A config of one augmentation: refuses unknown keys and cannot change once made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    probability: float = Field(default=0.5, ge=0, le=1, description="share of the recordings it is applied to")


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    if not -np.inf < value[0] <= value[1] < np.inf:
        raise ValueError(f"a range is its lower and then its upper end, not {value[0]:g} and {value[1]:g}")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_rising)]


def positive(value: tuple[float, float]) -> tuple[float, float]:
    """Refuse a range that begins at or below zero."""
    if value[0] <= 0:
        raise ValueError(f"a range that begins above 0 is needed, not {value[0]:g}")
    return value


class Step(Rereads, ABC):
    """One augmentation of the voice band at 16 kHz.

    What a class says of itself is what the documentation's table is made from, and what the tests hold it to.
    """

    name: ClassVar[str]  # its section of the config, and the name of its random stream
    bands: ClassVar[frozenset[Band]]  # what it changes
    keeps_correlation: ClassVar[bool]  # whether a live recording's mouth still moves with its voice

    bank: Bank | None = None  # the user's sounds, of a step that has such

    def __init__(self, probability: float) -> None:
        self.probability = probability

    @property
    def reach(self) -> int:
        """Samples of silence that it needs behind a recording, so that nothing wraps around to the beginning."""
        return 0

    def load(self) -> None:
        """Read what it takes from the user's files."""

    @abstractmethod
    def apply(self, wave: Tensor, lengths: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Return the changed batch.

        Args:
            wave: ``(batch, samples)`` float32 at 16 kHz, zero behind each item's end and for `reach` samples at least.
            lengths: ``(batch,)`` int64 on the wave's device, all above 0.
            rngs: the random stream of each item; nothing else may be drawn from.

        Returns:
            ``(batch, samples)``; what it leaves behind an item's end is cut away by the caller.
        """


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random stream of one augmentation for one item, independent of all others."""
    return np.random.default_rng(np.random.SeedSequence([int(seed) & 0xFFFF_FFFF_FFFF_FFFF, zlib.crc32(name.encode())]))


def column(values: Sequence[float] | np.ndarray, like: Tensor) -> Tensor:
    """Return one number an item as ``(batch, 1)`` float32 on the device of ``like``."""
    return like.new_tensor(np.asarray(values, dtype=np.float32))[:, None]
