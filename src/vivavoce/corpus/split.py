"""A corpus cut into parts that share no speaker, or no session, and no sound file."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vivavoce.corpus.cuts import Row, absolute
from vivavoce.corpus.groups import group_rows
from vivavoce.corpus.identity import RealPaths, content_keys
from vivavoce.corpus.manifest import save_rows
from vivavoce.corpus.policy import SPLITS, Cut, Grouping, check_fractions
from vivavoce.corpus.stratify import (
    Balancer,
    Strata,
    Uncovered,
    count_strata,
    deal,
    largest_remainder,
    systematic_order,
)
from vivavoce.errors import UserError
from vivavoce.files import atomic_path

__all__ = ["SPLITS", "Parts", "check_rows", "cut_rows", "same_content", "split_by_speaker", "write_splits"]

# Where what every part must have is rare, another start may find a way that the first one misses.
_STARTS = 5


@dataclass(frozen=True)
class Parts:
    """A corpus in parts.

    ``rows`` are those of each part, in the order of the corpus; ``strata`` and ``shares`` (parts, strata) say how large
    a share (0–1) of each stratum, such as ("sex", "F"), each part holds; ``groups`` is how many groups were dealt.
    """

    rows: dict[str, list[Row]]
    fractions: tuple[float, ...]
    strata: list[tuple[str, str]]
    shares: np.ndarray
    groups: int

    def worst(self) -> tuple[str, str, str, float]:
        """Part, family and value of the stratum that is farthest from its share, and by how much (0–1)."""
        miss = self.shares - np.array(self.fractions)[:, None]
        part, stratum = np.unravel_index(np.argmax(np.abs(miss)), miss.shape)
        return (list(self.rows)[part], *self.strata[stratum], float(miss[part, stratum]))


def split_by_speaker(
    rows: Sequence[Row], fractions: Sequence[float] = (0.6, 0.2, 0.2), seed: int = 0
) -> dict[str, list[Row]]:
    """Split rows by speaker into ``train``, ``validation`` and ``test``; ``fractions`` are shares of the speakers.

    No speaker and no sound file is in two splits: speakers who share a file, or of whom one has a copy of the other's
    recording (`source`), stay together. Every split has about the same mixture of `sex`, where it is known. The result
    depends on the seed and on the set of speakers, not on the order of the rows, which each split keeps.

    Raises:
        UserError: the fractions are not three positive numbers with the sum 1, or there are too few speakers to fill
            three splits.
    """
    check_fractions(tuple(fractions))
    groups = group_rows(rows)
    _check_groups(rows, groups, len(SPLITS), "A split", Grouping.SPEAKER)
    part = _start(rows, groups, Grouping.SPEAKER, fractions, np.random.default_rng(seed))
    return _collect(rows, part[groups], SPLITS)


def cut_rows(
    rows: Sequence[Row],
    cut: Cut,
    by: Grouping = Grouping.SPEAKER,
    seed: int = 0,
    linked: Iterable[tuple[str, str]] = (),
) -> Parts:
    """Cut a corpus into the parts of ``cut``, stratified by kind, sex and device where these are known.

    By speaker, no speaker is in two parts, and the fractions are shares of the speakers. By session, every speaker is
    in every part, with sessions of their own in each, and the fractions are shares of each speaker's sessions. Either
    way rows stay together that share a sound file, that are copies of one `source`, or that ``linked`` names as pairs
    of ids. Every part gets live recordings and attacks, if the corpus has both. The result depends on the seed and
    the rows, not on their order, which each part keeps.

    Raises:
        UserError: sessions are unknown, or there are too few groups for what every part must have.
        ValueError: ``linked`` names an id that no row has.
    """
    groups = check_rows(rows, cut, by, linked)
    rng = np.random.default_rng(seed)
    strata = _strata(rows, groups)
    needs, sizes = _needs(rows, groups, by)
    for attempt in range(_STARTS):
        start = _start(rows, groups, by, cut.fractions, rng)
        try:
            part = Balancer(strata, start, cut.fractions, sizes, needs, rng).run()
            break
        except Uncovered as error:
            if attempt == _STARTS - 1:
                raise UserError(_uncovered(error, cut, by, rows)) from error
    shares = strata.shares(part, len(cut.parts))
    return Parts(_collect(rows, part[groups], cut.parts), cut.fractions, strata.names, shares, len(part))


def check_rows(
    rows: Sequence[Row], cut: Cut, by: Grouping = Grouping.SPEAKER, linked: Iterable[tuple[str, str]] = ()
) -> np.ndarray:
    """Refuse rows that cannot be cut so; returns the (rows,) group of each.

    Raises:
        UserError: sessions are unknown, or there are fewer groups than parts.
        ValueError: ``linked`` names an id that no row has.
    """
    if by is Grouping.SESSION:
        _check_sessions(rows)
    groups = group_rows(rows, by, linked)
    what = f"Cutting into {len(cut.parts)} folds" if cut.folds else "A split"
    _check_groups(rows, groups, len(cut.parts), what, by)
    return groups


def same_content(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Pairs of row ids whose sound files differ in name and agree in every byte."""
    real = RealPaths()
    paths = [real(row.path) for row in rows]
    keys = content_keys(paths)
    first: dict[str, tuple[str, str]] = {}
    pairs = []
    for row, path in sorted(zip(rows, paths, strict=True), key=lambda item: item[0].id):
        if path in keys:
            name, place = first.setdefault(keys[path], (row.id, path))
            if place != path:
                pairs.append((name, row.id))
    return pairs


