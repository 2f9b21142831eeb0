"""Random draws: one seed and names give one generator; a ``Spread`` is a physical parameter with its range."""

import hashlib
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return the generator of what ``names`` say, under ``seed``.

    The stream depends on nothing else, so that each recording can be made alone, in any order and by any worker.
    """
    digest = hashlib.sha256("\x1f".join(names).encode()).digest()
    words = np.frombuffer(digest, dtype="<u4").tolist()
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


class Settings(BaseModel):
    """A config that refuses unknown keys and cannot change once made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Spread(Settings):
    """A parameter that varies: its range and typical value; a plain number in a config fixes it,
    and a list ``[low, typical, high]`` stands for the three.

    Drawn from the PERT distribution (a beta distribution on the range with its mode at ``typical`` and weight 4,
    Malcolm et al. 1959), which never leaves the range.
    """

    low: float
    typical: float
    high: float

    @model_validator(mode="before")
    @classmethod
    def _fixed(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {"low": value, "typical": value, "high": value}
        if isinstance(value, list | tuple):
            if len(value) != 3:
                raise ValueError(f"give one number, or three (low, typical, high), not {len(value)}")
            return dict(zip(("low", "typical", "high"), value, strict=True))
        return value

    @model_validator(mode="after")
    def _ordered(self) -> "Spread":
        if not self.low <= self.typical <= self.high:
            raise ValueError(f"low <= typical <= high must hold, not {self.low}, {self.typical}, {self.high}")
        return self

    def draw(self, rng: np.random.Generator) -> float:
        """Return one value in ``[low, high]``."""
        width = self.high - self.low
        if width == 0:
            rng.beta(1.0, 1.0)  # keeps later draws of this generator where they were
            return self.low
        mode = (self.typical - self.low) / width
        return float(self.low + width * rng.beta(1 + 4 * mode, 5 - 4 * mode))


def spread(low: float, typical: float, high: float) -> Spread:
    """Return ``Spread(low, typical, high)``; reads well as a default."""
    return Spread(low=low, typical=typical, high=high)


def lognormal_within(rng: np.random.Generator, median: float, sigma: float, low: float, high: float) -> float:
    """Draw a log-normal value with ``median`` and log-deviation ``sigma``, held within ``[low, high]``."""
    return float(np.clip(median * np.exp(sigma * rng.standard_normal()), low, high))


def decibels(value_db: float) -> float:
    """Amplitude ratio of a level in dB."""
    return float(10 ** (value_db / 20))
