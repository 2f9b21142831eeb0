"""A run folder diagnosed: its metrics, its config, and the data it was trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from vivavoce.audit.audit import audit
from vivavoce.audit.registry import CHECKS, Finding, Needs, Severity
from vivavoce.corpus.leaks import describe_leaks, find_leaks
from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.errors import UserError
from vivavoce.training.diagnosis.diagnosis import Diagnosis, diagnose
from vivavoce.training.diagnosis.ending import broken_off
from vivavoce.training.diagnosis.record import Facts
from vivavoce.training.run_folder import RunFolder


def inspect(run: RunFolder, listen: bool = True, workers: int = 2) -> Diagnosis:
    """Diagnose a run, finished or not, with what its manifests share; where that is suspicious, audit their sound.

    Args:
        run: to diagnose.
        listen: read the sound files where the curves say that the data are at fault.
        workers: processes that read them.

    Raises:
        UserError: the metrics or the config are damaged.
    """
    lines, config = run.read_metrics(), read_config(run)
    ended = broken_off(run, lines)
    paths = manifests(run, config)
    if paths is None:
        gone = "the run's manifests are gone, so its data were not looked at"
        return diagnose(lines, config, Facts(checked=gone, ended=ended))
    facts = replace(_by_names(*paths, config), ended=ended)
    found = diagnose(lines, config, facts)
    if not (listen and found.suspicious and not facts.shared):
        return found
    return diagnose(lines, config, _by_sound(*paths, facts, workers))


def read_config(run: RunFolder) -> dict[str, Any]:
    """The config of a run as plain values.

    Raises:
        UserError: it is damaged.
    """
    try:
        config = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{run.config} is damaged; restore it from a copy or train again.") from error
    if not isinstance(config, dict):
        raise UserError(f"{run.config} is damaged; restore it from a copy or train again.")
    return config


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


def _by_names(train: Path, validation: Path, config: dict[str, Any]) -> Facts:
    """What the manifests alone say."""
    rows, others = read_rows(train), read_rows(validation)
    closed = bool((config.get("data") or {}).get("closed_set"))
    leaks = find_leaks({"training": rows, "validation": others}, closed)
    shared = (f"In both the training and the validation manifest: {describe_leaks(leaks)}.",) if leaks else ()
    return Facts(len(rows), _speakers(rows), shared, checked="names, paths and bytes of the manifests")


def _by_sound(train: Path, validation: Path, known: Facts, workers: int) -> Facts:
    """What an audit of the training manifest against the validation manifest finds."""
    with audit(train, validation, workers=workers) as result:
        errors = [finding for finding in result.findings if finding.severity is not Severity.NOTE]
        shared = tuple(finding.what for finding in errors if finding.severity is Severity.ERROR and _overlaps(finding))
        wrong = tuple(finding.what for finding in errors if finding.what not in shared)
    found = f"{len(errors)} thing{'' if len(errors) == 1 else 's'} wrong" if errors else "nothing wrong"
    checked = f"an audit of both manifests with their sound, which found {found}"
    return replace(known, shared=shared, wrong=wrong, checked=checked, audited=True)


def _overlaps(finding: Finding) -> bool:
    """Whether a finding speaks of what both manifests share."""
    return CHECKS[finding.check].needs in (Needs.OTHER, Needs.OTHER_SOUND)


def _speakers(rows: list[Row]) -> int:
    return len({row.speaker for row in rows})
