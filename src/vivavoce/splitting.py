"""From a manifest to parts on disk that cannot leak into each other."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vivavoce.copies import UNASKED_S, find_copies
from vivavoce.corpus.folds import FILE, arrange_folds, write_folds
from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.corpus.policy import SPLITS, Cut, Grouping, Policy, choose_cut, few_data_note
from vivavoce.corpus.split import Parts, check_rows, cut_rows, same_content, write_splits
from vivavoce.errors import UserError

# A stratum that misses its share by more than this is worth a sentence.
_UNEVEN = 0.1


@dataclass(frozen=True)
class PartSummary:
    """One manifest that was written."""

    manifest: str
    recordings: int
    speakers: int


@dataclass(frozen=True)
class SplitResult:
    """What was written, by which rule, and what there is to know about it.

    ``parts`` are by name; with folds they are empty and ``folds`` has those of each fold. ``shares`` say how large a
    share (0–1) of each stratum each part holds, by part and by ``family=value`` (``all``: of the recordings).
    """

    cut: Cut
    group: Grouping
    seed: int
    recordings: int
    speakers: int
    groups: int
    copies: int | None
    parts: dict[str, PartSummary]
    folds: list[dict[str, PartSummary]]
    shares: dict[str, dict[str, float]]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Write it for JSON."""
        return {
            "policy": self.cut.policy.value,
            "why": self.cut.why,
            "fractions": list(self.cut.fractions),
            "group": self.group.value,
            "seed": self.seed,
            "recordings": self.recordings,
            "speakers": self.speakers,
            "groups": self.groups,
            "copies": self.copies,
            "parts": {name: asdict(part) for name, part in self.parts.items()},
            "folds": [
                {"fold": number, "parts": {name: asdict(part) for name, part in fold.items()}}
                for number, fold in enumerate(self.folds)
            ],
            "shares": self.shares,
            "notes": self.notes,
        }


def split_manifest(
    manifest: Path,
    out: Path,
    policy: Policy = Policy.AUTO,
    *,
    fractions: tuple[float, float, float] | None = None,
    by: Grouping = Grouping.SPEAKER,
    folds: int | None = None,
    few_hyperparameters: bool = False,
    near_duplicates: bool | None = None,
    seed: int = 0,
    workers: int = 2,
) -> SplitResult:
    """Split a manifest into ``out``: ``train``, ``validation`` and ``test.jsonl.gz``, or a folder for each fold.

    Args:
        manifest: what to split.
        out: folder to write into.
        policy: how to cut; see `choose_cut`.
        fractions: of train, validation and test.
        by: what may not be in two parts.
        folds: parts of a cross-validation.
        few_hyperparameters: a smaller validation part is enough.
        near_duplicates: listen for recordings of one sound; None: up to 20 hours of sound.
        seed: of every draw.
        workers: processes that listen.

    Raises:
        UserError: the options contradict each other, the manifest cannot be read or is too small for such a split, or
            ``out`` holds parts of another split that would stay beside these.
    """
    rows = read_rows(manifest)
    cut = choose_cut(policy, len(rows), fractions=fractions, folds=folds, few_hyperparameters=few_hyperparameters)
    _refuse_leftovers(out, cut)
    check_rows(rows, cut, by)
    notes: list[str] = []
    linked = same_content(rows)
    seconds = sum(row.duration_s for row in rows)
    copies = None
    if near_duplicates or (near_duplicates is None and seconds <= UNASKED_S):
        copies = find_copies(manifest, workers)
        linked += copies
    elif near_duplicates is None:
        notes.append(
            f"Near-duplicates were not looked for, since there are {seconds / 3600:.0f} hours of sound; "
            "--near-duplicates does."
        )
    notes += _joined(rows, linked)
    parts = cut_rows(rows, cut, by, seed, linked)
    notes += _remarks(rows, parts, cut, by)
    summaries, of_folds = _write(rows, parts, cut, by, seed, manifest, out)
    return SplitResult(
        cut=cut,
        group=by,
        seed=seed,
        recordings=len(rows),
        speakers=len({row.speaker for row in rows}),
        groups=parts.groups,
        copies=copies if copies is None else len(copies),
        parts=summaries,
        folds=of_folds,
        shares=_shares(parts),
        notes=notes,
    )


