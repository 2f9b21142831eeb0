"""How good scores are as log-likelihood ratios (natural logarithm): Cllr, and the least that a rising map can give.

Source: Brümmer & du Preez, "Application-independent evaluation of speaker detection", Computer Speech & Language 20,
2006.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression
from scipy.special import xlogy

from vivavoce.evaluation.metrics.rates import Floats, checked_scores


class LevelRatios(NamedTuple):
    """The log-likelihood ratio of each distinct score: rising levels and ratios in nats, each ``(levels,)``."""

    levels: Floats
    ratios: Floats


def cllr(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """Give the cost of log-likelihood ratios (Cllr) in bits: 0 is perfect, 1 is what ratios that say nothing cost.

    Args:
        targets: natural-log likelihood ratios of target trials, ``(targets,)``.
        nontargets: those of non-target trials, ``(nontargets,)``.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Brümmer & du Preez 2006, equation 37.
    """
    targets, nontargets = checked_scores(targets, "target"), checked_scores(nontargets, "non-target")
    missed, accepted = np.logaddexp(0, -targets).mean(), np.logaddexp(0, nontargets).mean()
    return float((missed + accepted) / (2 * np.log(2)))


def min_cllr(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """Give the least Cllr (bits) of any map that keeps the order of the scores, found by pool-adjacent-violators.

    What `cllr` exceeds it by is lost to calibration; the rest is lost to discrimination.

    Args:
        targets: scores of target trials, of any scale, ``(targets,)``.
        nontargets: scores of non-target trials, ``(nontargets,)``.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Brümmer & du Preez 2006, section 6.
    """
    _, target_count, nontarget_count = _counts(targets, nontargets)
    return float(min_cllr_of(target_count, nontarget_count))


def min_cllr_of(target_mass: Floats, nontarget_mass: Floats) -> Floats:
    """Give the least Cllr (bits) of each set of trials, counted or weighted by level of score.

    Args:
        target_mass: how many target trials lie at each level, levels rising, ``(..., levels)``.
        nontarget_mass: the same of non-target trials.

    Returns:
        ``(...,)``; NaN where a class has no trial.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        target = np.asarray(target_mass) / np.sum(target_mass, axis=-1, keepdims=True)
        nontarget = np.asarray(nontarget_mass) / np.sum(nontarget_mass, axis=-1, keepdims=True)
    weight = target + nontarget
    levels = weight.shape[-1]
    # The violators to pool differ from set to set, so each set is fitted by itself.
    posterior = [_posterior(*row) for row in zip(target.reshape(-1, levels), weight.reshape(-1, levels), strict=True)]
    chance = np.reshape(posterior, weight.shape)
    # The sum of nothing but zeros would come out as -0.0.
    return 0.0 - (xlogy(target, chance) + xlogy(nontarget, 1 - chance)).sum(axis=-1) / (2 * np.log(2))


def pav(targets: ArrayLike, nontargets: ArrayLike) -> LevelRatios:
    """Give the order-keeping map from scores to log-likelihood ratios that costs least, kept finite.

    At either end one target and one non-target are added (Laplace's rule of succession), so that no score becomes
    infinite evidence. Map a score by the last level that it reaches, or by a line between levels.

    Args:
        targets: scores of target trials, ``(targets,)``.
        nontargets: scores of non-target trials, ``(nontargets,)``.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Brümmer & de Villiers, "The BOSARIS Toolkit user guide", 2011, ``opt_loglr`` with the option ``laplace``.
    """
    levels, target_count, nontarget_count = _counts(targets, nontargets)
    target, nontarget = (np.concatenate([[1.0], part, [1.0]]) for part in (target_count, nontarget_count))
    posterior = _posterior(target, target + nontarget)[1:-1]
    prior = np.log(target_count.sum()) - np.log(nontarget_count.sum())
    return LevelRatios(levels, np.log(posterior) - np.log1p(-posterior) - prior)


def _counts(targets: ArrayLike, nontargets: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Count the trials of each class at each distinct score."""
    targets, nontargets = checked_scores(targets, "target"), checked_scores(nontargets, "non-target")
    levels, level = np.unique(np.concatenate([targets, nontargets]), return_inverse=True)
    counts = (np.bincount(part, minlength=levels.size) for part in np.split(level, [targets.size]))
    target, nontarget = (count.astype(np.float64) for count in counts)
    return levels, target, nontarget


def _posterior(target: Floats, weight: Floats) -> Floats:
    """Give the rising share of targets at each level that fits best, ``(levels,)``; that of an empty level is 0."""
    fitted = np.zeros_like(weight)
    held = weight != 0
    if np.isnan(weight).any():
        return np.full_like(weight, np.nan)
    fitted[held] = isotonic_regression(target[held] / weight[held], weights=weight[held]).x
    return np.clip(fitted, 0, 1)
