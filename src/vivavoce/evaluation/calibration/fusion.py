"""One score from two log-likelihood ratios: that the enrolled speaker's own living mouth says the words."""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from vivavoce.evaluation.calibration.logistic import Floats, fit_plane
from vivavoce.evaluation.metrics.spoofing import ADcfCosts

# Decides between weights that separate a small split alike; far too little to move those of a large one.
RIDGE = 1e-4


class _Fusion(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleFusion(_Fusion):
    """Both questions must be answered yes: liveness first, then the speaker, each by a threshold of its own."""

    type: Literal["rule"] = "rule"
    speaker: float = Field(allow_inf_nan=False, description="least log-likelihood ratio of the speaker, nats")
    liveness: float = Field(allow_inf_nan=False, description="least log-likelihood ratio of a living mouth, nats")

    def fuse(self, speaker: ArrayLike, liveness: ArrayLike) -> Floats:
        """How far the weaker answer is above its threshold, nats: accepted from 0 on."""
        margins = np.asarray(speaker, np.float64) - self.speaker, np.asarray(liveness, np.float64) - self.liveness
        return np.minimum(*margins)


class ProductFusion(_Fusion):
    """The optimal decision between targets and the mixture of other speakers and attacks.

    ``-log((1 - rho) exp(-speaker) + rho exp(-liveness))``: a sum would let a very good voice make up for a mouth that
    is not there.

    Source: Wang et al., "Revisiting and improving scoring fusion for spoofing-aware speaker verification using
    compositional data analysis", Interspeech 2024 (non-linear fusion).
    """

    type: Literal["product"] = "product"
    rho: float = Field(gt=0, lt=1, description="share of attacks in the cost of accepting everybody")

    def fuse(self, speaker: ArrayLike, liveness: ArrayLike) -> Floats:
        """The log-likelihood ratio of targets against the mixture, nats."""
        voice, mouth = np.asarray(speaker, np.float64), np.asarray(liveness, np.float64)
        with np.errstate(invalid="ignore"):  # no answer in, none out
            return -np.logaddexp(np.log1p(-self.rho) - voice, np.log(self.rho) - mouth)


class LogisticFusion(_Fusion):
    """A trained rising combination of both ratios and the weaker of them.

    The weaker one is a column of its own since a sum alone lets one answer make up for the other.

    Source: Brümmer et al., "Fusion of heterogeneous speaker recognition systems in the STBU submission for the NIST
    speaker recognition evaluation 2006", IEEE TASLP 15, 2007 (logistic fusion, weighted by priors and costs).
    """

    type: Literal["logistic"] = "logistic"
    speaker: float = Field(ge=0, allow_inf_nan=False)
    liveness: float = Field(ge=0, allow_inf_nan=False)
    weaker: float = Field(ge=0, allow_inf_nan=False)
    offset: float = Field(allow_inf_nan=False, description="nats")

    @classmethod
    def fit(cls, speaker: ArrayLike, liveness: ArrayLike, truth: ArrayLike, costs: ADcfCosts) -> Self:
        """Fit by logistic regression of targets against the rest.

        Each class weighs what its errors cost altogether, so that the result is a ratio against the mixture that
        costs and priors describe.

        Args:
            speaker: log-likelihood ratios of the speaker, nats, ``(trials,)``.
            liveness: those of a living mouth, ``(trials,)``.
            truth: 0 for a target, 1 for another speaker, 2 for an attack, ``(trials,)``; each must be there.
            costs: priors and costs.
        """
        voice, mouth = np.asarray(speaker, np.float64), np.asarray(liveness, np.float64)
        columns = np.stack([voice, mouth, np.minimum(voice, mouth)], axis=1)
        classes = np.asarray(truth)
        miss, *accepts = costs.weights
        rest = classes[classes != 0]
        shares = np.where(rest == 1, accepts[0] / np.sum(rest == 1), accepts[1] / np.sum(rest == 2)) / sum(accepts)
        prior = miss / (miss + sum(accepts))
        floors = (0.0, 0.0, 0.0)
        weights, offset = fit_plane(columns[classes == 0], columns[classes != 0], prior, floors, shares, RIDGE)
        return cls(speaker=float(weights[0]), liveness=float(weights[1]), weaker=float(weights[2]), offset=offset)

    def fuse(self, speaker: ArrayLike, liveness: ArrayLike) -> Floats:
        """The log-likelihood ratio of targets against the mixture, nats."""
        voice, mouth = np.asarray(speaker, np.float64), np.asarray(liveness, np.float64)
        return self.speaker * voice + self.liveness * mouth + self.weaker * np.minimum(voice, mouth) + self.offset


Fusion = Annotated[RuleFusion | ProductFusion | LogisticFusion, Field(discriminator="type")]
FusionName = Literal["rule", "product", "logistic"]


def share_of_attacks(costs: ADcfCosts) -> float:
    """The share of attacks in the cost of accepting everybody."""
    _, others, attacks = costs.weights
    return attacks / (others + attacks)
