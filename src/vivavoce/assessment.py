"""Evaluate a run on a manifest and write the report; or only score it, for a comparison."""

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.errors import UserError
from vivavoce.evaluation.cards import Card, model_card
from vivavoce.evaluation.evaluate import evaluate_rows
from vivavoce.evaluation.judging import score_rows, trial_scores
from vivavoce.evaluation.report.page import write_report
from vivavoce.evaluation.report.results import Demonstration, EvaluationResult
from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.scoring.quality import measure_quality
from vivavoce.evaluation.trials.files import read_trials_of
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.table import Trials
from vivavoce.exhibits import exhibit, live_and_replayed
from vivavoce.features.offline import open_store
from vivavoce.features.store import FeatureStore
from vivavoce.leakcheck import check_evaluation
from vivavoce.verifier import LoadedRun, load_run

INTENDED = (
    "comparing systems, and judging whether one is good enough for the people, phones and attacks of these recordings; "
    "other people, phones and attacks need an evaluation of their own"
)


@dataclass(frozen=True)
class Assessed:
    """A run and the recordings that it is judged on."""

    run: LoadedRun
    manifest: Path
    rows: Sequence[Row]
    store: FeatureStore
    digest: str  # SHA-256 of the manifest
    notes: Sequence[str]  # of what the run was trained on, too


def evaluate(
    run: Path | str | LoadedRun,
    manifest: Path | str,
    trials: Path | str | None = None,
    *,
    report: Path | str | None = None,
    liveness_crop_s: float | None = None,
    demonstrations: Sequence[Demonstration] = (),
    command: str | None = None,
    allow_leak: bool = False,
) -> tuple[EvaluationResult, Path]:
    """Evaluate ``run`` on the recordings of ``manifest``; returns the result and the path of its report.

    Args:
        run: a run folder, or a loaded run.
        manifest: recordings of speakers that the run has not seen.
        trials: a list that `read_trials` reads; ``None`` makes one.
        report: where to write the HTML report; ``None``: ``report.html`` in the run folder.
        liveness_crop_s: judge liveness on the middle of each recording, this many seconds.
        demonstrations: verdicts on single recordings to show on top of the report.
        command: what to show as the command that gives the same result again.
        allow_leak: note in the report what the run was trained on, too, instead of refusing it.

    Raises:
        UserError: the run, the manifest or the trials cannot be used, or the run was trained on some of it.
    """
    found = _open(run, manifest, allow_leak)
    loaded, rows = found.run, found.rows
    given = ["vivavoce", "evaluate", str(loaded.folder.path), str(manifest)]
    again = shlex.join([*given, *(["--trials", str(trials)] if trials else [])])
    result = evaluate_rows(
        loaded.model,
        loaded.calibration,
        rows,
        found.store,
        _trials(loaded, rows, trials),
        run_id=loaded.folder.path.name,
        data_name=found.manifest.name,
        command=command or again,
        liveness_crop_s=liveness_crop_s,
        snr_db=measure_quality(rows).of("snr_db"),
        seed=loaded.config.seed,
    )
    weights = hashlib.sha256(loaded.folder.best_weights.read_bytes()).hexdigest()
    thresholds = hashlib.sha256(loaded.folder.calibration.read_bytes()).hexdigest()
    result = result.model_copy(
        update={
            "demonstrations": list(demonstrations),
            "notes": [*result.notes, *found.notes],
            "config": loaded.config.model_dump(mode="json"),
            "hashes": {"manifest": found.digest[:16], "weights": weights[:16], "calibration": thresholds[:16]},
            "model_card": _model_card(loaded),
            "worst": exhibit(result.worst, rows),
        }
    )
    path = Path(report) if report else loaded.folder.report
    live, replayed = live_and_replayed(rows)
    write_report(result, path, metrics=loaded.folder.read_metrics(), live=live, replayed=replayed)
    return result, path


def run_scores(
    run: Path | str | LoadedRun,
    manifest: Path | str,
    trials: Trials | Path | str | None = None,
    *,
    name: str | None = None,
    allow_leak: bool = False,
) -> TrialScores:
    """Score trials with a run, without a report.

    Args:
        run: a run folder, or a loaded run.
        manifest: recordings of speakers that the run has not seen.
        trials: the trials, or a list that `read_trials` reads; ``None`` makes them.
        name: what to call the run; ``None``: as its folder.
        allow_leak: score recordings that it was trained on, too.

    Raises:
        UserError: the run, the manifest or the trials cannot be used, the run compares nobody, or was trained on some
            of the recordings.
    """
    found = _open(run, manifest, allow_leak)
    loaded = found.run
    if loaded.calibration.speaker is None:
        raise UserError(f"{loaded.folder.path} was trained without the speaker task and scores no trials.")
    pairs = trials if isinstance(trials, Trials) else _trials(loaded, found.rows, trials)
    scored = score_rows(loaded.model, loaded.calibration, found.rows, found.store, pairs)
    return trial_scores(name or loaded.folder.path.name, scored, loaded.calibration)


def _open(run: Path | str | LoadedRun, manifest: Path | str, allow_leak: bool) -> Assessed:
    loaded = run if isinstance(run, LoadedRun) else load_run(run)
    path = Path(manifest)
    rows = read_rows(path)
    notes = check_evaluation(rows, path, loaded.config.data, loaded.folder.fingerprints, allow_leak)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    folder = loaded.folder.features / f"evaluation-{digest[:12]}"
    store = open_store(rows, loaded.config.front_end, folder, loaded.config.training.workers)
    return Assessed(loaded, path, rows, store, digest, notes)


def _trials(loaded: LoadedRun, rows: Sequence[Row], trials: Path | str | None) -> Trials:
    if loaded.calibration.speaker is None:
        if trials is not None:
            raise UserError(f"{loaded.folder.path} was trained without the speaker task; leave the trials out.")
        return Trials.of([])
    return make_trials(rows, seed=loaded.config.seed) if trials is None else read_trials_of(Path(trials), rows)


def _model_card(loaded: LoadedRun) -> Card:
    model, config = loaded.model, loaded.config
    parameters = {
        name: sum(weight.numel() for weight in part.parameters())
        for name, part in (("trunk", model.trunk), ("head", model.head))
    }
    named = {
        "name": config.model.name,
        "trunk": config.model.trunk.type,
        "embedding": f"{model.trunk.embedding_dim} dimensions",
        "liveness head": config.model.head.type,
        "begun with": config.model.pretrained or "random weights",
    }
    lines = loaded.folder.read_metrics()
    trained = {
        "tasks": " and ".join(config.training.tasks),
        "training manifest": str(config.data.train),
        "validation manifest": str(config.data.validation),
        "epochs": str(max((line["epoch"] for line in lines), default=0)),
        "seed": str(config.seed),
    }
    return model_card(parameters, named, trained, INTENDED)
