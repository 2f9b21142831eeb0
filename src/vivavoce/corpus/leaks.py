"""What two manifests share that would let a model be tested on what it has heard."""

import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import combinations
from typing import Any

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.groups import source_of
from vivavoce.corpus.identity import RealPaths, content_keys

# Named in a sentence; all are counted.
_NAMED = 3
# Ends that rounding moved do not overlap, s.
_TOUCHING_S = 1e-6


class LeakType(StrEnum):
    """What is shared."""

    ID = "id"
    SPEAKER = "speaker"
    SESSION = "session"
    FILE = "file"
    CONTENT = "content"
    SPAN = "span"
    SOURCE = "source"


_WORDS = {
    LeakType.ID: ("recording id", "recording ids"),
    LeakType.SPEAKER: ("speaker", "speakers"),
    LeakType.SESSION: ("session", "sessions"),
    LeakType.FILE: ("sound file", "sound files"),
    LeakType.CONTENT: ("sound file of the same bytes", "sound files of the same bytes"),
    LeakType.SPAN: ("overlap within a sound file", "overlaps within a sound file"),
    LeakType.SOURCE: ("source recording", "source recordings"),
}


@dataclass(frozen=True)
class Shared:
    """One thing that two parts share, and the id of a recording of each part that has it."""

    what: str
    first: str
    second: str


@dataclass(frozen=True)
class Leak:
    """All things of one type that two named parts share."""

    type: LeakType
    parts: tuple[str, str]
    shared: list[Shared]

    def describe(self, most: int = _NAMED) -> str:
        """Count them and name ``most``: ``2 speakers (ann in a-1 and a-7, bob in b-2 and b-4)``."""
        named = [
            one.what if one.what == one.first == one.second else f"{one.what} in {one.first} and {one.second}"
            for one in self.shared[:most]
        ]
        more = ", …" if len(self.shared) > most else ""
        return f"{len(self.shared)} {_WORDS[self.type][len(self.shared) != 1]} ({', '.join(named)}{more})"

    def to_dict(self) -> dict[str, Any]:
        """Write it for JSON, with the first hundred."""
        return {
            "type": self.type.value,
            "parts": list(self.parts),
            "count": len(self.shared),
            "first": [asdict(one) for one in self.shared[:100]],
        }


def find_leaks(parts: Mapping[str, Sequence[Row]], closed_set: bool = False) -> list[Leak]:
    """Find what any two parts share: ids, speakers, sessions, sound files (by path and by bytes), spans, sources.

    A session's name counts within its speaker. A source is shared where both recordings name the same `source`, or
    one names the other. Sound files that are not there are compared by path only.

    Args:
        parts: rows by the name of their part.
        closed_set: the speakers are meant to be the same in all parts, so that only what is narrower counts.
    """
    real = RealPaths()
    paths = {name: [real(row.path) for row in rows] for name, rows in parts.items()}
    leaks = []
    for first, second in combinations(parts, 2):
        pair = (parts[first], parts[second])
        where = (paths[first], paths[second])
        found = {
            LeakType.ID: _common(pair, lambda row: row.id),
            LeakType.SPEAKER: [] if closed_set else _common(pair, lambda row: row.speaker),
            LeakType.SESSION: _common(pair, _session),
            LeakType.FILE: _common_paths(pair, where),
            LeakType.CONTENT: _common_bytes(pair, where),
            LeakType.SPAN: _overlaps(pair, where),
            LeakType.SOURCE: _common_sources(pair),
        }
        leaks += [Leak(kind, (first, second), shared) for kind, shared in found.items() if shared]
    return leaks


def describe_leaks(leaks: Iterable[Leak]) -> str:
    """Join the leaks of a pair of parts: ``2 speakers (…) and 1 sound file (…)``; of many types, one pair of each."""
    leaks = list(leaks)
    described = [leak.describe(_NAMED if len(leaks) == 1 else 1) for leak in leaks]
    return described[0] if len(described) == 1 else f"{', '.join(described[:-1])} and {described[-1]}"


Pair = tuple[Sequence[Row], Sequence[Row]]


def _common(pair: Pair, key: Callable[[Row], Hashable]) -> list[Shared]:
    first, second = ({key(row): row.id for row in reversed(rows)} for rows in pair)
    return _match(first, second)


def _match(first: Mapping[Any, str], second: Mapping[Any, str]) -> list[Shared]:
    """Everything that both name, apart from None, in the order of the first."""
    common = first.keys() & second.keys() - {None}
    return sorted((Shared(_name(key), first[key], second[key]) for key in common), key=lambda one: one.what)


def _name(key: Hashable) -> str:
    return " of ".join(map(str, reversed(key))) if isinstance(key, tuple) else str(key)


def _session(row: Row) -> tuple[str, str] | None:
    return (row.speaker, row.meta.session) if row.meta.session else None


def _common_paths(pair: Pair, where: tuple[list[str], list[str]]) -> list[Shared]:
    first, second = (
        {path: row.id for path, row in zip(reversed(own), reversed(rows), strict=True)}
        for rows, own in zip(pair, where, strict=True)
    )
    return _match(first, second)


def _common_bytes(pair: Pair, where: tuple[list[str], list[str]]) -> list[Shared]:
    """Files of different paths and the same bytes."""
    ids = [dict(zip(own, (row.id for row in rows), strict=True)) for rows, own in zip(pair, where, strict=True)]
    both = ids[0].keys() & ids[1].keys()
    sides = {path: side for side in (0, 1) for path in ids[side] if path not in both}
    keys = content_keys(sides, sides)
    firsts: dict[str, str] = {}
    for path in sorted(keys):
        if sides[path] == 0:
            firsts.setdefault(keys[path], path)
    return [
        Shared(os.path.basename(path), ids[0][firsts[keys[path]]], ids[1][path])  # noqa: PTH119
        for path in sorted(keys)
        if sides[path] == 1
    ]


def _overlaps(pair: Pair, where: tuple[list[str], list[str]]) -> list[Shared]:
    """Rows of both parts whose spans of one channel of one file overlap; of many in one place one is named."""
    spans: dict[tuple[str, int], tuple[list[Row], list[Row]]] = {}
    both = set(where[0]) & set(where[1])
    for side in (0, 1):
        for row, path in zip(pair[side], where[side], strict=True):
            if path in both:
                spans.setdefault((path, row.channel), ([], []))[side].append(row)
    shared = []
    for (path, _), (first, second) in sorted(spans.items()):
        second.sort(key=lambda row: (row.start_s, row.id))
        for row in sorted(first, key=lambda row: (row.start_s, row.id)):
            end = row.start_s + row.duration_s
            for other in second:
                if other.start_s >= end - _TOUCHING_S:
                    break
                if other.start_s + other.duration_s > row.start_s + _TOUCHING_S:
                    begin, stop = max(row.start_s, other.start_s), min(end, other.start_s + other.duration_s)
                    what = f"{os.path.basename(path)} from {begin:.2f} to {stop:.2f} s"  # noqa: PTH119
                    shared.append(Shared(what, row.id, other.id))
                    break
    return shared


def _common_sources(pair: Pair) -> list[Shared]:
    ids = [{row.id: row.id for row in rows} for rows in pair]
    sources = [{source: row.id for row in reversed(rows) if (source := source_of(row))} for rows in pair]
    found = _match(sources[0], sources[1]) + _match(sources[0], ids[1]) + _match(ids[0], sources[1])
    return sorted({one.what: one for one in reversed(found)}.values(), key=lambda one: one.what)
