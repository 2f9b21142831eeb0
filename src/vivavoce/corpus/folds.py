"""The folds of a cross-validation, as a folder: ``fold-0/{train,validation,test}.jsonl.gz`` … and ``folds.json``."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vivavoce.corpus.cuts import Row, absolute
from vivavoce.corpus.policy import LEAST_FOLDS, SPLITS, Cut, Grouping
from vivavoce.corpus.split import Parts, write_splits
from vivavoce.errors import UserError
from vivavoce.files import write_text

FILE = "folds.json"


class FoldsIndex(BaseModel):
    """What ``folds.json`` says: how the folds were made, and of which manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy: str
    why: str
    folds: int = Field(ge=LEAST_FOLDS)
    group: Grouping
    seed: int
    manifest: str = Field(description="path of the manifest that was cut")
    sha256: str = Field(description="of that manifest")
    recordings: int
    speakers: int


def arrange_folds(rows: Sequence[Row], parts: Parts) -> list[dict[str, list[Row]]]:
    """Make fold k of each part k: it is the test, the part after it the validation, the others the training rows.

    Thresholds and the best epoch come from the validation part, so nothing is ever chosen on the test part.
    """
    count = len(parts.rows)
    part = {row.id: index for index, own in enumerate(parts.rows.values()) for row in own}
    folds: list[dict[str, list[Row]]] = []
    for fold in range(count):
        role = {fold: "test", (fold + 1) % count: "validation"}
        members: dict[str, list[Row]] = {name: [] for name in SPLITS}
        for row in rows:
            members[role.get(part[row.id], "train")].append(row)
        folds.append(members)
    return folds


def write_folds(
    folds: Sequence[dict[str, list[Row]]], folder: Path, manifest: Path, cut: Cut, by: Grouping, seed: int
) -> list[dict[str, Path]]:
    """Write all folds, then ``folds.json``; returns the manifests of each fold by name.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    everyone = [row for members in folds[:1] for own in members.values() for row in own]
    index = FoldsIndex(
        policy=cut.policy.value,
        why=cut.why,
        folds=len(folds),
        group=by,
        seed=seed,
        manifest=absolute(manifest),
        sha256=hashlib.sha256(manifest.read_bytes()).hexdigest(),
        recordings=len(everyone),
        speakers=len({row.speaker for row in everyone}),
    )
    named = {f"{_name(number)}/{part}": own for number, members in enumerate(folds) for part, own in members.items()}
    # An index of other folds must not stand beside these.
    write_splits(named, folder, first=lambda: (folder / FILE).unlink(missing_ok=True))
    write_text(folder / FILE, index.model_dump_json(indent=2) + "\n")
    return [fold_manifests(folder, number) for number in range(len(folds))]


def read_folds(folder: Path) -> FoldsIndex:
    """Read ``folds.json``.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder} holds no folds ({FILE} is missing); make them with `vivavoce split --folds`.")
    try:
        return FoldsIndex.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged; make the folds again with `vivavoce split --folds`.") from error


def fold_manifests(folder: Path, fold: int) -> dict[str, Path]:
    """Paths of a fold's manifests by name: train, validation, test."""
    return {part: folder / _name(fold) / f"{part}.jsonl.gz" for part in SPLITS}


def check_fold(index: FoldsIndex, folder: Path, fold: int) -> None:
    """Refuse a fold number that is out of range, with a UserError."""
    if not 0 <= fold < index.folds:
        raise UserError(f"There is no fold {fold} in {folder}; its folds are 0 to {index.folds - 1}.")


def _name(fold: int) -> str:
    return f"fold-{fold}"
