"""A run folder diagnosed: its metrics, its config, and the data it was trained on."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vivavoce.audit.audit import audit
from vivavoce.audit.config import AuditConfig
from vivavoce.audit.registry import CHECKS, Finding, Needs, Severity
from vivavoce.corpus.leaks import describe_leaks, find_leaks
from vivavoce.corpus.manifest import Row, iterate_rows
from vivavoce.errors import UserError
from vivavoce.training.diagnosis.diagnosis import Diagnosis, diagnose
from vivavoce.training.diagnosis.ending import broken_off
from vivavoce.training.diagnosis.reading import last_lowered, read_config, read_lines
from vivavoce.training.diagnosis.record import Facts
from vivavoce.training.run_folder import RunFolder

# What keeps data from being looked at, and no answer from being given by the curves.
UNREADABLE = (UserError, OSError, zlib.error)


def inspect(run: RunFolder, listen: bool = True, workers: int = 2) -> Diagnosis:
    """Diagnose a run, finished or not, with what its manifests share; where that is suspicious, audit their sound.

    Args:
        run: to diagnose.
        listen: read the sound files where the curves say that the data are at fault.
        workers: processes that read them.

    Raises:
        UserError: the metrics or the config are damaged.
    """
    lines, (config, refused) = read_lines(run), read_config(run)
    known = Facts(ended=broken_off(run, lines), lowered=last_lowered(run))
    paths = manifests(run, config)
    if paths is None:
        why = f"{run.config} cannot be used ({_inside(refused)})" if refused else "the run's manifests are gone"
        return diagnose(lines, config, replace(known, checked=f"nothing, since {why}"))
    closed = bool(config["data"]["closed_set"])
    facts = _by_names(*paths, known, closed)
    found = diagnose(lines, config, facts)
    if not (listen and found.suspicious and not facts.shared and facts.there):
        return found
    return diagnose(lines, config, _by_sound(*paths, facts, closed, workers))


def manifests(run: RunFolder, config: dict[str, Any]) -> tuple[Path, Path] | None:
    """Where the run's manifests are now; their paths begin where training was started, here or above the run."""
    data = config.get("data") or {}
    found = []
    for name in ("train", "validation"):
        path = Path(data.get(name) or "")
        places = [path, *(above / path for above in run.path.resolve().parents)]
        there = next((place for place in places if place.is_file()), None)
        if there is None:
            return None
        found.append(there)
    return found[0], found[1]


def _by_names(train: Path, validation: Path, known: Facts, closed: bool) -> Facts:
    """What the manifests alone say."""
    try:
        rows, others = _rows(train), _rows(validation)
        leaks = find_leaks({"training": rows, "validation": others}, closed)
    except UNREADABLE as error:
        return replace(known, checked=f"nothing, since a manifest cannot be read ({_inside(error)})")
    shared = (f"In both the training and the validation manifest: {describe_leaks(leaks)}.",) if leaks else ()
    files = {row.path for row in (*rows, *others)}
    gone = sum(not os.path.isfile(file) for file in files)  # noqa: PTH113 - faster on 100,000 files
    checked = "names, paths and bytes of the manifests"
    if gone:
        checked = f"names and paths of the manifests; {gone} of their {len(files)} sound files are not where they say"
    speakers = len({row.speaker for row in rows})
    return replace(known, recordings=len(rows), speakers=speakers, shared=shared, checked=checked, there=not gone)


def _rows(path: Path) -> Sequence[Row]:
    rows = list(iterate_rows(path))
    if not rows:
        raise UserError(f"{path} is empty.")
    return rows


def _by_sound(train: Path, validation: Path, known: Facts, closed: bool, workers: int) -> Facts:
    """What an audit of the training manifest against the validation manifest finds."""
    # Of a closed set, speakers are meant to be in both.
    config = AuditConfig(skip=("overlap_speakers",) if closed else ())
    try:
        with audit(train, validation, workers=workers, config=config) as result:
            errors = [finding for finding in result.findings if finding.severity is not Severity.NOTE]
    except UNREADABLE as error:
        return replace(known, checked=f"{known.checked}; their sound could not be audited ({_inside(error)})")
    shared = tuple(finding.what for finding in errors if finding.severity is Severity.ERROR and _overlaps(finding))
    wrong = tuple(finding.what for finding in errors if finding.what not in shared)
    found = f"{len(errors)} thing{'' if len(errors) == 1 else 's'} wrong" if errors else "nothing wrong"
    checked = f"an audit of both manifests with their sound, which found {found}"
    return replace(known, shared=shared, wrong=wrong, checked=checked, audited=True)


def _overlaps(finding: Finding) -> bool:
    """Whether a finding speaks of what both manifests share."""
    return CHECKS[finding.check].needs in (Needs.OTHER, Needs.OTHER_SOUND)


def _inside(error: Exception | str) -> str:
    """A sentence, to stand inside another."""
    return str(error).rstrip(".")
