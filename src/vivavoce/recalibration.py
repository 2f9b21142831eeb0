"""Calibrate a run anew: ratios, decision and threshold for what its user needs, on recordings it was not trained on."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.config import CalibrationConfig
from vivavoce.evaluation.calibration.decision import Optimum, Risk
from vivavoce.evaluation.calibration.fitting import calibrate_liveness
from vivavoce.evaluation.calibration.mapping import Quality, measured_quality, quality_notes
from vivavoce.evaluation.calibration.observing import known_of_rows
from vivavoce.evaluation.calibration.parts import Calibration, PartCalibration
from vivavoce.evaluation.calibration.refit import refit, scored_parts, stated
from vivavoce.evaluation.calibration.split import CalibrationSplit
from vivavoce.evaluation.localise import segments
from vivavoce.evaluation.scoring.recordings import FRAMES_PER_S, RecordingScores, score_recordings
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.trials.table import NONTARGET, TARGET, Trials, number
from vivavoce.features.offline import open_store
from vivavoce.features.store import FeatureStore
from vivavoce.files import write_json
from vivavoce.inspection import manifests
from vivavoce.leakcheck import check_training
from vivavoce.training.config import Task
from vivavoce.training.validation import ValidationSplit
from vivavoce.verifier import LoadedRun, load_run

HISTORY = "calibrations.json"


@dataclass(frozen=True)
class Recalibration:
    """What calibrating a run anew changed."""

    run: Path
    before: Calibration
    after: Calibration
    quality: dict[str, Quality]  # of each question
    risk_before: Risk  # of the calibration that the run had, on the same trials
    optimum_before: Optimum
    kept: Path  # where the calibrations that the run had are
    notes: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Everything as plain values."""
        decision = self.after.decision
        return {
            "run": str(self.run),
            "threshold": self.after.threshold,
            "decision": None if decision is None else decision.model_dump(mode="json"),
            "before": {
                "threshold": self.before.threshold,
                "risk": self.risk_before.model_dump(mode="json"),
                "optimum": self.optimum_before.model_dump(mode="json"),
            },
            "cllr": {name: quality._asdict() for name, quality in self.quality.items()},
            "kept": str(self.kept),
            "notes": self.notes,
        }


def calibrate(
    run: Path | str | LoadedRun,
    config: CalibrationConfig | None = None,
    validation: Path | str | None = None,
    *,
    allow_leak: bool = False,
) -> Recalibration:
    """Set how a run decides, on its validation split or on recordings like those it will meet.

    The run's calibration.json is replaced; the one before is added to calibrations.json beside it.

    Args:
        run: a run folder, or a loaded run.
        config: what is asked for; None: the cheapest thresholds for the priors and costs of ASVspoof 5.
        validation: manifest of recordings; None: that of the run's validation split. Test recordings do not belong
            here: what a threshold was set on tells nothing about it.
        allow_leak: go on where the run was trained on some of them.

    Raises:
        UserError: the run or the recordings cannot be used, it was trained on some of them, they lack a class, or they
            are too few for the rate that is asked for. Nothing is written then.
    """
    loaded = run if isinstance(run, LoadedRun) else load_run(run)
    asked = config or CalibrationConfig()
    manifest, rows, notes = _recordings(loaded, None if validation is None else Path(validation), allow_leak)
    both: tuple[Task, ...] = ("speaker", "liveness")
    tasks: list[Task] = [name for name in both if getattr(loaded.calibration, name) is not None]
    trials = ValidationSplit(rows, loaded.config.seed, tasks)
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    name = "validation" if validation is None else f"calibration-{digest[:12]}"
    store = open_store(rows, loaded.config.front_end, loaded.folder.features / name, loaded.config.training.workers)
    trials.check(store.usable, "eer")
    scores = score_recordings(loaded.model, store, None, "Scoring recordings", tasks, frames="liveness" in tasks)
    measures = {*asked.quality, *loaded.calibration.measures}
    split = _split(loaded, trials, store, scores, measures)
    parts = _parts(loaded, split, trials, store)
    split = _with_doubts(split, parts, scores)
    after = refit(parts, split, asked, f"{manifest.name} {digest[:16]}")
    scored = scored_parts(parts, split)
    quality = {
        name: measured_quality(getattr(loaded.calibration, name), getattr(after, name), scored[name], asked)
        for name in tasks
    }
    risk_before, optimum_before = stated(loaded.calibration, split, asked.aim.costs)
    told = after.decision.notes if after.decision is not None else ()
    notes += [*told, *(note for name, found in quality.items() for note in quality_notes(name, found))]
    kept = _keep(loaded)
    loaded.folder.write_calibration(after)
    return Recalibration(
        loaded.folder.path, loaded.calibration, after, quality, risk_before, optimum_before, kept, notes
    )


