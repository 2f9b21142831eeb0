"""Error rates of a detector: EER, DET curve, minimum detection cost, and rates at a threshold.

Everywhere a higher score speaks for the target class (the enrolled speaker, or a living mouth), and a recording is
accepted where ``score >= threshold``.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vivavoce.errors import UserError

Floats = NDArray[np.float64]

# NIST SRE 2010/2012 and the VoxCeleb literature: one claim in a hundred is genuine, both errors cost the same.
P_TARGET, C_MISS, C_FA = 0.01, 1.0, 1.0
# Shim et al. 2024, the configuration a-DCF1, which is the default of their package `a_dcf`, too.
P_NONTARGET, P_SPOOF, C_FA_NONTARGET, C_FA_SPOOF = 0.05, 0.05, 10.0, 20.0


class EqualErrorRate(NamedTuple):
    """The rate (0–1) at which misses equal false alarms, and the score threshold that gives it."""

    rate: float
    threshold: float


class ErrorRates(NamedTuple):
    """Miss and false-alarm rates (0–1) at given thresholds; scalars for one threshold, else arrays."""

    p_miss: float | Floats
    p_fa: float | Floats


@dataclass(frozen=True)
class DetectionCost:
    """A normalised minimum detection cost together with the parameters it was computed with."""

    value: float
    threshold: float
    p_target: float
    c_miss: float
    c_fa: float


def det_curve(targets: ArrayLike, nontargets: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Give every operating point of a detector, from accepting all to rejecting all.

    Args:
        targets: scores of target trials, ``(targets,)``.
        nontargets: scores of non-target trials, ``(nontargets,)``.

    Returns:
        ``(p_miss, p_fa, thresholds)``, each ``(distinct scores + 1,)``. Thresholds rise through the distinct scores
        and end with infinity; ``p_miss`` never falls and ``p_fa`` never rises along them.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    targets, nontargets = _checked(targets, "target"), _checked(nontargets, "non-target")
    levels = np.unique(np.concatenate([targets, nontargets]))
    thresholds = np.append(levels, np.inf)
    rates = error_rates_at(thresholds, targets, nontargets)
    return np.asarray(rates.p_miss), np.asarray(rates.p_fa), thresholds


def error_rates_at(threshold: ArrayLike, targets: ArrayLike, nontargets: ArrayLike) -> ErrorRates:
    """Give the miss and false-alarm rate of accepting ``score >= threshold``, for one threshold or an array of them.

    Raises:
        UserError: a class is empty or holds a score that is not finite.
    """
    targets, nontargets = np.sort(_checked(targets, "target")), np.sort(_checked(nontargets, "non-target"))
    p_miss = np.searchsorted(targets, threshold, side="left") / targets.size
    p_fa = 1.0 - np.searchsorted(nontargets, threshold, side="left") / nontargets.size
    if np.ndim(threshold) == 0:
        return ErrorRates(float(p_miss), float(p_fa))
    return ErrorRates(p_miss, p_fa)


def eer(targets: ArrayLike, nontargets: ArrayLike) -> EqualErrorRate:
    """Give the equal error rate and its threshold.

    The rate is where the ROC, its neighbouring operating points joined by straight lines, meets ``p_miss = p_fa``;
    tied scores thereby count as a fair coin between the classes (Fawcett, "An introduction to ROC analysis", Pattern
    Recognition Letters 27, 2006, sections 4 and 6). This is not the convex hull of BOSARIS (Brümmer & de Villiers
    2013), which is never higher. The threshold lies between two distinct scores, so that it carries over to new data.

    Raises:
        UserError: a class is empty or holds a score that is not finite.
    """
    p_miss, p_fa, levels = det_curve(targets, nontargets)
    above = int(np.argmax(p_miss >= p_fa))  # the last point (1, 0) always is, the first (0, 1) never
    gap_below = p_fa[above - 1] - p_miss[above - 1]
    gap_above = p_miss[above] - p_fa[above]
    share = gap_below / (gap_below + gap_above)
    rate = p_miss[above - 1] + share * (p_miss[above] - p_miss[above - 1])
    low, high = _between(levels, above - 1), _between(levels, above)
    return EqualErrorRate(float(rate), float(low + share * (high - low)))


def min_dcf(
    targets: ArrayLike,
    nontargets: ArrayLike,
    p_target: float = P_TARGET,
    c_miss: float = C_MISS,
    c_fa: float = C_FA,
) -> DetectionCost:
    """Give the lowest detection cost over all thresholds, normalised by that of the better blind decision.

    ``(c_miss p_target p_miss + c_fa (1 - p_target) p_fa) / min(c_miss p_target, c_fa (1 - p_target))``; 1 means no
    better than always giving the same answer. Source: NIST 2016 Speaker Recognition Evaluation Plan, section 3.

    Raises:
        UserError: a class is empty or holds a score that is not finite.
        ValueError: ``p_target`` is not inside (0, 1) or a cost is not positive.
    """
    if not 0 < p_target < 1 or c_miss <= 0 or c_fa <= 0:
        raise ValueError(f"p_target={p_target} must lie inside (0, 1); c_miss={c_miss} and c_fa={c_fa} above 0")
    p_miss, p_fa, thresholds = det_curve(targets, nontargets)
    weight_miss, weight_fa = c_miss * p_target, c_fa * (1 - p_target)
    cost = (weight_miss * p_miss + weight_fa * p_fa) / min(weight_miss, weight_fa)
    best = int(np.argmin(cost))
    return DetectionCost(float(cost[best]), _between(thresholds, best), p_target, c_miss, c_fa)


@dataclass(frozen=True)
class SpoofingCost:
    """A normalised minimum a-DCF together with the threshold that gives it."""

    value: float
    threshold: float


def min_a_dcf(
    targets: ArrayLike,
    nontargets: ArrayLike,
    spoofs: ArrayLike,
    p_nontarget: float = P_NONTARGET,
    p_spoof: float = P_SPOOF,
    c_miss: float = C_MISS,
    c_fa_nontarget: float = C_FA_NONTARGET,
    c_fa_spoof: float = C_FA_SPOOF,
) -> SpoofingCost:
    """Give the lowest architecture-agnostic detection cost of one score that is to accept targets alone.

    ``c_miss p_target p_miss + c_fa_nontarget p_nontarget p_fa_nontarget + c_fa_spoof p_spoof p_fa_spoof``, where
    ``p_target = 1 - p_nontarget - p_spoof``, at the best threshold and normalised by that of the better blind
    decision: accepting all or rejecting all; 1 means no better than that.

    Args:
        targets: scores of genuine trials, ``(targets,)``.
        nontargets: scores of other speakers' live trials, ``(nontargets,)``.
        spoofs: scores of attacks that claim the enrolled speaker, ``(spoofs,)``.
        p_nontarget: prior of another speaker.
        p_spoof: prior of an attack.
        c_miss: cost of rejecting a target.
        c_fa_nontarget: cost of accepting another speaker.
        c_fa_spoof: cost of accepting an attack.

    Raises:
        UserError: a class is empty or holds a score that is not finite.
        ValueError: the priors leave no target, or one of them or a cost is not positive.

    Source: Shim et al., "a-DCF: an architecture agnostic metric with application to spoofing-robust speaker
    verification", Odyssey 2024.
    """
    p_target = 1 - p_nontarget - p_spoof
    if min(p_target, p_nontarget, p_spoof, c_miss, c_fa_nontarget, c_fa_spoof) <= 0:
        raise ValueError("the three priors and the three costs must be above 0")
    others = np.concatenate([_checked(nontargets, "non-target"), _checked(spoofs, "spoof")])
    _, _, thresholds = det_curve(targets, others)
    by_speaker = error_rates_at(thresholds, targets, nontargets)
    p_fa_spoof = error_rates_at(thresholds, targets, spoofs).p_fa
    reject, accept, let_in = c_miss * p_target, c_fa_nontarget * p_nontarget, c_fa_spoof * p_spoof
    cost = reject * np.asarray(by_speaker.p_miss) + accept * np.asarray(by_speaker.p_fa) + let_in * p_fa_spoof
    best = int(np.argmin(cost))
    return SpoofingCost(float(cost[best]) / min(reject, accept + let_in), _between(thresholds, best))


def _between(levels: Floats, index: int) -> float:
    """Give a threshold of operating point ``index`` half-way to the next lower score (finite at both ends)."""
    if index == 0:
        return float(levels[0])
    if not np.isfinite(levels[index]):
        return float(np.nextafter(levels[index - 1], np.inf))
    middle = levels[index - 1] / 2 + levels[index] / 2
    # Between neighbouring floats there is no middle; the upper one still divides them.
    return float(middle if middle > levels[index - 1] else levels[index])


def _checked(scores: ArrayLike, name: str) -> Floats:
    array = np.asarray(scores, dtype=np.float64).ravel()
    if array.size == 0:
        raise UserError(f"There is no {name} score to compute error rates from; add {name} trials.")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise UserError(
            f"{count} of {array.size} {name} scores are not finite; retrain, or leave out those recordings."
        )
    return array
