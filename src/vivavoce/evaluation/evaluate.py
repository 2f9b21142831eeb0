"""An evaluation: scores of a manifest's recordings and trials, turned into the tables of a report."""

import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from vivavoce import __version__
from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.calibration.parts import Calibration
from vivavoce.evaluation.localise import Span, segments
from vivavoce.evaluation.ranges import range_notes
from vivavoce.evaluation.report.results import EvaluationResult, VerdictRow
from vivavoce.evaluation.report.summaries import (
    collect_scores,
    summarise_abstentions,
    summarise_conditions,
    summarise_data,
    summarise_liveness,
    summarise_speaker,
    summarise_verdicts,
)
from vivavoce.evaluation.scoring.recordings import FRAMES_PER_S, RecordingScores, score_recordings
from vivavoce.evaluation.scoring.trials import SpeakerScores, score_trials
from vivavoce.evaluation.trials.table import TARGET, Trial, references
from vivavoce.evaluation.verdict import Evidence, decide
from vivavoce.features.store import FeatureStore
from vivavoce.models.joint import JointModel

# Where nobody is compared.
NO_TRIALS = SpeakerScores(np.empty(0), np.empty(0, dtype=int))


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
        trials: enrolments and tests among them; none where the run knows no speakers.
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
    tasks = [name for name in ("speaker", "liveness") if getattr(calibration, name) is not None]
    doubts = calibration.liveness is not None and calibration.liveness.segment_threshold is not None
    scores = score_recordings(
        model, store, liveness_crop_s, "Scoring recordings", tasks, frames=doubts and liveness_crop_s is None
    )
    scored = time.monotonic()
    kinds = [row.meta.kind.value for row in rows]
    speakers = [row.speaker for row in rows]
    spans = doubted_spans(scores, calibration)
    cosine = score_trials(trials, rows, scores.embeddings) if calibration.speaker else NO_TRIALS
    labels = [trial.label for trial in trials] if calibration.speaker else []
    owner = {name: row.speaker for name, row in zip(references(rows), rows, strict=True)}
    enrolled = [owner[trial.enrol[0]] for trial in trials]
    spoken = [owner[trial.test] for trial in trials]
    threshold = calibration.liveness.threshold if calibration.liveness else None
    doubted = [bool(found) for found in spans]
    species, pooled = summarise_liveness(scores.liveness, kinds, speakers, threshold, doubted=doubted, seed=seed)
    result = EvaluationResult(
        run_id=run_id,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        data_name=data_name,
        simulated=any((row.meta.model_extra or {}).get("simulated") for row in rows),
        enrolment=len(trials[0].enrol) if trials else None,
        data=summarise_data(kinds, speakers, [row.duration_s for row in rows]),
        speaker=summarise_speaker(cosine.scores, labels, enrolled, spoken, calibration.speaker.threshold, seed=seed)
        if calibration.speaker
        else None,
        liveness=species,
        liveness_pooled=pooled,
        conditions=summarise_conditions(
            scores.liveness,
            kinds,
            speakers,
            [row.meta.posture for row in rows],
            [row.meta.distance_cm for row in rows],
            threshold,
            doubted=doubted,
            seed=seed,
        ),
        abstentions=summarise_abstentions(kinds, [quality.label for quality in scores.quality]),
        verdicts=count_verdicts(trials, cosine, scores, spans, store, calibration)
        if calibration.speaker
        else count_liveness_verdicts(kinds, scores, spans, store, calibration),
        out_of_range=model.out_of_range,
        notes=range_notes(model.out_of_range),
        versions=_versions(),
        scores=collect_scores(cosine.scores, labels, scores.liveness, kinds),
    )
    timings = {"scoring": round(scored - began, 2), "tables": round(time.monotonic() - scored, 2)}
    return result.model_copy(update={"timings_s": timings})


def doubted_spans(scores: RecordingScores, calibration: Calibration) -> list[list[Span]]:
    """Spans of each recording that do not belong, in s; none where frames were not scored."""
    liveness = calibration.liveness
    if liveness is None or liveness.segment_threshold is None or not scores.frames:
        return [[] for _ in scores.liveness]
    return [segments(logits, liveness.segment_threshold) for logits in scores.frames]


def count_verdicts(
    trials: Sequence[Trial],
    cosine: SpeakerScores,
    scores: RecordingScores,
    spans: Sequence[Sequence[Span]],
    store: FeatureStore,
    calibration: Calibration,
) -> list[VerdictRow]:
    """Give each trial its verdict and count them by what the trial truly is."""
    verdicts = [
        _verdict(int(test), float(speaker), scores, spans, store, calibration)
        for speaker, test in zip(cosine.scores, cosine.test_index, strict=True)
    ]
    return summarise_verdicts([trial.label for trial in trials], verdicts)


def count_liveness_verdicts(
    kinds: Sequence[str],
    scores: RecordingScores,
    spans: Sequence[Sequence[Span]],
    store: FeatureStore,
    calibration: Calibration,
) -> list[VerdictRow]:
    """Give each recording its verdict where nobody is compared; a live one counts as the user's."""
    verdicts = [_verdict(item, float("nan"), scores, spans, store, calibration) for item in range(len(kinds))]
    return summarise_verdicts([TARGET if kind == Kind.LIVE.value else kind for kind in kinds], verdicts)


def _verdict(
    item: int,
    speaker: float,
    scores: RecordingScores,
    spans: Sequence[Sequence[Span]],
    store: FeatureStore,
    calibration: Calibration,
) -> str:
    seconds = float(store.frames[item * store.copies]) / FRAMES_PER_S
    evidence = Evidence(speaker, float(scores.liveness[item]), scores.quality[item], seconds, spans[item])
    return decide(evidence, calibration).verdict.value


def _versions() -> dict[str, str]:
    import torch

    return {"vivavoce": __version__, "python": platform.python_version(), "torch": torch.__version__}
