"""Error rates of two versions of the same recordings, with intervals by resampling speakers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vivavoce.evaluation.metrics.detection import eer


@dataclass(frozen=True)
class Rate:
    """A figure and its 95 % interval; None where there are too few speakers to resample."""

    value: float
    low: float | None
    high: float | None


Pair = tuple[np.ndarray, np.ndarray]  # scores of live recordings and of attacks


def eer_of(
    live: np.ndarray, attacks: np.ndarray, live_speakers: np.ndarray, attack_speakers: np.ndarray,
    resamples: int, seed: int,
) -> Rate:  # fmt: skip
    """Equal error rate."""
    return _resampled(lambda i, j: eer(live[i], attacks[j]).rate, (live_speakers, attack_speakers), resamples, seed)


def eer_change(before: Pair, after: Pair, speakers: Pair, resamples: int, seed: int) -> tuple[Rate, Rate, Rate]:
    """Equal error rate before and after a change, and its rise; the rise resampled in pairs."""

    def rate(pair: Pair) -> Callable[[np.ndarray, np.ndarray], float]:
        return lambda i, j: eer(pair[0][i], pair[1][j]).rate

    def rise(i: np.ndarray, j: np.ndarray) -> float:
        return rate(after)(i, j) - rate(before)(i, j)

    first, second, third = (_resampled(of, speakers, resamples, seed) for of in (rate(before), rate(after), rise))
    return first, second, third


def auc(
    first: np.ndarray, second: np.ndarray, first_speakers: np.ndarray, second_speakers: np.ndarray,
    resamples: int, seed: int,
) -> Rate:  # fmt: skip
    """Share of pairs in which a score of ``first`` is above one of ``second``; 0.5: nobody can tell them apart."""

    def area(i: np.ndarray, j: np.ndarray) -> float:
        order = np.sort(second[j])
        below = np.searchsorted(order, first[i], "left") + np.searchsorted(order, first[i], "right")
        return float(below.mean() / (2 * len(order)))

    return _resampled(area, (first_speakers, second_speakers), resamples, seed)


def _resampled(figure: Callable[[np.ndarray, np.ndarray], float], speakers: Pair, resamples: int, seed: int) -> Rate:
    """A figure of two classes of recordings, and its interval over resampled speakers."""
    names = np.unique(np.concatenate(speakers))
    value = figure(*(np.arange(len(part)) for part in speakers))
    members = [[np.flatnonzero(part == name) for name in names] for part in speakers]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples if len(names) > 1 else 0):
        drawn = rng.integers(len(names), size=len(names))
        first, second = (np.concatenate([part[index] for index in drawn]) for part in members)
        if len(first) and len(second):
            values.append(figure(first, second))
    if not values:
        return Rate(float(value), None, None)
    low, high = np.quantile(values, (0.025, 0.975))
    return Rate(float(value), float(low), float(high))
