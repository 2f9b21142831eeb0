"""The differences of all pairs of systems, figure by figure, and what can be said of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vivavoce.comparison.paired import PairedTest, holm, paired_test
from vivavoce.comparison.results import Difference, Status
from vivavoce.comparison.wording import LEAST_SPEAKERS, verdict_of
from vivavoce.evaluation.bootstrap import LEVEL
from vivavoce.evaluation.measuring import Figure
from vivavoce.evaluation.scores import TrialScores


@dataclass(frozen=True)
class _Pair:
    """One figure of two systems."""

    first: TrialScores
    second: TrialScores
    own: Figure
    theirs: Figure
    test: PairedTest | None

    @property
    def value(self) -> float | None:
        """The difference; None where there are too few trials for a figure."""
        own, theirs = self.own.measure.value, self.theirs.measure.value
        return None if own is None or theirs is None else own - theirs

    @property
    def same(self) -> bool:
        """Whether the systems give the same scores, or never differ in this figure.

        Two that never err are not the same: on more trials they would, and one of them sooner.
        """
        never = self.value == 0 and self.test is not None and self.test.never
        return self.same_scores or (never and self.own.measure.value != 0)

    @property
    def same_scores(self) -> bool:
        """Whether the systems give the same scores and, where it matters, decide at the same threshold."""
        alike = self.first.threshold == self.second.threshold or not self.own.at_threshold
        return alike and _same_scores(self.first, self.second)

    @property
    def detectable(self) -> float | None:
        """About the smallest difference that would have shown.

        An error rate that no resample finds to differ may still do so by 3 over the number of trials (rule of 3).
        """
        if self.test is None:
            return None
        if self.test.half_width:
            return self.test.half_width
        return min(1.0, 3 / min(self.own.measure.trials.values())) if self.own.measure.unit == "rate" else None

    def obstacle(self, speakers: int) -> str | None:
        """Why no verdict can be given; None where one can."""
        if self.value is None:
            return "too few trials"
        if speakers == 1:
            return "one speaker alone, so there is nothing to resample"
        if speakers < LEAST_SPEAKERS:
            return f"too few speakers ({speakers}; {LEAST_SPEAKERS} are the least)"
        return None if self.test is not None else "too few resamples hold trials of every class"


def differences(
    systems: Sequence[TrialScores], figures: Sequence[Mapping[str, Figure]], speakers: int
) -> list[Difference]:
    """Compare each pair of systems in every figure that both have.

    Args:
        systems: on the same trials.
        figures: of each, by name, on the same draws of speakers.
        speakers: how many were resampled.
    """
    found = []
    for name in dict.fromkeys(name for one in figures for name in one):
        having = [place for place, one in enumerate(figures) if name in one]
        pairs = [_pair(systems[i], systems[j], figures[i][name], figures[j][name]) for i, j in combinations(having, 2)]
        found += _judged(name, pairs, speakers)
    return found


def _pair(first: TrialScores, second: TrialScores, own: Figure, theirs: Figure) -> _Pair:
    test = None
    if own.resampled is not None and theirs.resampled is not None:
        test = paired_test(own.resampled, theirs.resampled)
    return _Pair(first, second, own, theirs, test)


def _judged(name: str, pairs: Sequence[_Pair], speakers: int) -> list[Difference]:
    obstacles = [pair.obstacle(speakers) for pair in pairs]
    tests = {
        place: pair.test
        for place, (pair, obstacle) in enumerate(zip(pairs, obstacles, strict=True))
        if pair.test is not None and obstacle is None
    }
    raised = dict(zip(tests, holm([test.p_value for test in tests.values()]), strict=True))
    return [
        _difference(name, pair, obstacles[place], tests.get(place), raised.get(place), len(tests))
        for place, pair in enumerate(pairs)
    ]


def _difference(
    name: str, pair: _Pair, obstacle: str | None, test: PairedTest | None, p_holm: float | None, pairs: int
) -> Difference:
    better, status = None, _status(pair, obstacle, p_holm)
    if status == "better" and test is not None:
        better = pair.first.name if test.high < 0 else pair.second.name
    found = Difference(
        figure=name,
        key=pair.own.measure.key,
        unit=pair.own.measure.unit,
        first=pair.first.name,
        second=pair.second.name,
        value=pair.value,
        low=None if pair.test is None else pair.test.low,
        high=None if pair.test is None else pair.test.high,
        p_value=None if test is None else test.p_value,
        p_holm=p_holm,
        detectable=pair.detectable if test is not None and status != "same" else None,
        status=status,
        better=better,
        verdict="",
    )
    return found.model_copy(update={"verdict": verdict_of(found, obstacle, pairs, pair.same_scores)})


def _status(pair: _Pair, obstacle: str | None, p_holm: float | None) -> Status:
    if pair.same:
        return "same"
    if obstacle is not None or p_holm is None:
        return "no verdict"
    return "better" if p_holm <= 1 - LEVEL + 1e-12 else "not shown"


def _same_scores(first: TrialScores, second: TrialScores) -> bool:
    parts = ((first.score, second.score), (first.speaker, second.speaker), (first.liveness, second.liveness))
    return all(
        one is other if one is None or other is None else np.array_equal(one, other, equal_nan=True)
        for one, other in parts
    )
