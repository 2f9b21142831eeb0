"""Thresholds with a stated risk: the cheapest for given priors and costs, or the lowest for a false-accept rate."""

import math
from collections.abc import Mapping

import numpy as np

from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.logistic import Floats
from vivavoce.evaluation.metrics.spoofing import ADcfCosts

# No error in n trials leaves, at 95 %, rates up to 3 / n possible (ISO/IEC 19795-1:2006, annex B, the rule of 3).
RULE_OF_3 = 3


def asked_weights(costs: ADcfCosts, speaker: bool = True, liveness: bool = True) -> tuple[float, float, float]:
    """What misses, accepted speakers and accepted attacks weigh, for a run that may know one question alone.

    Where nobody is compared, other live speakers are to be accepted as the user is, and a miss of theirs costs as much.
    """
    miss, others, attacks = costs.weights
    if not speaker:
        miss, others = costs.c_miss * (costs.p_target + costs.p_nontarget), 0.0
    return miss, others, attacks if liveness else 0.0


def bayes_threshold(miss: float, *accepts: float) -> float:
    """The log-likelihood ratio, nats, from which accepting costs less than refusing.

    Args:
        miss: what refusing the user weighs: its prior times its cost.
        accepts: what accepting each of the other classes weighs.

    Source: Duda, Hart & Stork, "Pattern Classification", 2001, section 2.3.
    """
    return math.log(sum(accepts) / miss)


def false_accept_threshold(others: Mapping[str, Floats], accepted: Floats, rate: float) -> float:
    """The lowest threshold that accepts no more than a share of each class, half-way to the next higher score.

    Args:
        others: scores of each class that is to be refused, ``(trials,)``.
        accepted: scores of the user, ``(targets,)``.
        rate: the share of each class that may be accepted.
    """
    every = np.unique(np.concatenate([accepted, *others.values()]))
    every = every[np.isfinite(every)]

    def above(scores: Floats) -> float:
        allowed = int(rate * len(scores) + 1e-9)  # 0.1 of 30 is 3, whatever rounding makes of it
        highest = np.sort(scores)[-1 - allowed]
        if not np.isfinite(highest):  # refused already, whatever the threshold
            return float(every[0])
        higher = every[every > highest]
        return float((highest + higher[0]) / 2) if len(higher) else float(np.nextafter(highest, np.inf))

    return max(above(scores) for scores in others.values())


def check_shown(counts: Mapping[str, int], rate: float, extrapolate: bool) -> list[str]:
    """Refuse a false-accept rate that there are too few trials to show, or give a sentence where it is extrapolated.

    Args:
        counts: trials of each class that is to be refused, by what the class is called.
        rate: the false-accept rate that is asked for.
        extrapolate: go on all the same.

    Raises:
        UserError: a class has fewer than 3 / ``rate`` trials and ``extrapolate`` is not set.
    """
    name, fewest = min(counts.items(), key=lambda item: item[1])
    needed = math.ceil(RULE_OF_3 / rate - 1e-9)
    if fewest >= needed:
        return []
    least = min(1.0, RULE_OF_3 / fewest)
    what = f"the validation split has {fewest} {name}, which can show a false-accept rate of {least:.2g} at best"
    if not extrapolate:
        raise UserError(
            f"A false-accept rate of {rate:g} cannot be shown: {what} (rule of 3), and it takes {needed}; give more "
            "with --validation, ask for a higher rate, or take it from the calibrated ratios with --extrapolate."
        )
    return [
        f"The false-accept rate of {rate:g} is extrapolated from the calibrated ratios: {what}, and it takes {needed}."
    ]


def extrapolated_threshold(rate: float, share: float = 1.0) -> float:
    """A ratio, nats, that calibrated scores of a class reach no more often than ``rate``.

    Of a likelihood ratio, the chance to exceed 1 / rate where it is wrong is at most ``rate``. Where the ratio is one
    against a mixture, a class with the ``share`` of it is held to that rate by ``rate * share``.

    Source: Royall, "On the probability of observing misleading statistical evidence", Journal of the American
    Statistical Association 95, 2000 (the universal bound; Markov's inequality).
    """
    return -math.log(rate * share)
