"""Spliced segments found in time, and running decisions over several utterances."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from liveness_figures import SWAPPED, Figure, bounds, place
from liveness_plan import Training
from liveness_runs import TASKS, FrontEnd, Scores, features, scores, train
from liveness_sets import Bench, SetPlan
from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.calibration.parts import LivenessCalibration
from vivavoce.evaluation.intervals import rate_interval
from vivavoce.evaluation.localise import FRAME_S, Span, intersection_over_union, segments
from vivavoce.evaluation.running import Outcome, SequentialTest
from vivavoce.evaluation.scoring.recordings import score_recordings

LEAST_S = 0.5  # spans that must be found
OVERLAP = 0.5
# Of the frames' logits: thresholds that are tried on the validation recordings.
QUANTILES = np.linspace(0.02, 0.6, 30)
# Utterances of 3 s that a running decision may ask for.
MOST_UTTERANCES = (1, 2, 3)
Frames = list[tuple[np.ndarray, Row]]


def splices(bench: Bench, training: Training) -> dict[str, Any]:
    """Share of spliced segments of 0.5 s or more found with an overlap (IoU) of 0.5, at two thresholds of frames.

    One is best on spliced validation recordings; the other is the run's own, which knows live ones alone. Beside them
    stands what the frames would allow if the answer were told that there is a segment, and how long it is.
    """
    known = [pair for plan in bench.validation_sets(6) for pair in _frames(bench, training, plan)]
    levels = np.quantile(np.concatenate([logits for logits, _ in known]), QUANTILES)
    shares = [float(np.mean(_hits(known, level)[0])) for level in levels]
    best = int(np.argmax(shares))
    part = train(bench, training).calibration.liveness
    own = part.segment_threshold if part is not None else None
    rows = []
    for plan in bench.test_sets(6):
        tested = _frames(bench, training, plan)
        value, who = _hits(tested, levels[best])
        if len(value):
            interval = rate_interval(value, who, resamples=bench.size.resamples)
            at_own = None if own is None else float(_hits(tested, own)[0].mean())
            rows.append(
                {**place(plan), "value": float(value.mean()), **bounds(interval), "segments": len(value)}
                | {"at_own_threshold": at_own, "told_its_length": _told(tested)}
            )
    return {"threshold": float(levels[best]), "own_threshold": own, "validation": shares[best], "rows": rows}


def _hits(recordings: Frames, threshold: float) -> tuple[np.ndarray, list[str]]:
    """Whether each spliced segment of 0.5 s or more is found, ``(segments,)`` bool, and whose it is."""
    hits = [(hit, row.speaker) for logits, row in recordings for hit in found(logits, row, threshold)]
    return np.array([hit for hit, _ in hits], dtype=bool), [who for _, who in hits]


def found(logits: np.ndarray, row: Row, threshold: float) -> list[bool]:
    """Tell of each spliced segment of a recording, 0.5 s or longer, whether one that was found overlaps it enough."""
    spans = segments(logits, threshold)
    return [any(_overlaps(span, truth) for span in spans) for truth in _spliced(row)]


def _spliced(row: Row) -> list[Span]:
    """The spliced segments of a recording that must be found."""
    return [(start, end) for start, end in row.meta.splices or () if end - start >= LEAST_S]


def _overlaps(span: Span, truth: Span) -> bool:
    return intersection_over_union([span], [truth]) >= OVERLAP


def _told(recordings: Frames) -> float:
    """Share of the segments that the worst stretch of their own length overlaps enough."""
    told = [
        (worst_stretch(logits, end - start), (start, end)) for logits, row in recordings for start, end in _spliced(row)
    ]
    return float(np.mean([_overlaps(span, truth) for span, truth in told]))


def worst_stretch(logits: np.ndarray, seconds: float) -> Span:
    """The stretch of a recording with the lowest mean logit, as long as is asked for, s."""
    size = min(max(round(seconds / FRAME_S), 1), len(logits))
    sums = np.cumsum(np.concatenate([[0.0], logits]))
    first = int(np.argmin(sums[size:] - sums[:-size]))
    return first * FRAME_S, (first + size) * FRAME_S


def _frames(bench: Bench, training: Training, plan: SetPlan) -> Frames:
    """Logits of every 20 ms of the spliced recordings of a set that got an answer."""
    rows = [row for row in bench.rows(plan) if row.meta.kind is Kind.SPLICED]
    if not rows:
        return []
    store = features(bench, rows, FrontEnd.named(training.front_end), f"{plan.name}-spliced")
    logits = score_recordings(train(bench, training).model, store, tasks=TASKS, frames=True).frames
    return [(one, row) for one, row in zip(logits, rows, strict=True) if len(one)]


def running(bench: Bench, training: Training) -> list[Figure]:
    """A decision that goes on over a speaker's utterances of 3 s until it is sure: live ones, and swapped mouths."""
    part = train(bench, training).calibration.liveness
    if part is None:
        raise ValueError(f"{training.name} was not trained on liveness")
    test = SequentialTest(correlation=part.correlation)
    rows = []
    for plan in bench.test_sets(3):
        told = scores(bench, training, plan, whole=True)
        for most in MOST_UTTERANCES:
            live = _outcomes(told, [Kind.LIVE], most, part, test)
            attacks = _outcomes(told, SWAPPED, most, part, test)
            if live and attacks:
                rows.append({**place(plan), "utterances": most, **_summary(live, attacks)})
    return rows


def _outcomes(
    told: Scores, kinds: Sequence[Kind], most: int, part: LivenessCalibration, test: SequentialTest
) -> list[tuple[Outcome, int]]:
    """What every run of ``most`` consecutive utterances of a speaker leads to; those without an answer do not count."""
    chosen = np.flatnonzero(told.of(kinds))
    ratios = part.evidence_of(told.score, [row.duration_s for row in told.rows])
    found = []
    for _, own in groupby(sorted(chosen.tolist(), key=lambda item: told.rows[item].speaker), _speaker_of(told)):
        items = list(own)
        for first in range(len(items) - most + 1):
            heard = [float(ratios[item]) for item in items[first : first + most] if told.answered[item]]
            found.append(test.outcome(heard) if heard else (Outcome.OPEN, 0))
    return found


def _speaker_of(told: Scores) -> Any:
    return lambda item: told.rows[item].speaker


def _summary(live: list[tuple[Outcome, int]], attacks: list[tuple[Outcome, int]]) -> Figure:
    def share(outcomes: list[tuple[Outcome, int]], wanted: Outcome) -> float:
        return sum(outcome is wanted for outcome, _ in outcomes) / len(outcomes)

    return {
        "apcer": share(attacks, Outcome.YES),
        "bpcer": share(live, Outcome.NO),
        "live_accepted": share(live, Outcome.YES),
        "undecided": share(live, Outcome.OPEN),
        "mean_utterances": float(np.mean([used for _, used in live])),
        "live": len(live),
        "attacks": len(attacks),
    }