def write_splits(
    splits: Mapping[str, Sequence[Row]], folder: Path | str, first: Callable[[], None] | None = None
) -> dict[str, Path]:
    """Write each split to ``folder`` as ``NAME.jsonl.gz``, all of them or none; returns their paths.

    ``first`` is called when all is written, before the first file takes its name.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    paths = {name: Path(folder) / f"{name}.jsonl.gz" for name in splits}
    with ExitStack() as stack:
        for name, rows in splits.items():
            save_rows(rows, stack.enter_context(atomic_path(paths[name])), absolute(paths[name].parent))
        if first is not None:
            first()
    return paths


def _collect(rows: Sequence[Row], part: np.ndarray, names: Sequence[str]) -> dict[str, list[Row]]:
    result: dict[str, list[Row]] = {name: [] for name in names}
    owners = list(result.values())
    for row, index in zip(rows, part.tolist(), strict=True):
        owners[index].append(row)
    return result


def _start(
    rows: Sequence[Row], groups: np.ndarray, by: Grouping, fractions: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """Deal the groups: alike by sex where speakers are dealt, each speaker's own where sessions are."""
    total = int(groups.max()) + 1
    seen: list[set[str]] = [set() for _ in range(total)]
    for row, group in zip(rows, groups.tolist(), strict=True):
        seen[group].add(row.speaker if by is Grouping.SESSION else row.meta.sex or "")
    strata = [tuple(sorted(members)) for members in seen]
    if by is Grouping.SPEAKER:
        return deal(systematic_order(strata, rng), fractions)
    members: defaultdict[Hashable, list[int]] = defaultdict(list)
    for group, stratum in enumerate(strata):
        members[stratum].append(group)
    part = np.empty(total, dtype=np.int64)
    for _, own in sorted(members.items()):
        if len(own) >= len(fractions):
            counts = largest_remainder(len(own), fractions)
            part[rng.permutation(own)] = np.repeat(np.arange(len(fractions)), counts)
        else:  # sessions of several speakers; what is missing comes from their other sessions
            part[own] = rng.choice(len(fractions), len(own), p=fractions)
    return part


def _strata(rows: Sequence[Row], groups: np.ndarray) -> Strata:
    families = {
        "kind": [row.meta.kind.value for row in rows],
        "sex": [row.meta.sex for row in rows],
        "device": [row.meta.device for row in rows],
    }
    return count_strata(groups, families)


def _needs(rows: Sequence[Row], groups: np.ndarray, by: Grouping) -> tuple[list[list[Hashable]], np.ndarray]:
    """What each group gives its part of that which every part must have, and how many units each group is."""
    total = int(groups.max()) + 1
    given: list[dict[Hashable, None]] = [{} for _ in range(total)]
    units: list[set[tuple[str, str]]] = [set() for _ in range(total)]
    classes = {_class(row) for row in rows} - {None}
    for row, group in zip(rows, groups.tolist(), strict=True):
        session = "" if by is Grouping.SPEAKER else row.meta.session or ""
        units[group].add((row.speaker, session))
        if len(classes) > 1 and (own := _class(row)):
            given[group][own] = None
        if by is Grouping.SESSION:
            given[group]["speaker", row.speaker] = None
    return [sorted(needs, key=str) for needs in given], np.array([len(members) for members in units])


def _class(row: Row) -> str | None:
    """Class of the correlation task; None where the probe cannot be read."""
    if not row.meta.kind.readable:
        return None
    return "attacks" if row.meta.kind.is_spoof else "live recordings"


def _check_sessions(rows: Sequence[Row]) -> None:
    unknown = [row.id for row in rows if not row.meta.session]
    if unknown:
        raise UserError(
            f"{len(unknown)} recordings name no session, {unknown[0]} among them, and a split by session must keep "
            "sessions apart; give them a `session`, or split by speaker."
        )


def _check_groups(rows: Sequence[Row], groups: np.ndarray, least: int, what: str, by: Grouping) -> None:
    """Refuse a corpus with fewer groups than parts, and for sessions any speaker with fewer of them."""
    if by is Grouping.SPEAKER:
        speakers, count = len({row.speaker for row in rows}), int(groups.max()) + 1
        if count < least:
            joined = f" in {count} groups that share no sound file and no `source`" if count < speakers else ""
            raise UserError(
                f"{what} needs at least {least} speakers with sound files of their own, and there are "
                f"{speakers}{joined}; import more speakers."
            )
        return
    own: defaultdict[str, set[int]] = defaultdict(set)
    for row, group in zip(rows, groups.tolist(), strict=True):
        own[row.speaker].add(group)
    short = sorted(speaker for speaker, members in own.items() if len(members) < least)
    if short:
        raise UserError(
            f"{what} by session needs at least {least} sessions of every speaker that share no sound file, and "
            f"{len(short)} of the {len(own)} speakers have fewer ({short[0]} has {len(own[short[0]])}); record more "
            "sessions, leave these speakers out, or split by speaker."
        )


def _uncovered(error: Uncovered, cut: Cut, by: Grouping, rows: Sequence[Row]) -> str:
    name = cut.parts[error.part]
    part = f"part {name.removeprefix('part-')} of the folds" if cut.folds else f"the {name} part"
    if isinstance(error.need, tuple):
        speaker = error.need[1]
        return (
            f"The speaker {speaker} cannot be in every part, since sessions that share sound files must stay together: "
            f"{part} would have none; leave {speaker} out, or split by speaker."
        )
    holders = len({row.speaker for row in rows if _class(row) == error.need})
    unit = "sessions" if by is Grouping.SESSION else "speakers"
    return (
        f"{part[:1].upper()}{part[1:]} would have no {error.need}, which only {holders} of the speakers have; "
        f"take fewer parts, or record {error.need} in more {unit}."
    )
