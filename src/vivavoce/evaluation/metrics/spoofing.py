"""Metrics of one score that is to accept targets alone, against other speakers and attacks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vivavoce.evaluation.metrics.rates import between, checked_scores, det_curve, error_rates_at

# Shim et al. 2024, the configuration a-DCF1, which is the default of their package `a_dcf`, too.
P_NONTARGET, P_SPOOF, C_FA_NONTARGET, C_FA_SPOOF = 0.05, 0.05, 10.0, 20.0
C_MISS = 1.0


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
    others = np.concatenate([checked_scores(nontargets, "non-target"), checked_scores(spoofs, "spoof")])
    _, _, thresholds = det_curve(targets, others)
    by_speaker = error_rates_at(thresholds, targets, nontargets)
    p_fa_spoof = error_rates_at(thresholds, targets, spoofs).p_fa
    reject, accept, let_in = c_miss * p_target, c_fa_nontarget * p_nontarget, c_fa_spoof * p_spoof
    cost = reject * np.asarray(by_speaker.p_miss) + accept * np.asarray(by_speaker.p_fa) + let_in * p_fa_spoof
    best = int(np.argmin(cost))
    return SpoofingCost(float(cost[best]) / min(reject, accept + let_in), between(thresholds, best))