def _recordings(loaded: LoadedRun, validation: Path | None, allow_leak: bool) -> tuple[Path, list[Row], list[str]]:
    """The recordings to calibrate on, none of which the run was trained on, and sentences to be told."""
    data = loaded.config.data
    train, own = data.manifests()
    if validation is not None and not validation.is_file():
        raise UserError(f"There is no manifest {validation}; check the path.")
    chosen = str(validation or own)
    found = manifests(loaded.folder, {"data": {"train": str(train), "validation": chosen}})
    alone = manifests(loaded.folder, {"data": {"train": chosen, "validation": chosen}})
    if alone is None:
        raise UserError(
            f"The run's validation manifest {own} is gone; put it back, or give recordings with --validation."
        )
    manifest = alone[1]
    rows = read_rows(manifest)
    if validation is None:
        # A kind that training held out is held out here, too, so that a test shows what an unknown attack would do.
        rows = [row for row in rows if row.meta.kind not in loaded.config.training.held_out]
    if found is None or not _is_unchanged(loaded, train, found[0]):
        why = "is gone" if found is None else "has changed since"
        return manifest, rows, [f"Whether the run was trained on some of these cannot be checked: {train} {why}."]
    leaks = check_training(read_rows(found[0]), rows, data, allow_leak)
    return manifest, rows, ["Leak allowed: the run was trained on some of these."] if leaks else []


def _is_unchanged(loaded: LoadedRun, named: Path, found: Path) -> bool:
    known: Any = None
    with suppress(OSError, ValueError):
        known = json.loads(loaded.folder.fingerprints.read_text(encoding="utf-8"))
    digest = known.get(str(named)) if isinstance(known, dict) else None
    return digest == hashlib.sha256(found.read_bytes()).hexdigest()


def _split(
    loaded: LoadedRun, trials: ValidationSplit, store: FeatureStore, scores: RecordingScores, measures: set[str]
) -> CalibrationSplit:
    rows = trials.rows
    _, person = number([row.speaker for row in rows])
    person = person.astype(np.intp)
    if loaded.calibration.speaker is not None:
        table = Trials.of(trials.trials).with_speakers(rows)
        cosine = score_trials(table, rows, scores.embeddings)
        speaker, labels, test = cosine.scores.astype(np.float64), table.labels, cosine.test_index
        enrolled = _codes_of(rows, person, table)
    else:
        labels = np.where(trials.is_live, TARGET, trials.kinds)
        speaker, test, enrolled = np.full(len(rows), np.nan), np.arange(len(rows)), person
    return CalibrationSplit(
        liveness=scores.liveness.astype(np.float64),
        is_live=trials.is_live,
        is_attack=trials.is_attack,
        person=person,
        known=known_of_rows(rows, store.frames[:: store.copies] / FRAMES_PER_S, measures),
        doubted=np.zeros(len(rows), bool),
        speaker=speaker,
        labels=labels,
        test=test,
        enrolled=enrolled,
    )


def _codes_of(rows: Sequence[Row], person: np.ndarray, table: Trials) -> np.ndarray:
    """Code of the enrolled speaker of each trial."""
    code = {row.speaker: value for row, value in zip(rows, person.tolist(), strict=True)}
    return np.array([code[name] for name in table.speakers or ()], np.intp)[table.enrolment]


def _parts(loaded: LoadedRun, split: CalibrationSplit, trials: ValidationSplit, store: FeatureStore) -> Calibration:
    """What training itself would calibrate on these recordings."""
    speaker = liveness = None
    if loaded.calibration.speaker is not None:
        speaker = PartCalibration.fit(split.speaker[split.labels == TARGET], split.speaker[split.labels == NONTARGET])
    if loaded.calibration.liveness is not None:
        speakers = [row.speaker for row in trials.rows]
        liveness = calibrate_liveness(loaded.model, store, trials.is_live, trials.is_attack, speakers)
    return Calibration(speaker=speaker, liveness=liveness)


def _with_doubts(split: CalibrationSplit, parts: Calibration, scores: RecordingScores) -> CalibrationSplit:
    """Mark recordings in which a span does not belong to the mouth: the verdict on them is no, whatever they score."""
    if parts.liveness is None or parts.liveness.segment_threshold is None:
        return split
    threshold = parts.liveness.segment_threshold
    doubted = np.array([bool(segments(logits, threshold)) for logits in scores.frames])
    return CalibrationSplit(**{**vars(split), "doubted": doubted})


def _keep(loaded: LoadedRun) -> Path:
    """Add the calibration that the run has to those it had, oldest first.

    Raises:
        UserError: the file of those is damaged.
    """
    path = loaded.folder.path / HISTORY
    past: Any = []
    if path.is_file():
        try:
            past = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            past = None
        if not isinstance(past, list):
            raise UserError(f"{path} is damaged; restore it from a copy, or move it away.")
    write_json(path, [*past, loaded.calibration.model_dump(mode="json")])
    return path
