"""Detection metrics of one score and two classes: equal error rate and detection cost."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vivavoce.evaluation.metrics.rates import between, det_curve

# NIST SRE 2010/2012 and the VoxCeleb literature: one claim in a hundred is genuine, both errors cost the same.
P_TARGET, C_MISS, C_FA = 0.01, 1.0, 1.0


class EqualErrorRate(NamedTuple):
    """The rate (0–1) at which misses equal false alarms, and the score threshold that gives it."""

    rate: float
    threshold: float


@dataclass(frozen=True)
class DetectionCost:
    """A normalised minimum detection cost together with the parameters it was computed with."""

    value: float
    threshold: float
    p_target: float
    c_miss: float
    c_fa: float


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
    low, high = between(levels, above - 1), between(levels, above)
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
    return DetectionCost(float(cost[best]), between(thresholds, best), p_target, c_miss, c_fa)
