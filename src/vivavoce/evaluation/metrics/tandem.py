"""Metrics of two scores that decide in turn: a speaker score (ASV) behind a liveness score (countermeasure, CM)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vivavoce.evaluation.metrics.detection import eer, eer_of
from vivavoce.evaluation.metrics.rates import (
    Floats,
    SpoofingRates,
    between,
    checked_scores,
    det_curve,
    error_rates_at,
    meeting,
    rate_at,
    spoofing_curve,
)
from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5, ADcfCosts


class SpeakerRates(NamedTuple):
    """Error rates (0–1) of a speaker score at a fixed threshold; of resamples, arrays ``(...,)``."""

    p_miss: float | Floats
    p_fa_nontarget: float | Floats
    p_fa_spoof: float | Floats


@dataclass(frozen=True)
class TandemCost:
    """A normalised minimum t-DCF, the liveness threshold that gives it, and the parameters it was computed with."""

    value: float
    threshold: float
    speaker: SpeakerRates
    costs: ADcfCosts
    legacy: bool

    @property
    def label(self) -> str:
        """The metric's name with its parameters."""
        names = zip(("asv_p_miss", "asv_p_fa_nontarget", "asv_p_fa_spoof"), self.speaker, strict=True)
        fixed = ", ".join(f"{name}={value:.4g}" for name, value in names)
        return f"min t-DCF({self.costs.label}, {fixed}, {'2019' if self.legacy else '2020'} form)"


def speaker_rates(
    targets: ArrayLike, nontargets: ArrayLike, spoofs: ArrayLike, threshold: float | None = None
) -> SpeakerRates:
    """Give the error rates of a speaker score at one threshold; None: where it has its equal error rate without spoofs.

    Raises:
        UserError: a class is empty or holds a score that is not finite.
    """
    used = eer(targets, nontargets).threshold if threshold is None else threshold
    by_speaker = error_rates_at(used, targets, nontargets)
    return SpeakerRates(*by_speaker, error_rates_at(used, targets, checked_scores(spoofs, "spoof")).p_fa)


def min_t_dcf(
    live: ArrayLike,
    attacks: ArrayLike,
    speaker: SpeakerRates,
    costs: ADcfCosts = ASVSPOOF5,
    legacy: bool = False,
) -> TandemCost:
    """Give the lowest tandem detection cost over liveness thresholds, the speaker score's threshold being fixed.

    ``C0 + C1 p_miss + C2 p_fa`` of the liveness score, with ``C0 = c_miss p_target P_miss + c_fa_nontarget p_nontarget
    P_fa``, ``C1 = c_miss p_target - C0`` and ``C2 = c_fa_spoof p_spoof P_fa_spoof`` from the speaker's rates ``P``,
    normalised by the cost of a liveness score that always gives the better of both answers. 1 means a liveness
    score that is of no use; the least is C0 so normalised, since it cannot mend the speaker score's errors.

    Args:
        live: liveness scores of live trials, of users and of other speakers, ``(live,)``.
        attacks: liveness scores of attacks, ``(attacks,)``.
        speaker: the speaker score's error rates at its threshold, from `speaker_rates`.
        costs: priors and costs.
        legacy: leave C0 out, as ASVspoof 2019 did (the costs of both of its systems being ``c_miss``, and
            ``c_fa_nontarget`` of the one, ``c_fa_spoof`` of the other); its least is 0.

    Returns:
        The cost; NaN where there is nothing to normalise by: the speaker score errs nowhere, or in the form of 2019
        rejects every attack or is itself of no use.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Kinnunen et al., "Tandem assessment of spoofing countermeasures and automatic speaker verification:
    fundamentals", IEEE/ACM TASLP 28, 2020, section IV; ASVspoof 2021 and 5 use it. Legacy: Kinnunen et al.,
    "t-DCF: a detection cost function for the tandem assessment of spoofing countermeasures and automatic speaker
    verification", Odyssey 2018, equations 10 and 11.
    """
    p_miss, p_fa, thresholds = det_curve(live, attacks)
    cost = _t_dcf_of(p_miss, p_fa, speaker, costs, legacy)
    best = int(np.argmin(cost))
    return TandemCost(float(cost[best]), between(thresholds, best), speaker, costs, legacy)


def min_t_dcf_of(
    p_miss: Floats, p_fa: Floats, speaker: SpeakerRates, costs: ADcfCosts = ASVSPOOF5, legacy: bool = False
) -> Floats:
    """Give the minimum t-DCF of each curve of the liveness score.

    Args:
        p_miss: liveness miss rates from accepting all to rejecting all, ``(..., points)``.
        p_fa: rates of accepted attacks at the same points, ``(..., points)``.
        speaker: the speaker score's rates at its threshold, each ``(...,)``.
        costs: priors and costs.
        legacy: the form of ASVspoof 2019; see `min_t_dcf`.

    Returns:
        ``(...,)``; NaN where a class had no trial or there is nothing to normalise by.
    """
    return _t_dcf_of(p_miss, p_fa, speaker, costs, legacy).min(axis=-1)


