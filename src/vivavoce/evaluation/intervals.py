"""95 % intervals of single error rates, by resampling speakers; `bootstrap` is behind them."""

import numpy as np
from numpy.typing import ArrayLike

from vivavoce.errors import UserError
from vivavoce.evaluation.bootstrap import RESAMPLES, Bootstrap, ClassScores, Interval, interval
from vivavoce.evaluation.metrics.detection import eer_of

__all__ = ["Interval", "bootstrap_interval", "rate_interval"]


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
    genuine, others = np.asarray(targets, float).ravel(), np.asarray(nontargets, float).ravel()
    if not genuine.size or not others.size:
        raise UserError(
            "An interval of the equal error rate needs target and non-target trials; one of them is missing."
        )
    who = np.asarray(target_speakers, str).ravel()
    enrolled = np.asarray(nontarget_speakers, str).ravel()
    tested = enrolled if nontarget_others is None else np.asarray(nontarget_others, str).ravel()
    names, codes = np.unique(np.concatenate([who, enrolled, tested]), return_inverse=True)
    if names.size < 2:
        return None
    own, first, second = np.split(codes, [who.size, who.size + enrolled.size])
    classes = {"target": ClassScores.of(genuine, own), "nontarget": ClassScores.of(others, first, second)}
    curves = Bootstrap(names.size, resamples, seed).curves(classes)
    return interval(eer_of(curves.p_miss("target"), curves.p_fa("nontarget")), min(genuine.size, others.size))


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
    trials = ClassScores.of(wrong, codes[: own.size], codes[own.size :])
    return interval(Bootstrap(names.size, resamples, seed).means(trials.scores, trials), wrong.size)
