"""Resampled speakers: what every metric of every system would be, had other people of the same kind been recorded.

Trials that share a speaker are not independent, so the unit of resampling is the speaker. Where two people meet in one
trial, the trial counts as often as the product of their draws (the vertex bootstrap: Snijders & Borgatti,
"Non-parametric standard errors and tests for network statistics", Connections 22(2), 1999). All metrics, and all
systems that are compared, share one set of draws, so that their differences are differences on the same people.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

LEVEL = 0.95
RESAMPLES = 1000  # Efron & Tibshirani 1993, chapter 13: about 1000 for percentile intervals
# A class with more distinct scores is drawn at this many: all of its extremes, where small rates are decided, and
# ever fewer toward its other end, which moves no rate by more than half a per cent of itself.
LEVELS_OF_A_CLASS = 5000
THREADS = 2


@dataclass(frozen=True)
class Interval:
    """The 95 % interval of a figure, and how it was found.

    ``rule of 3``: no error was seen, and ``high`` is 3 over the number of trials (ISO/IEC 19795-1:2006, annex B), where
    a bootstrap could only answer zero; it takes trials for independent, so it is the least that can be said.
    ``exact``: too few trials for anything but the binomial interval of Clopper and Pearson (1934). ``bounds``: too few
    even for that, nothing but what the figure can be at all.
    """

    low: float
    high: float
    method: Literal["bootstrap by speaker", "rule of 3", "exact", "bounds"]


@dataclass(frozen=True)
class ClassScores:
    """The trials of one class: their scores, and the speakers with whom each is drawn.

    ``first`` and ``second`` are codes of speakers, ``(trials,)``; they are the same where one person alone is heard.
    """

    scores: Floats
    first: Codes
    second: Codes

    @classmethod
    def of(cls, scores: ArrayLike, first: ArrayLike, second: ArrayLike | None = None) -> "ClassScores":
        """Take arrays of ``(trials,)``; without ``second`` one person alone is heard in each."""
        own = np.asarray(first, np.intp)
        return cls(np.asarray(scores, np.float64), own, own if second is None else np.asarray(second, np.intp))

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class ResampledCurves:
    """How the scores of each class are spread in each resample, on levels that all classes share.

    ``thresholds`` ``(levels + 1,)`` rise from one that accepts all to infinity; ``masses`` holds for each class the
    weight of its trials from each threshold to the next, ``(resamples, levels)``.
    """

    thresholds: Floats
    masses: Mapping[str, NDArray[np.float32]]

    def p_fa(self, *names: str) -> Floats:
        """Share of the classes, taken together, that each threshold accepts, ``(resamples, levels + 1)``.

        NaN where a resample holds none of them.
        """
        return 1 - self.p_miss(*names)

    def p_miss(self, *names: str) -> Floats:
        """Share of the classes, taken together, that each threshold rejects, ``(resamples, levels + 1)``."""
        mass = sum((self.masses[name] for name in names[1:]), start=self.masses[names[0]])
        below = np.zeros((mass.shape[0], mass.shape[1] + 1))
        np.cumsum(mass, axis=1, dtype=np.float64, out=below[:, 1:])
        with np.errstate(invalid="ignore", divide="ignore"):
            return below / below[:, -1:]

    def at(self, threshold: float) -> int:
        """The place of a threshold that the levels were made with.

        Raises:
            ValueError: they were not made with it.
        """
        place = int(np.searchsorted(self.thresholds, threshold))
        if place == len(self.thresholds) or self.thresholds[place] != threshold:
            raise ValueError(f"the threshold {threshold} is none of the levels")
        return place


class Bootstrap:
    """A set of draws of speakers.

    Args:
        speakers: how many there are; codes run from 0.
        resamples: draws, with as many speakers each as there are, with replacement.
        seed: of the draws.
    """

    def __init__(self, speakers: int, resamples: int = RESAMPLES, seed: int = 0) -> None:
        if speakers < 1:
            raise ValueError(f"speakers={speakers} must be at least 1")
        self.speakers = speakers
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(speakers, np.full(speakers, 1 / speakers), size=resamples)
        self.draws = draws.astype(np.float32)  # small whole numbers: their sums are exact up to 2^24

    @cached_property
    def possible(self) -> bool:
        """Whether there are speakers to resample: of one alone each draw is the same."""
        return self.speakers > 1

    def curves(self, classes: Mapping[str, ClassScores], thresholds: Sequence[float] = ()) -> ResampledCurves:
        """Resample the score distributions of classes; give thresholds at which rates will be read with `at`."""
        levels = _levels(classes, thresholds)
        masses = {name: self._masses(trials, levels) for name, trials in classes.items()}
        return ResampledCurves(np.append(levels, np.inf), masses)

    def means(self, values: ArrayLike, trials: ClassScores) -> Floats:
        """The mean of a value over the trials of each resample, ``(resamples,)``; NaN where it holds none of them.

        Args:
            values: ``(trials,)``, such as whether each was decided wrongly.
            trials: whose they are.
        """
        value = np.asarray(values, np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._sums(value, trials) / self._sums(np.ones_like(value), trials)

    def _sums(self, value: Floats, trials: ClassScores) -> Floats:
        alone = trials.first == trials.second
        found = self.draws.astype(np.float64) @ np.bincount(trials.first[alone], value[alone], self.speakers)
        if alone.all():
            return found
        shape = (self.speakers, self.speakers)
        pairs = sparse.coo_array((value[~alone], (trials.first[~alone], trials.second[~alone])), shape).tocsr()
        drawn = self.draws.T.astype(np.float64)
        return found + np.einsum("sr,sr->r", drawn, pairs @ drawn)

    def _masses(self, trials: ClassScores, levels: Floats) -> NDArray[np.float32]:
        place = np.searchsorted(levels, trials.scores, side="right") - 1
        alone = trials.first == trials.second
        counts = np.bincount(trials.first[alone] * len(levels) + place[alone], minlength=self.speakers * len(levels))
        mass = self.draws @ counts.reshape(self.speakers, len(levels)).astype(np.float32)
        if not alone.all():
            self._add_pairs(mass, place[~alone], trials.first[~alone], trials.second[~alone])
        return mass

    def _add_pairs(self, mass: NDArray[np.float32], place: Codes, first: Codes, second: Codes) -> None:
        """Add the weights of trials of two people to the levels, a resample at a time, two at once."""
        order = np.argsort(place, kind="stable")
        # Small numbers are gathered twice as fast.
        own, other = first[order].astype(np.int32), second[order].astype(np.int32)
        occupied, starts = np.unique(place[order], return_index=True)

        def add(rows: range) -> None:
            left, right = np.empty(len(own), np.float32), np.empty(len(own), np.float32)
            for row in rows:
                np.take(self.draws[row], own, out=left, mode="clip")
                np.take(self.draws[row], other, out=right, mode="clip")
                np.multiply(left, right, out=left)
                mass[row, occupied] += np.add.reduceat(left, starts)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(add, [range(start, len(mass), THREADS) for start in range(THREADS)]))


def interval(values: Floats, trials: int | None = None) -> Interval | None:
    """The 95 % interval of a figure over the resamples, ``(resamples,)``; those that have none (NaN) are left out.

    Args:
        values: the figure in each resample.
        trials: where the figure is an error rate, how many trials the smaller class has: they say how much no error in
            any resample can mean.

    Returns:
        None where no resample has the figure.
    """
    found = values[np.isfinite(values)]
    if not found.size:
        return None
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    if trials is not None and high == 0:
        return Interval(0.0, min(1.0, 3 / trials), "rule of 3")
    return Interval(low, high, "bootstrap by speaker")


def _levels(classes: Mapping[str, ClassScores], thresholds: Sequence[float]) -> Floats:
    """Rising scores, the lowest of all first, that divide each class finely enough."""
    heard = [trials.scores for trials in classes.values() if len(trials)]
    levels = np.unique(np.concatenate([np.asarray(thresholds, np.float64), *(_divide(np.sort(one)) for one in heard)]))
    lowest = min((float(one.min()) for one in heard), default=0.0)
    return np.append(lowest, levels[levels > lowest]) if levels[0] >= lowest else levels


def _divide(rising: Floats) -> Floats:
    """Scores of a class at ranks that lie dense at both of its ends."""
    if len(rising) <= LEVELS_OF_A_CLASS:
        return rising
    ranks = np.unique(np.geomspace(1, len(rising), LEVELS_OF_A_CLASS // 2).astype(np.intp)) - 1
    return rising[np.union1d(ranks, len(rising) - 1 - ranks)]