def t_eer(targets: ArrayLike, nontargets: ArrayLike, spoofs: ArrayLike, live: ArrayLike, attacks: ArrayLike) -> float:
    """Give the concurrent tandem equal error rate (0–1): there all three errors of the tandem are equal.

    A tandem accepts where both scores reach their thresholds, and the errors of the two scores are taken as
    independent within a class. The three errors, missed users, accepted speakers and accepted attacks, are equal at
    one pair of thresholds, whatever the priors. Neighbouring operating points of either score are joined by straight
    lines; where noise lets the errors meet more than once, the meeting at the highest speaker threshold counts.

    Where the speaker score alone rejects attacks as well as other speakers, the errors need not meet, and its own
    equal error rate is given; where they do not meet because the liveness score is worse than a coin, that of the
    liveness score. The authors' code differs in that it takes operating points without lines between them, and gives
    the rate of accepted attacks at those where the rates of accepted speakers and attacks come nearest to each other.

    Args:
        targets: speaker scores of genuine trials, ``(targets,)``.
        nontargets: speaker scores of other speakers' live trials, ``(nontargets,)``.
        spoofs: speaker scores of attacks that claim the enrolled speaker, ``(spoofs,)``.
        live: liveness scores of live trials, of users and of other speakers, ``(live,)``.
        attacks: liveness scores of attacks, ``(attacks,)``.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Kinnunen et al., "t-EER: parameter-free tandem evaluation of countermeasures and biometric comparators",
    IEEE TPAMI 46, 2024, section 5.
    """
    speaker, _ = spoofing_curve(targets, nontargets, spoofs)
    p_miss, p_fa, _ = det_curve(live, attacks)
    return float(t_eer_of(p_miss, p_fa, speaker))


def t_eer_of(p_miss: Floats, p_fa: Floats, speaker: SpoofingRates) -> Floats:
    """Give the concurrent t-EER of each pair of curves, as `t_eer` does.

    Args:
        p_miss: liveness miss rates from accepting all to rejecting all, ``(..., liveness points)``.
        p_fa: rates of accepted attacks at the same points, ``(..., liveness points)``.
        speaker: rates of the speaker score, each ``(..., speaker points)``.

    Returns:
        ``(...,)``; NaN where a class had no trial.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        # With as many users missed as speakers accepted, m + (1 - m) P_miss = (1 - m) P_fa, each speaker threshold
        # up to that of the equal error rate asks for one liveness miss rate m; points beyond it are drawn back to it.
        above, share = meeting(speaker.p_miss, speaker.p_fa_nontarget)
        allowed = np.arange(speaker.p_miss.shape[-1]) < above[..., None]
        ends = [rate_at(rates, above, share)[..., None] for rates in speaker]
        miss, accepted, let_in = (np.where(allowed, rates, end) for rates, end in zip(speaker, ends, strict=True))
        passing = 1 - miss + accepted
        attacks_passing = _interpolated(np.maximum(accepted - miss, 0) / passing, p_miss, p_fa)
        error = np.concatenate([accepted / passing, ends[1]], axis=-1)
        # The last point accepts every recording as live, which is as far as the liveness threshold can fall.
        excess = np.concatenate([attacks_passing * let_in, ends[2]], axis=-1) - error
        held = excess <= 0
        last = excess.shape[-1] - 1 - np.argmax(held[..., ::-1], axis=-1)
        around = np.stack([last, np.minimum(last + 1, excess.shape[-1] - 1)], axis=-1)
        low, high = np.moveaxis(np.take_along_axis(excess, around, axis=-1), -1, 0)
        start, end = np.moveaxis(np.take_along_axis(error, around, axis=-1), -1, 0)
        met = np.where(around[..., 0] < around[..., 1], start + low / (low - high) * (end - start), end)
        rate = np.where(held.any(axis=-1), met, eer_of(p_miss, p_fa))
        absent = np.isnan(sum(rates.sum(axis=-1) for rates in (p_miss, p_fa, *speaker)))
    return np.where(absent, np.nan, rate)


def _interpolated(at: Floats, p_miss: Floats, p_fa: Floats) -> Floats:
    """Give the rates of accepted attacks where the miss rate is ``at``, ``(..., points)``."""
    # numpy interpolates one curve at a time; at a miss rate of several points it takes the last, the lowest p_fa.
    curves = (part.reshape(-1, part.shape[-1]) for part in (at, p_miss, p_fa))
    return np.reshape([np.interp(*curve) for curve in zip(*curves, strict=True)], at.shape)


def _t_dcf_of(p_miss: Floats, p_fa: Floats, speaker: SpeakerRates, costs: ADcfCosts, legacy: bool) -> Floats:
    """Give the normalised t-DCF of each operating point of the liveness score, ``(..., points)``."""
    reject, accept, let_in = costs.weights
    missed, accepted, fooled = (np.asarray(rate)[..., None] for rate in speaker)
    base = reject * missed + accept * accepted
    miss_weight, fa_weight = reject - base, let_in * fooled
    floor = 0.0 if legacy else base
    blind = floor + np.minimum(miss_weight, fa_weight)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(blind > 0, (floor + miss_weight * p_miss + fa_weight * p_fa) / blind, np.nan)
