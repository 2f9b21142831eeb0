"""Detection metrics of one score and two classes: equal error rate, detection cost, area under the ROC."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vivavoce.evaluation.metrics.rates import Floats, between, det_curve, error_rates_at, meeting, rate_at

# NIST SRE 2010/2012 and the VoxCeleb literature: one claim in a hundred is genuine, both errors cost the same.
P_TARGET, C_MISS, C_FA = 0.01, 1.0, 1.0


class EqualErrorRate(NamedTuple):
    """The rate (0–1) at which misses equal false alarms, and the score threshold that gives it."""

    rate: float
    threshold: float


@dataclass(frozen=True)
class DetectionCost:
    """A normalised detection cost together with the threshold and the parameters it was computed with."""

    value: float
    threshold: float
    p_target: float
    c_miss: float
    c_fa: float
    name: Literal["minDCF", "actDCF"] = "minDCF"

    @property
    def label(self) -> str:
        """The metric's name with its parameters."""
        return f"{self.name}(p_target={self.p_target:g}, c_miss={self.c_miss:g}, c_fa={self.c_fa:g})"


def eer(targets: ArrayLike, nontargets: ArrayLike) -> EqualErrorRate:
    """Give the equal error rate and its threshold.

    The rate is where the ROC, its neighbouring operating points joined by straight lines, meets ``p_miss = p_fa``;
    tied scores thereby count as a fair coin between the classes (Fawcett, "An introduction to ROC analysis", Pattern
    Recognition Letters 27, 2006, sections 4 and 6). This is not the convex hull of BOSARIS (Brümmer & de Villiers
    2013), which is never higher. The threshold lies between two distinct scores, so that it carries over to new data.

    Args:
        targets: scores of target trials, ``(targets,)``.
        nontargets: scores of non-target trials, ``(nontargets,)``.

    Raises:
        UserError: a class is empty or holds a score that is not finite.
    """
    p_miss, p_fa, levels = det_curve(targets, nontargets)
    above, share = meeting(p_miss, p_fa)
    index = int(above)
    low, high = between(levels, index - 1), between(levels, index)
    return EqualErrorRate(float(rate_at(p_miss, above, share)), float(low + share * (high - low)))


def eer_of(p_miss: Floats, p_fa: Floats) -> Floats:
    """Give the equal error rate of each curve of operating points.

    Args:
        p_miss: miss rates from accepting all (0) to rejecting all (1), ``(..., points)``.
        p_fa: false-alarm rates at the same points, from 1 to 0, ``(..., points)``.

    Returns:
        ``(...,)``; NaN where a class had no trial, so that its rates are NaN.
    """
    with np.errstate(invalid="ignore"):
        return rate_at(p_miss, *meeting(p_miss, p_fa))


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

    Args:
        targets: scores of target trials, ``(targets,)``.
        nontargets: scores of non-target trials, ``(nontargets,)``.
        p_target: prior of a target, inside (0, 1).
        c_miss: cost of rejecting a target.
        c_fa: cost of accepting a non-target.

    Raises:
        UserError: a class is empty or holds a score that is not finite.
        ValueError: ``p_target`` is not inside (0, 1) or a cost is not positive.
    """
    _check_costs(p_target, c_miss, c_fa)
    p_miss, p_fa, thresholds = det_curve(targets, nontargets)
    cost = act_dcf_of(p_miss, p_fa, p_target, c_miss, c_fa)
    best = int(np.argmin(cost))
    return DetectionCost(float(cost[best]), between(thresholds, best), p_target, c_miss, c_fa)


def act_dcf(
    targets: ArrayLike,
    nontargets: ArrayLike,
    p_target: float = P_TARGET,
    c_miss: float = C_MISS,
    c_fa: float = C_FA,
    threshold: float | None = None,
) -> DetectionCost:
    """Give the normalised detection cost of a threshold that was fixed beforehand.

    Args:
        targets: scores of target trials, ``(targets,)``.
        nontargets: scores of non-target trials, ``(nontargets,)``.
        p_target: prior of a target, inside (0, 1).
        c_miss: cost of rejecting a target.
        c_fa: cost of accepting a non-target.
        threshold: None: the scores are log-likelihood ratios in nats, and `bayes_threshold` decides.

    Raises:
        UserError: a class is empty or holds a score that is not finite.
        ValueError: ``p_target`` is not inside (0, 1) or a cost is not positive.

    Source: NIST 2016 Speaker Recognition Evaluation Plan, section 3.
    """
    _check_costs(p_target, c_miss, c_fa)
    used = bayes_threshold(p_target, c_miss, c_fa) if threshold is None else threshold
    rates = error_rates_at(used, targets, nontargets)
    cost = act_dcf_of(rates.p_miss, rates.p_fa, p_target, c_miss, c_fa)
    return DetectionCost(float(cost), used, p_target, c_miss, c_fa, "actDCF")


def min_dcf_of(
    p_miss: Floats, p_fa: Floats, p_target: float = P_TARGET, c_miss: float = C_MISS, c_fa: float = C_FA
) -> Floats:
    """Give the normalised minimum detection cost of each curve, ``(...,)``, from rates ``(..., points)``."""
    return act_dcf_of(p_miss, p_fa, p_target, c_miss, c_fa).min(axis=-1)


def act_dcf_of(
    p_miss: ArrayLike, p_fa: ArrayLike, p_target: float = P_TARGET, c_miss: float = C_MISS, c_fa: float = C_FA
) -> Floats:
    """Give the normalised detection cost of each operating point, in the shape of the rates."""
    weight_miss, weight_fa = c_miss * p_target, c_fa * (1 - p_target)
    return (weight_miss * np.asarray(p_miss) + weight_fa * np.asarray(p_fa)) / min(weight_miss, weight_fa)


def bayes_threshold(p_target: float = P_TARGET, c_miss: float = C_MISS, c_fa: float = C_FA) -> float:
    """Give the threshold of a log-likelihood ratio (nats) that costs least.

    ``ln(c_fa (1 - p_target)) - ln(c_miss p_target)``.

    Raises:
        ValueError: ``p_target`` is not inside (0, 1) or a cost is not positive.

    Source: Brümmer & du Preez, "Application-independent evaluation of speaker detection", Computer Speech & Language
    20, 2006, section 2.
    """
    _check_costs(p_target, c_miss, c_fa)
    return float(np.log(c_fa * (1 - p_target)) - np.log(c_miss * p_target))


def roc_auc(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """Give the area under the ROC: how often a target scores above a non-target, a tie counting as a half.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27, 2006, section 7.
    """
    p_miss, p_fa, _ = det_curve(targets, nontargets)
    return float(auc_of(p_miss, p_fa))


def auc_of(p_miss: Floats, p_fa: Floats) -> Floats:
    """Give the area under each ROC, ``(...,)``, from rates ``(..., points)``."""
    hits = 1 - (p_miss[..., :-1] + p_miss[..., 1:]) / 2
    return np.sum((p_fa[..., :-1] - p_fa[..., 1:]) * hits, axis=-1)


def _check_costs(p_target: float, c_miss: float, c_fa: float) -> None:
    if not 0 < p_target < 1 or c_miss <= 0 or c_fa <= 0:
        raise ValueError(f"p_target={p_target} must lie inside (0, 1); c_miss={c_miss} and c_fa={c_fa} above 0")
