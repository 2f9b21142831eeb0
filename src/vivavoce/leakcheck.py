"""No run is trained or evaluated on what leaks, unless its user says so, and then it is written down."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from vivavoce.config import DataConfig
from vivavoce.corpus.leaks import Leak, LeakType, describe_leaks, find_leaks
from vivavoce.corpus.manifest import Row, iterate_rows
from vivavoce.errors import UserError


def check_training(
    rows: Sequence[Row], validation_rows: Sequence[Row], data: DataConfig, allow_leak: bool = False
) -> list[Leak]:
    """Compare training and validation recordings; returns what they share where that is allowed.

    Raises:
        UserError: they share something and ``allow_leak`` is not set.
    """
    leaks = find_leaks({"training": rows, "validation": validation_rows}, data.closed_set)
    if leaks:
        what = f"{describe_leaks(leaks)} {_are(leaks)} in both the training and the validation manifest"
        if not allow_leak:
            raise UserError(
                f"{what}; {_mend(leaks, data)}, or thresholds would be set on what was trained on (--allow-leak goes "
                "on all the same)."
            )
        _warn(f"{what}.")
    return leaks


def check_evaluation(
    rows: Sequence[Row], manifest: Path, data: DataConfig, fingerprints: Path, allow_leak: bool = False
) -> list[str]:
    """Compare what is evaluated with what a run was trained and validated on; returns notes for the report.

    Args:
        rows: the recordings to evaluate on.
        manifest: where they come from.
        data: of the run's configuration.
        fingerprints: the run's record of its manifests' SHA-256.
        allow_leak: note what is shared instead of refusing.

    Raises:
        UserError: they share something and ``allow_leak`` is not set.
    """
    known = _read_fingerprints(fingerprints)
    notes = []
    for role, path in zip(("training", "validation"), data.manifests(), strict=True):
        found, reason = _find(path, known.get(str(path)), fingerprints.parent)
        if found is None:
            notes.append(
                f"Whether recordings of the run's {role} manifest were evaluated cannot be checked: {path} {reason}."
            )
            continue
        leaks = find_leaks({role: list(iterate_rows(found)), "evaluated": rows}, data.closed_set)
        if not leaks:
            continue
        what = describe_leaks(leaks)
        if not allow_leak:
            raise UserError(
                f"{what} {_are(leaks)} in both {manifest} and the run's {role} manifest {path}; evaluate on recordings "
                "that the run has not seen (--allow-leak goes on all the same)."
            )
        notes.append(f"Leak allowed: {what} {_are(leaks)} in the run's {role} manifest, too; the figures are too good.")
    for note in notes:
        _warn(note)
    return notes


def _warn(sentence: str) -> None:
    Console(stderr=True).print(f"[bold yellow]Warning:[/] {escape(sentence)}", highlight=False, soft_wrap=True)


def _are(leaks: Sequence[Leak]) -> str:
    return "are" if sum(len(leak.shared) for leak in leaks) > 1 else "is"


def _mend(leaks: Sequence[Leak], data: DataConfig) -> str:
    if data.closed_set:
        return "split by session (vivavoce split --group session)"
    mend = "split by speaker (vivavoce split)"
    if all(leak.type is LeakType.SPEAKER for leak in leaks):
        return f"{mend}, or set data.closed_set where nobody else will be verified"
    return mend


def _read_fingerprints(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _find(path: Path, digest: str | None, run: Path) -> tuple[Path | None, str]:
    """Find a manifest as it was trained on, or say why it cannot be compared with.

    Its path starts where training was started, which is mostly here, or else some folder above the run.
    """
    if digest is None:
        return None, "is not among the run's fingerprints"
    places = [path, *(above / path for above in run.resolve().parents)]
    there = [place for place in dict.fromkeys(places) if place.is_file()]
    for place in there:
        if hashlib.sha256(place.read_bytes()).hexdigest() == digest:
            return place, ""
    return None, "has changed since" if there else "is gone"
