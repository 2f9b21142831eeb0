"""Metrics of one score that is to accept targets alone, against other speakers and attacks."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vivavoce.evaluation.metrics.detection import EqualErrorRate, eer
from vivavoce.evaluation.metrics.rates import Floats, between, checked_scores, error_rates_at, spoofing_curve


class ADcfCosts(BaseModel):
    """How often each class of trial claims to be the user, and what each wrong answer costs.

    The same priors and costs make the a-DCF of one score and the t-DCF of a tandem.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    p_target: float = Field(gt=0)  # prior of the user
    p_nontarget: float = Field(gt=0)  # prior of another live speaker
    p_spoof: float = Field(gt=0)  # prior of an attack
    c_miss: float = Field(default=1.0, gt=0)  # cost of rejecting the user
    c_fa_nontarget: float = Field(default=10.0, gt=0)  # cost of accepting another speaker
    c_fa_spoof: float = Field(default=10.0, gt=0)  # cost of accepting an attack

    @model_validator(mode="after")
    def _priors_sum_to_one(self) -> Self:
        total = self.p_target + self.p_nontarget + self.p_spoof
        if abs(total - 1) > 1e-9:
            raise ValueError(f"p_target, p_nontarget and p_spoof must sum to 1, not to {total:g}")
        return self

    @property
    def weights(self) -> tuple[float, float, float]:
        """What the rates of misses, accepted speakers and accepted attacks are each multiplied by."""
        return (
            self.c_miss * self.p_target,
            self.c_fa_nontarget * self.p_nontarget,
            self.c_fa_spoof * self.p_spoof,
        )

    @property
    def label(self) -> str:
        """The parameters, as they stand behind a metric's name."""
        return ", ".join(f"{name}={value:g}" for name, value in self.model_dump().items())


# Shim et al. 2024, the configuration a-DCF1, which is the default of their package `a_dcf`, too.
A_DCF1 = ADcfCosts(p_target=0.9, p_nontarget=0.05, p_spoof=0.05, c_miss=1, c_fa_nontarget=10, c_fa_spoof=20)
# The ASVspoof 5 evaluation package, calculate_metrics.py (track 2): attacks 5 %; of the rest 1 % are other speakers.
ASVSPOOF5 = ADcfCosts(p_target=0.9405, p_nontarget=0.0095, p_spoof=0.05, c_miss=1, c_fa_nontarget=10, c_fa_spoof=10)


@dataclass(frozen=True)
class SpoofingCost:
    """A normalised a-DCF together with the threshold and the parameters it was computed with."""

    value: float
    threshold: float
    costs: ADcfCosts
    name: Literal["min a-DCF", "act a-DCF"] = "min a-DCF"

    @property
    def label(self) -> str:
        """The metric's name with its parameters."""
        return f"{self.name}({self.costs.label})"


def sv_eer(targets: ArrayLike, nontargets: ArrayLike) -> EqualErrorRate:
    """Give the equal error rate against other speakers alone (SV-EER).

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Jung et al., "SASV 2022: the first spoofing-aware speaker verification challenge", Interspeech 2022,
    section 2.
    """
    return eer(targets, nontargets)


def spf_eer(targets: ArrayLike, spoofs: ArrayLike) -> EqualErrorRate:
    """Give the equal error rate against attacks alone (SPF-EER), of the same scores as `sv_eer`.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Jung et al. 2022, section 2.
    """
    return eer(targets, checked_scores(spoofs, "spoof"))


def sasv_eer(targets: ArrayLike, nontargets: ArrayLike, spoofs: ArrayLike) -> EqualErrorRate:
    """Give the equal error rate against other speakers and attacks in one class (SASV-EER).

    Each trial of the two counts the same, so the figure depends on how many of each there are.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Jung et al. 2022, section 2.
    """
    others = [checked_scores(nontargets, "non-target"), checked_scores(spoofs, "spoof")]
    return eer(targets, np.concatenate(others))


def min_a_dcf(
    targets: ArrayLike, nontargets: ArrayLike, spoofs: ArrayLike, costs: ADcfCosts = ASVSPOOF5
) -> SpoofingCost:
    """Give the lowest architecture-agnostic detection cost of one score that is to accept targets alone.

    ``c_miss p_target p_miss + c_fa_nontarget p_nontarget p_fa_nontarget + c_fa_spoof p_spoof p_fa_spoof`` at the best
    threshold, normalised by that of the better blind decision: accepting all or rejecting all; 1 means no better than
    that.

    Args:
        targets: scores of genuine trials, ``(targets,)``.
        nontargets: scores of other speakers' live trials, ``(nontargets,)``.
        spoofs: scores of attacks that claim the enrolled speaker, ``(spoofs,)``.
        costs: priors and costs.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Shim et al., "a-DCF: an architecture agnostic metric with application to spoofing-robust speaker
    verification", Odyssey 2024.
    """
    rates, thresholds = spoofing_curve(targets, nontargets, spoofs)
    cost = act_a_dcf_of(*rates, costs)
    best = int(np.argmin(cost))
    return SpoofingCost(float(cost[best]), between(thresholds, best), costs)


def act_a_dcf(
    targets: ArrayLike, nontargets: ArrayLike, spoofs: ArrayLike, threshold: float, costs: ADcfCosts = ASVSPOOF5
) -> SpoofingCost:
    """Give the normalised a-DCF of a threshold that was fixed beforehand.

    Args:
        targets: scores of genuine trials, ``(targets,)``.
        nontargets: scores of other speakers' live trials, ``(nontargets,)``.
        spoofs: scores of attacks that claim the enrolled speaker, ``(spoofs,)``.
        threshold: a trial is accepted where its score reaches it.
        costs: priors and costs.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Shim et al. 2024.
    """
    by_speaker = error_rates_at(threshold, targets, nontargets)
    by_spoof = error_rates_at(threshold, targets, checked_scores(spoofs, "spoof"))
    cost = act_a_dcf_of(by_speaker.p_miss, by_speaker.p_fa, by_spoof.p_fa, costs)
    return SpoofingCost(float(cost), threshold, costs, "act a-DCF")


def min_a_dcf_of(p_miss: Floats, p_fa_nontarget: Floats, p_fa_spoof: Floats, costs: ADcfCosts = ASVSPOOF5) -> Floats:
    """Give the normalised minimum a-DCF of each curve, ``(...,)``, from rates ``(..., points)``."""
    return act_a_dcf_of(p_miss, p_fa_nontarget, p_fa_spoof, costs).min(axis=-1)


def act_a_dcf_of(
    p_miss: ArrayLike, p_fa_nontarget: ArrayLike, p_fa_spoof: ArrayLike, costs: ADcfCosts = ASVSPOOF5
) -> Floats:
    """Give the normalised a-DCF of each operating point, in the shape of the rates."""
    reject, accept, let_in = costs.weights
    cost = reject * np.asarray(p_miss) + accept * np.asarray(p_fa_nontarget) + let_in * np.asarray(p_fa_spoof)
    return cost / min(reject, accept + let_in)