def _write(
    rows: Sequence[Row], parts: Parts, cut: Cut, by: Grouping, seed: int, manifest: Path, out: Path
) -> tuple[dict[str, PartSummary], list[dict[str, PartSummary]]]:
    if cut.folds is None:
        return _summarise(parts.rows, write_splits(parts.rows, out)), []
    folds = arrange_folds(rows, parts)
    written = write_folds(folds, out, manifest, cut, by, seed)
    return {}, [_summarise(fold, paths) for fold, paths in zip(folds, written, strict=True)]


def _summarise(parts: dict[str, list[Row]], paths: dict[str, Path]) -> dict[str, PartSummary]:
    return {
        name: PartSummary(str(paths[name]), len(rows), len({row.speaker for row in rows}))
        for name, rows in parts.items()
    }


def _shares(parts: Parts) -> dict[str, dict[str, float]]:
    labels = [f"{family}={value}" if value else family for family, value in parts.strata]
    return {
        name: {label: round(float(share), 4) for label, share in zip(labels, own, strict=True)}
        for name, own in zip(parts.rows, parts.shares, strict=True)
    }


def _refuse_leftovers(out: Path, cut: Cut) -> None:
    """Refuse a folder where parts of another split would stay beside the new ones and be taken for theirs."""
    if cut.folds is not None:
        keep = {f"fold-{number}" for number in range(cut.folds)} | {FILE}
    else:
        keep = {f"{name}.jsonl.gz" for name in cut.parts}
    usual = {*(f"{name}.jsonl.gz" for name in SPLITS), FILE, *(path.name for path in out.glob("fold-*"))}
    left = sorted(name for name in usual - keep if (out / name).exists())
    if left:
        raise UserError(
            f"{out} holds {', '.join(left)} of another split, which would be mixed up with this one; remove it, or "
            "choose another --out."
        )


def _joined(rows: Sequence[Row], linked: Sequence[tuple[str, str]]) -> list[str]:
    """Say which speakers are kept together by recordings of one sound."""
    speaker = {row.id: row.speaker for row in rows}
    pairs = [pair for pair in linked if speaker[pair[0]] != speaker[pair[1]]]
    if not pairs:
        return []
    first, second = pairs[0]
    count = len({frozenset((speaker[one], speaker[other])) for one, other in pairs})
    return [
        f"{count} pair{'s' * (count != 1)} of speakers stay together, since recordings of both hold the same sound, "
        f"such as {first} and {second}; vivavoce audit names them all."
    ]


def _remarks(rows: Sequence[Row], parts: Parts, cut: Cut, by: Grouping) -> list[str]:
    notes = []
    kinds = [kind for kind in Kind if any(row.meta.kind is kind for row in rows)]
    for name, own in parts.rows.items():
        held = {row.meta.kind for row in own}
        if lacking := [kind.value for kind in kinds if kind not in held]:
            notes.append(f"{_part(name)} holds no {', '.join(lacking)}.")
    name, family, value, miss = parts.worst()
    if abs(miss) > _UNEVEN:
        wanted = parts.fractions[list(parts.rows).index(name)]
        what = f"the recordings with {family} {value}" if value else "all recordings"
        notes.append(
            f"{_part(name)} holds {100 * (wanted + miss):.0f} % of {what} instead of {100 * wanted:.0f} %, as near as "
            f"whole {'speakers' if by is Grouping.SPEAKER else 'sessions'} allow."
        )
    if by is Grouping.SPEAKER and cut.folds is None:
        few = few_data_note(len({row.speaker for row in parts.rows[SPLITS[2]]}), parts.groups)
        notes += [few] if few else []
    return notes


def _part(name: str) -> str:
    return f"The {name} part" if name in SPLITS else f"The test part of fold {name.removeprefix('part-')}"
