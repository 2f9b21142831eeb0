"""Recordings that belong together: groups that a split must never cut through."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.identity import RealPaths
from vivavoce.corpus.policy import Grouping

T = TypeVar("T", bound=Hashable)


class UnionFind(Generic[T]):
    """Items that are joined pair by pair into disjoint groups."""

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._parent: dict[T, T] = {item: item for item in items}

    def join(self, first: T, second: T) -> None:
        """Put the groups of two items together; an item not seen before is taken up."""
        self._parent[self.root(first)] = self.root(second)

    def root(self, item: T) -> T:
        """Return the item that stands for the group of ``item``."""
        parent = self._parent
        parent.setdefault(item, item)
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def groups(self) -> list[list[T]]:
        """All groups; the order of groups and members follows the order in which items were taken up."""
        members: defaultdict[T, list[T]] = defaultdict(list)
        for item in self._parent:
            members[self.root(item)].append(item)
        return list(members.values())


def source_of(row: Row) -> str | None:
    """Return the id of the recording that this one was made from (the metadata extra `source`), if it says so."""
    source = (row.meta.model_extra or {}).get("source")
    return None if source is None else str(source)


def unit_of(row: Row, by: Grouping) -> tuple[str, ...]:
    """Return what is never cut: the speaker, or the speaker's session. A session's name counts within its speaker."""
    return (row.speaker,) if by is Grouping.SPEAKER else (row.speaker, row.meta.session or "")


def group_rows(
    rows: Sequence[Row], by: Grouping = Grouping.SPEAKER, linked: Iterable[tuple[str, str]] = ()
) -> np.ndarray:
    """Number the group of each row: (rows,) int64.

    Units (speakers, or sessions of a speaker) are joined where their rows share a sound file, where one row's `source`
    is the other's id or `source`, and where ``linked`` names a pair of row ids. Groups are numbered by their first
    unit in sorted order, whatever the order of the rows.

    Raises:
        ValueError: ``linked`` names an id that no row has.
    """
    units = [unit_of(row, by) for row in rows]
    joined = UnionFind(sorted(set(units)))
    owner: dict[tuple[str, str], tuple[str, ...]] = {}
    real = RealPaths()
    for row, unit in zip(rows, units, strict=True):
        joined.join(owner.setdefault(("file", real(row.path)), unit), unit)
        joined.join(owner.setdefault(("id", row.id), unit), unit)
        if source := source_of(row):
            joined.join(owner.setdefault(("id", source), unit), unit)
    known = dict(zip((row.id for row in rows), units, strict=True))
    for first, second in linked:
        if first not in known or second not in known:
            raise ValueError(f"No row has the id {second if first in known else first}, which a link names.")
        joined.join(known[first], known[second])
    number = {unit: index for index, group in enumerate(joined.groups()) for unit in group}
    return np.array([number[unit] for unit in units], dtype=np.int64)
