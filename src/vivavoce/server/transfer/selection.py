"""Which files of a folder travel."""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property

from vivavoce.files import TEMPORARY
from vivavoce.server.profile import STATE
from vivavoce.server.remote.files import PARTIAL

# What is made anew on each machine, or belongs to it alone; `--include` with the same words takes it along.
LEFT_OUT = (".git", "__pycache__", ".venv", STATE, f"{TEMPORARY}*")


@dataclass(frozen=True)
class Selection:
    """Patterns, and how many of the files that match them.

    A pattern fits a file if it fits its path below the folder, a folder on the way there, or any name in that path.

    Args:
        include: Only files that one of these fits; empty: all.
        exclude: Not those that one of these fits.
        first: Only so many, the first by name.
        random: Only so many, drawn with ``seed`` from all of them, whatever the order on the disk.
        seed: Another seed draws others.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    first: int | None = None
    random: int | None = None
    seed: int = 0

    def choose(self, names: Iterable[str]) -> list[str]:
        """The chosen names, in order."""
        chosen = sorted(name for name in names if self.fits(name))
        if self.first is not None:
            return chosen[: self.first]
        if self.random is not None and self.random < len(chosen):
            return sorted(random.Random(self.seed).sample(chosen, self.random))
        return chosen

    @property
    def counted(self) -> bool:
        """Whether it takes only so many."""
        return self.first is not None or self.random is not None

    @property
    def prune(self) -> list[str]:
        """Names of folders that need not be looked into."""
        return [pattern for pattern in self._left_out if "*" not in pattern]

    def fits(self, name: str) -> bool:
        """Whether the patterns let a file travel."""
        parts = name.split("/")
        tried = {*parts, *("/".join(parts[:end]) for end in range(2, len(parts) + 1))}
        if any(self._out.match(one) for one in tried):
            return False
        return not self.include or any(self._in.match(one) for one in tried)

    @cached_property
    def _left_out(self) -> tuple[str, ...]:
        return (PARTIAL, *(pattern for pattern in LEFT_OUT if pattern not in _clean(self.include)))

    @cached_property
    def _out(self) -> re.Pattern[str]:
        return _any_of((*self._left_out, *_clean(self.exclude)))

    @cached_property
    def _in(self) -> re.Pattern[str]:
        return _any_of(_clean(self.include))


def _clean(patterns: Iterable[str]) -> tuple[str, ...]:
    return tuple(pattern.removeprefix("./").rstrip("/") for pattern in patterns)


def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))
