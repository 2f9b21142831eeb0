"""From the scores of recordings and trials to decisions on all trials at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vivavoce.corpus.manifest import Row
from vivavoce.evaluation.calibration.known import Known
from vivavoce.evaluation.calibration.observing import known_of_rows
from vivavoce.evaluation.calibration.parts import Calibration
from vivavoce.evaluation.localise import Span, segments
from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.scoring.recordings import FRAMES_PER_S, RecordingScores, score_recordings
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.trials.table import Trials
from vivavoce.evaluation.verdict import Answer
from vivavoce.features.store import FeatureStore
from vivavoce.models.joint import JointModel

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """What a run says of the recordings of a manifest, and of trials among them.

    Attributes:
        recordings: embeddings, liveness scores and probe quality.
        known: what else is known of each recording.
        spans: spans of each recording that do not belong, in s.
        trials: with their speakers; none where the run compares nobody.
        test: the recording that each trial tests, ``(trials,)``.
        speaker: cosine of each trial, ``(trials,)``.
    """

    recordings: RecordingScores
    known: Known
    spans: Sequence[Sequence[Span]]
    trials: Trials
    test: NDArray[np.intp]
    speaker: Floats

    @property
    def doubted(self) -> Bools:
        """Which recordings hold a span that does not belong, ``(recordings,)``."""
        return np.array([bool(found) for found in self.spans], dtype=bool)

    @property
    def liveness(self) -> Floats:
        """Liveness score of each recording, ``(recordings,)``; NaN: no answer."""
        return self.recordings.liveness.astype(np.float64)


def score_rows(
    model: JointModel,
    calibration: Calibration,
    rows: Sequence[Row],
    store: FeatureStore,
    trials: Trials,
    liveness_crop_s: float | None = None,
) -> Scored:
    """Score recordings and trials among them.

    Args:
        model: the trained model.
        calibration: of the run; a question that it does not know is not asked.
        rows: the recordings.
        store: their features, in the same order.
        trials: enrolments and tests among them.
        liveness_crop_s: judge liveness on the middle of each recording, this many seconds; ``None``: on all of it.
    """
    tasks = [name for name in ("speaker", "liveness") if getattr(calibration, name) is not None]
    doubts = calibration.liveness is not None and calibration.liveness.segment_threshold is not None
    frames = doubts and liveness_crop_s is None
    found = score_recordings(model, store, liveness_crop_s, "Scoring recordings", tasks, frames=frames)
    seconds = store.frames[:: store.copies] / FRAMES_PER_S
    known = known_of_rows(rows, seconds, calibration.measures)
    spans = _spans(found, calibration)
    if calibration.speaker is None or not len(trials):
        return Scored(found, known, spans, Trials.of([]), np.empty(0, np.intp), np.empty(0))
    named = trials.with_speakers(rows)
    cosine = score_trials(named, rows, found.embeddings)
    return Scored(found, known, spans, named, cosine.test_index, np.asarray(cosine.scores, np.float64))


def trial_scores(name: str, scored: Scored, calibration: Calibration) -> TrialScores:
    """The scores of a run's trials: the fused one that decides, and both behind it.

    Of a run that knows no liveness the speaker's ratio decides.
    """
    liveness = scored.liveness[scored.test]
    fused = calibration.fused(scored.speaker, liveness, known=scored.known.take(scored.test))
    heard = liveness if calibration.liveness is not None else None
    return TrialScores(name, scored.trials, fused, scored.speaker, heard, calibration.threshold)


def judge(
    calibration: Calibration, speaker: ArrayLike, liveness: ArrayLike, known: Known, doubted: ArrayLike
) -> NDArray[np.str_]:
    """Give the verdict on each of many recordings, as `verdict.decide` gives it on one.

    Args:
        calibration: of the run.
        speaker: cosines, ``(trials,)``; not looked at where the run knows no speakers.
        liveness: logits, ``(trials,)``; NaN: no answer.
        known: what else is known of each recording, ``(trials,)``.
        doubted: whether it holds a span that does not belong, ``(trials,)``.

    Returns:
        The name of an `Answer` for each, ``(trials,)``.
    """
    cosines, logits = np.asarray(speaker, np.float64), np.asarray(liveness, np.float64)
    if calibration.liveness is None:
        return np.full(logits.shape, Answer.ABSTAIN.value)
    voice, mouth = calibration.passed(cosines, logits, known)
    verdicts = np.where(voice, Answer.ACCEPT.value, Answer.NOT_THE_SPEAKER.value)
    verdicts = np.where(~mouth | np.asarray(doubted, bool), Answer.NOT_LIVE.value, verdicts)
    return np.where(np.isnan(logits), Answer.ABSTAIN.value, verdicts)


def live_passes(calibration: Calibration, scored: Scored) -> Bools | None:
    """Which recordings the liveness question alone lets pass, ``(recordings,)``; no answer does not.

    None where both scores are judged as one, or liveness is not known.
    """
    if calibration.liveness is None or calibration.needed("liveness") is None:
        return None
    logits = scored.liveness
    _, mouth = calibration.passed(np.zeros_like(logits), logits, scored.known)
    return mouth & ~np.isnan(logits) & ~scored.doubted


def _spans(found: RecordingScores, calibration: Calibration) -> list[list[Span]]:
    """Spans of each recording that do not belong, in s; none where frames were not scored."""
    liveness = calibration.liveness
    if liveness is None or liveness.segment_threshold is None or not found.frames:
        return [[] for _ in found.liveness]
    return [segments(logits, liveness.segment_threshold) for logits in found.frames]
