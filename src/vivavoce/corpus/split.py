"""A speaker-disjoint split into training, validation and test recordings."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from vivavoce.corpus.cuts import Row, absolute
from vivavoce.corpus.manifest import save_rows
from vivavoce.errors import UserError
from vivavoce.files import atomic_path

SPLITS = ("train", "validation", "test")


def split_by_speaker(
    rows: Sequence[Row], fractions: Sequence[float] = (0.6, 0.2, 0.2), seed: int = 0
) -> dict[str, list[Row]]:
    """Split rows by speaker into ``train``, ``validation`` and ``test``; ``fractions`` are shares of the speakers.

    No speaker and no sound file is in two splits: speakers who share a file stay together. Every split has about the
    same mixture of `sex`, where it is known. The result depends on the seed and on the set of speakers, not on the
    order of the rows, which each split keeps.

    Raises:
        UserError: the fractions are not three positive numbers with the sum 1, or there are too few speakers to fill
            three splits.
    """
    if len(fractions) != len(SPLITS) or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        shown = ", ".join(f"{fraction:g}" for fraction in fractions)
        raise UserError(f"The fractions {shown} are not three positive numbers with the sum 1; correct them.")
    groups = _groups(rows)
    if len(groups) < len(SPLITS):
        speakers = len({row.speaker for row in rows})
        joined = f" in {len(groups)} groups that share no sound file" if len(groups) < speakers else ""
        raise UserError(
            f"A split needs at least {len(SPLITS)} speakers with sound files of their own, and there are "
            f"{speakers}{joined}; import more speakers."
        )
    order = _stratified_order(groups, rows, np.random.default_rng(seed))
    ends = np.cumsum(_counts(len(order), fractions))
    split_of: dict[str, str] = {}
    for name, begin, end in zip(SPLITS, (0, *ends[:-1]), ends, strict=True):
        for group in order[begin:end]:
            split_of |= dict.fromkeys(group, name)
    result: dict[str, list[Row]] = {name: [] for name in SPLITS}
    for row in rows:
        result[split_of[row.speaker]].append(row)
    return result


def write_splits(splits: Mapping[str, Sequence[Row]], folder: Path | str) -> dict[str, Path]:
    """Write each split to ``folder`` as ``NAME.jsonl.gz``, all of them or none; returns their paths.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    paths = {name: Path(folder) / f"{name}.jsonl.gz" for name in splits}
    with ExitStack() as stack:
        for name, rows in splits.items():
            save_rows(rows, stack.enter_context(atomic_path(paths[name])), absolute(folder))
    return paths


def _groups(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Join speakers who share a sound file, directly or through others; groups and their members are sorted."""
    parent = {row.speaker: row.speaker for row in rows}

    def root(speaker: str) -> str:
        while parent[speaker] != speaker:
            parent[speaker] = parent[parent[speaker]]
            speaker = parent[speaker]
        return speaker

    owner: dict[Path, str] = {}
    for row in rows:
        parent[root(row.speaker)] = root(owner.setdefault(row.path, row.speaker))
    members: defaultdict[str, list[str]] = defaultdict(list)
    for speaker in sorted(parent):
        members[root(speaker)].append(speaker)
    return sorted(tuple(group) for group in members.values())


def _stratified_order(
    groups: Sequence[tuple[str, ...]], rows: Sequence[Row], rng: np.random.Generator
) -> list[tuple[str, ...]]:
    """Order groups at random so that every stretch of the order has about the same mixture of strata.

    Member i of a stratum of n stands at (i + 1/2) / n, so any stretch holds its share of the stratum to within one.
    """
    sexes: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        sexes[row.speaker].add(row.meta.sex or "")
    strata: defaultdict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for group in groups:
        strata[tuple(sorted(set().union(*(sexes[speaker] for speaker in group))))].append(group)
    placed = []
    for _, members in sorted(strata.items()):
        for position, index in enumerate(rng.permutation(len(members))):
            placed.append(((position + 0.5) / len(members), rng.random(), members[index]))
    return [group for _, _, group in sorted(placed)]


def _counts(total: int, fractions: Sequence[float]) -> list[int]:
    """Share ``total`` by the largest remainder; every share is at least 1."""
    ideal = np.asarray(fractions) * total
    counts = np.maximum(1, np.floor(ideal + 1e-9).astype(int))
    while counts.sum() < total:
        counts[np.argmax(ideal - counts)] += 1
    while counts.sum() > total:
        counts[np.argmax(np.where(counts > 1, counts - ideal, -np.inf))] -= 1
    return counts.tolist()
