"""One run under test: clean scores once, then a curve at a time, always on the same trials."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vivavoce.corpus.manifest import Row
from vivavoce.evaluation.calibration.known import Known
from vivavoce.evaluation.calibration.observing import known_of_rows
from vivavoce.evaluation.scoring.backends import Cosine, members_of
from vivavoce.evaluation.scoring.pairs import pair_scores
from vivavoce.stress.config import CurveName, StressConfig
from vivavoce.stress.curves import UNCHANGED, How, degradation, levels_of, named
from vivavoce.stress.grouping import groups_of
from vivavoce.stress.measure import Answers, Measured, Meter
from vivavoce.stress.protocol import Protocol
from vivavoce.stress.results import Change, CurveResult, Level
from vivavoce.stress.scoring import LevelScores, Scorer, Task
from vivavoce.stress.words import sentences
from vivavoce.verifier import LoadedRun


class _Point(NamedTuple):
    """One level as measured; ``reasons`` are why its recordings have no answer, empty where they have one."""

    title: str
    value: float | None
    reasons: NDArray[np.str_]
    measured: Measured


class StressTest:
    """A run, a protocol, and the scores of its recordings as they are.

    Close it: it holds processes.
    """

    def __init__(self, run: LoadedRun, protocol: Protocol, config: StressConfig) -> None:
        self.run, self.protocol, self.config = run, protocol, config
        self.meter = Meter(protocol, run.calibration.threshold, config.resamples, config.seed)
        self.tasks = [name for name in ("speaker", "liveness") if getattr(run.calibration, name) is not None]
        self.scorer = Scorer(run.model, run.config.front_end, self.tasks, run.calibration.measures, config.workers)
        try:
            self.clean = self._score_clean()
        except BaseException:
            self.close()
            raise
        self.enrolled = self._enrolments(self.clean, 0)

    def close(self) -> None:
        """End the processes."""
        self.scorer.close()

    def applied(self, name: CurveName) -> CurveResult:
        """A curve of the test recordings made worse, level by level, behind the recordings as they are."""
        levels = levels_of(name, self.config)
        changes = tuple(degradation(name, level, self.config) for level in levels)
        both = self.config.degrade_enrolment
        chosen = self._recordings(both)
        tasks = [
            Task(self.protocol.rows[row], place, changes, seed=self.config.seed, stream=name)
            for place, row in enumerate(chosen)
        ]
        scores = self.scorer.score(tasks, len(chosen), len(levels), f"Curve {name}")
        points = [self._point(UNCHANGED, None, self.clean, 0, self.enrolled)]
        for number, level in enumerate(levels):
            enrolled = self._enrolments(scores, number) if both else self.enrolled
            points.append(self._point(named(name, level), _number(level), scores, number, enrolled))
        return self._curve(name, "applied", points)

    def simulated(self, name: CurveName, rows: Mapping[float | str, Sequence[Row]]) -> CurveResult:
        """A curve of recordings simulated anew: those of each level take the places of the protocol's own tests."""
        tasks = [
            Task(recordings[row], place, (None,), first=number)
            for number, recordings in enumerate(rows.values())
            for place, row in enumerate(self.protocol.tests)
        ]
        scores = self.scorer.score(tasks, len(self.protocol.tests), len(rows), f"Curve {name}")
        points = [
            self._point(named(name, level), _number(level), scores, number, self.enrolled)
            for number, level in enumerate(rows)
        ]
        return self._curve(name, "simulated", points)

    def grouped(self, name: CurveName) -> CurveResult | None:
        """A breakdown of the recordings as they are; None where their metadata do not name two groups."""
        groups = groups_of(name, [self.protocol.rows[row] for row in self.protocol.tests], self.config)
        if not groups:
            return None
        answers = self._answers(self.clean, 0, self.enrolled)
        reasons = self.clean.reasons[0, : len(self.protocol.tests)]
        points = [
            _Point(title, value, reasons[inside], self.meter.measure(answers, inside))
            for title, value, inside in groups
        ]
        levels = [_level(point, len(point.reasons), {}) for point in points]
        return _with_sentences(CurveResult(name=name, how="grouped", levels=levels))

    def _point(
        self, title: str, value: float | None, scores: LevelScores, level: int, enrolled: NDArray[np.floating] | None
    ) -> _Point:
        reasons = scores.reasons[level, : len(self.protocol.tests)]
        return _Point(title, value, reasons, self.meter.measure(self._answers(scores, level, enrolled)))

    def _curve(self, name: CurveName, how: How, points: Sequence[_Point]) -> CurveResult:
        count, first = len(self.protocol.tests), points[0].measured
        levels = [
            _level(point, count, {} if number == 0 else point.measured.changes_from(first))
            for number, point in enumerate(points)
        ]
        return _with_sentences(CurveResult(name=name, how=how, levels=levels))

    def _recordings(self, with_enrolments: bool) -> list[int]:
        """Rows to score: the tests, and behind them the enrolments."""
        enrolled = self.protocol.enrolled.tolist() if with_enrolments else []
        return [*self.protocol.tests.tolist(), *enrolled]

    def _score_clean(self) -> LevelScores:
        chosen = self._recordings(True)
        tasks = [Task(self.protocol.rows[row], place, (None,)) for place, row in enumerate(chosen)]
        return self.scorer.score(tasks, len(chosen), 1, "Recordings as they are")

    def _enrolments(self, scores: LevelScores, level: int) -> NDArray[np.floating] | None:
        """The embedding of each enrolment from its recordings, which stand behind the tests; None: nobody enrols."""
        if "speaker" not in self.tasks:
            return None
        embeddings = scores.embeddings[level, len(self.protocol.tests) :]
        places = [np.searchsorted(self.protocol.enrolled, members).tolist() for members in self.protocol.enrolments]
        return Cosine().enrolled(embeddings, members_of(places, len(embeddings)))

    def _answers(self, scores: LevelScores, level: int, enrolled: NDArray[np.floating] | None) -> Answers:
        count, trials = len(self.protocol.tests), self.protocol.trials
        liveness = scores.liveness[level, :count].astype(float) if "liveness" in self.tasks else None
        if enrolled is None:
            return Answers(liveness, None, None)
        tested = Cosine().tested(scores.embeddings[level, :count])
        speaker = pair_scores(enrolled, tested, trials.enrolment, trials.test).astype(float)
        fused = None
        if liveness is not None:
            known = self._known(scores, level).take(trials.test.astype(np.intp))
            fused = self.run.calibration.fused(speaker, liveness[trials.test], known=known)
        return Answers(liveness, speaker, fused)

    def _known(self, scores: LevelScores, level: int) -> Known:
        """What the calibration may go by, of each test recording at a level."""
        count = len(self.protocol.tests)
        found = known_of_rows([self.protocol.rows[row] for row in self.protocol.tests], scores.seconds[level, :count])
        measures = {name: values[level, :count] for name, values in scores.measures.items()}
        return replace(found, measures=measures)


def _level(point: _Point, recordings: int, changes: dict[str, Change]) -> Level:
    return Level(
        name=point.title,
        value=point.value,
        recordings=recordings,
        measures=point.measured.measures,
        changes=changes,
        reasons=dict(Counter(reason for reason in point.reasons.tolist() if reason)),
    )


def _with_sentences(curve: CurveResult) -> CurveResult:
    return curve.model_copy(update={"sentences": sentences(curve)})


def _number(level: float | str) -> float | None:
    return None if isinstance(level, str) else float(level)
