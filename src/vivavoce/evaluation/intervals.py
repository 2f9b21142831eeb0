"""95 % intervals of error rates, by resampling speakers.

Trials that share a speaker are not independent, so the unit of resampling is the speaker. Where two people meet in one
trial, the trial counts as often as the product of their draws (the vertex bootstrap: Snijders & Borgatti,
"Non-parametric standard errors and tests for network statistics", Connections 22(2), 1999).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vivavoce.errors import UserError

LEVEL = 0.95
RESAMPLES = 1000  # Efron & Tibshirani 1993, chapter 13: about 1000 for percentile intervals
# Bounds the memory of one block of resamples (8 bytes each, three arrays of that size alive at once).
BLOCK_ELEMENTS = 4_000_000


@dataclass(frozen=True)
class Interval:
    """The 95 % interval of a rate (0–1), and how it was found.

    ``rule of 3``: no error was seen, and ``high`` is 3 over the number of trials (ISO/IEC 19795-1:2006, annex B), where
    a bootstrap could only answer zero; it takes trials for independent, so it is the least that can be said.
    """

    low: float
    high: float
    method: Literal["bootstrap by speaker", "rule of 3"]


def bootstrap_interval(
    targets: ArrayLike,
    nontargets: ArrayLike,
    target_speakers: ArrayLike,
    nontarget_speakers: ArrayLike,
    nontarget_others: ArrayLike | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Give the 95 % interval of the equal error rate.

    Args:
        targets: target scores, ``(targets,)``.
        nontargets: non-target scores, ``(nontargets,)``.
        target_speakers: the speaker of each target trial, ``(targets,)``.
        nontarget_speakers: the (enrolled) speaker of each non-target trial, ``(nontargets,)``.
        nontarget_others: the other person in each non-target trial, where there is one, ``(nontargets,)``.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        The interval, or None where fewer than two speakers leave nothing to resample.

    Raises:
        UserError: a class is empty.
    """
    scores = np.concatenate([np.asarray(targets, float).ravel(), np.asarray(nontargets, float).ravel()])
    n_target = np.asarray(targets).size
    n_nontarget = scores.size - n_target
    if not n_target or not n_nontarget:
        raise UserError(
            "An interval of the equal error rate needs target and non-target trials; one of them is missing."
        )
    own = np.concatenate([np.asarray(target_speakers, str).ravel(), np.asarray(nontarget_speakers, str).ravel()])
    other = own
    if nontarget_others is not None:
        other = np.concatenate([own[:n_target], np.asarray(nontarget_others, str).ravel()])
    names, codes = np.unique(np.concatenate([own, other]), return_inverse=True)
    if names.size < 2:
        return None
    order = np.argsort(scores, kind="stable")
    is_target = (np.arange(scores.size) < n_target)[order]
    level_ends = np.flatnonzero(np.append(np.diff(scores[order]) > 0, True))
    first, second = codes[: own.size][order], codes[own.size :][order]

    def rates_of(draws: NDArray[np.float64]) -> NDArray[np.float64]:
        return _weighted_eers(draws, first, second, is_target, level_ends)

    return _interval(_resampled(rates_of, names.size, scores.size, resamples, seed), min(n_target, n_nontarget))


def rate_interval(
    errors: ArrayLike,
    speakers: ArrayLike,
    others: ArrayLike | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Give the 95 % interval of a plain error rate at a fixed threshold.

    Args:
        errors: whether each trial was decided wrongly, boolean ``(trials,)``.
        speakers: the (enrolled) speaker of each trial, ``(trials,)``.
        others: the other person in each trial, where there is one, ``(trials,)``.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Returns:
        The interval, or None where fewer than two speakers leave nothing to resample.
    """
    wrong = np.asarray(errors, bool).ravel()
    own = np.asarray(speakers, str).ravel()
    other = own if others is None else np.asarray(others, str).ravel()
    names, codes = np.unique(np.concatenate([own, other]), return_inverse=True)
    if names.size < 2 or not wrong.size:
        return None
    # Trials of the same pair of speakers always weigh the same, so pairs are counted once and weighted after.
    pairs, pair_of = np.unique(codes[: own.size] * names.size + codes[own.size :], return_inverse=True)
    trials = np.bincount(pair_of).astype(float)
    wrongs = np.bincount(pair_of, weights=wrong)
    first, second = pairs // names.size, pairs % names.size

    def rates_of(draws: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = _weights(draws, first, second)
        with np.errstate(invalid="ignore"):
            return (weights @ wrongs) / (weights @ trials)

    return _interval(_resampled(rates_of, names.size, pairs.size, resamples, seed), wrong.size)


def _resampled(
    rates_of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    speakers: int,
    columns: int,
    resamples: int,
    seed: int,
) -> NDArray[np.float64]:
    """Give the rate of each resample, ``(resamples,)``, in blocks that bound the memory for their ``columns``."""
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_ELEMENTS // columns)
    counts = [min(block, resamples - done) for done in range(0, resamples, block)]
    return np.concatenate([rates_of(_draws(rng, count, speakers)) for count in counts])


def _interval(rates: NDArray[np.float64], trials: int) -> Interval | None:
    rates = rates[np.isfinite(rates)]
    if not rates.size:
        return None
    low, high = np.quantile(rates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if high == 0:
        return Interval(0.0, min(1.0, 3 / trials), "rule of 3")
    return Interval(float(low), float(high), "bootstrap by speaker")


def _draws(rng: np.random.Generator, resamples: int, speakers: int) -> NDArray[np.float64]:
    """Count how often each speaker is drawn: ``(resamples, speakers)``."""
    return rng.multinomial(speakers, np.full(speakers, 1 / speakers), size=resamples).astype(np.float64)


def _weights(draws: NDArray[np.float64], first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.float64]:
    """Count how often each trial is drawn: ``(resamples, trials)``."""
    # A trial of one speaker alone comes as often as the speaker, not as often squared.
    return draws[:, first] * np.where(first == second, 1.0, draws[:, second])


def _weighted_eers(
    draws: NDArray[np.float64],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    is_target: NDArray[np.bool_],
    level_ends: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Give the equal error rate of each resample, ``(resamples,)``; trials come sorted by score.

    The same meeting point as `metrics.eer`, with weighted trials; NaN where a class was not drawn at all.
    """
    weights = _weights(draws, first, second)
    with np.errstate(invalid="ignore", divide="ignore"):
        misses = np.cumsum(weights * is_target, axis=1)[:, level_ends]
        rejected = np.cumsum(weights * ~is_target, axis=1)[:, level_ends]
        p_miss = np.pad(misses / misses[:, -1:], ((0, 0), (1, 0)))
        p_fa = 1 - np.pad(rejected / rejected[:, -1:], ((0, 0), (1, 0)))
        gap = p_miss - p_fa
        above = np.maximum(np.argmax(gap >= 0, axis=1), 1)
        row = np.arange(len(draws))
        share = -gap[row, above - 1] / (gap[row, above] - gap[row, above - 1])
        rates = p_miss[row, above - 1] + share * (p_miss[row, above] - p_miss[row, above - 1])
    absent = (misses[:, -1] == 0) | (rejected[:, -1] == 0)
    return np.where(absent, np.nan, rates)
