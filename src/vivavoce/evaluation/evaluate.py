"""An evaluation: scores of a manifest's recordings and trials, turned into the tables of a report."""

import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from vivavoce import __version__
from vivavoce.corpus.manifest import Row
from vivavoce.evaluation.calibration import Calibration
from vivavoce.evaluation.ranges import range_notes
from vivavoce.evaluation.results import EvaluationResult, VerdictRow
from vivavoce.evaluation.scoring import RecordingScores, score_recordings, score_trials
from vivavoce.evaluation.summaries import (
    collect_scores,
    summarise_conditions,
    summarise_data,
    summarise_liveness,
    summarise_speaker,
    summarise_verdicts,
)
from vivavoce.evaluation.trials import Trial, references
from vivavoce.evaluation.verdict import Evidence, decide
from vivavoce.features.store import FeatureStore
from vivavoce.models.joint import JointModel


def evaluate_rows(
    model: JointModel,
    calibration: Calibration,
    rows: Sequence[Row],
    store: FeatureStore,
    trials: Sequence[Trial],
    *,
    run_id: str,
    data_name: str,
    command: str,
    liveness_crop_s: float | None = None,
    seed: int = 0,
) -> EvaluationResult:
    """Evaluate a model on recordings it was not trained on.

    Args:
        model: the trained model.
        calibration: thresholds from the validation split.
        rows: the recordings.
        store: their features, in the same order.
        trials: enrolments and tests among them.
        run_id: name of the run in the report.
        data_name: name of the manifest in the report.
        command: the command that gives the same result again.
        liveness_crop_s: judge liveness on the middle of each recording, this many seconds; ``None``: on all of it.
        seed: of the bootstrap.

    Raises:
        UserError: there are no target or no non-target trials.
    """
    began = time.monotonic()
    model.reset_out_of_range()
    scores = score_recordings(model, store, liveness_crop_s, progress="Scoring recordings")
    scored = time.monotonic()
    kinds = [row.meta.kind.value for row in rows]
    speakers = [row.speaker for row in rows]
    cosine = score_trials(trials, rows, scores.embeddings)
    labels = [trial.label for trial in trials]
    owner = {name: row.speaker for name, row in zip(references(rows), rows, strict=True)}
    enrolled = [owner[trial.enrol[0]] for trial in trials]
    spoken = [owner[trial.test] for trial in trials]
    threshold = calibration.liveness.threshold if calibration.liveness else None
    species, pooled = summarise_liveness(scores.liveness, kinds, speakers, threshold, seed=seed)
    result = EvaluationResult(
        run_id=run_id,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        data_name=data_name,
        simulated=any((row.meta.model_extra or {}).get("simulated") for row in rows),
        enrolment=len(trials[0].enrol) if trials else None,
        data=summarise_data(kinds, speakers, [row.duration_s for row in rows]),
        speaker=summarise_speaker(cosine.scores, labels, enrolled, spoken, calibration.speaker.threshold, seed=seed),
        liveness=species,
        liveness_pooled=pooled,
        conditions=summarise_conditions(
            scores.liveness,
            kinds,
            speakers,
            [row.meta.posture for row in rows],
            [row.meta.distance_cm for row in rows],
            threshold,
            seed=seed,
        ),
        verdicts=count_verdicts(trials, cosine.scores, cosine.test_index, scores, calibration),
        out_of_range=model.out_of_range,
        notes=range_notes(model.out_of_range),
        versions=_versions(),
        scores=collect_scores(cosine.scores, labels, scores.liveness, kinds),
    )
    timings = {"scoring": round(scored - began, 2), "tables": round(time.monotonic() - scored, 2)}
    return result.model_copy(update={"timings_s": timings})


def count_verdicts(
    trials: Sequence[Trial],
    cosine: np.ndarray,
    test_index: np.ndarray,
    scores: RecordingScores,
    calibration: Calibration,
) -> list[VerdictRow]:
    """Give each trial its verdict and count them by what the trial truly is."""
    verdicts = [
        decide(Evidence(float(speaker), float(scores.liveness[test]), scores.quality[test]), calibration).verdict.value
        for speaker, test in zip(cosine, test_index, strict=True)
    ]
    return summarise_verdicts([trial.label for trial in trials], verdicts)


def _versions() -> dict[str, str]:
    import torch

    return {"vivavoce": __version__, "python": platform.python_version(), "torch": torch.__version__}
