"""From raw scores to log-likelihood ratios and thresholds, fitted on the validation split and stored with a run."""

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import minimize
from scipy.special import expit, logit

from vivavoce.errors import UserError
from vivavoce.evaluation.metrics import eer

# Per standard deviation of the scores. Scores that rank the wrong way round then say "no evidence" (a ratio near 1)
# instead of turning the order of recordings over.
MIN_SCALE = 1e-3


class LogisticCalibration(BaseModel):
    """A rising line from score to natural-log likelihood ratio: ``scale * score + offset``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: float = Field(gt=0, allow_inf_nan=False, description="nats per unit of score")
    offset: float = Field(allow_inf_nan=False, description="nats")

    @classmethod
    def fit(cls, targets: ArrayLike, nontargets: ArrayLike, prior: float = 0.5) -> Self:
        """Fit by logistic regression, each class weighted so that together they stand for ``prior``.

        Platt's softened labels, ``(n + 1) / (n + 2)`` and ``1 / (n + 2)``, keep the line finite where the classes are
        separable, and modest where there are few trials.

        Args:
            targets: scores of target trials, ``(targets,)``.
            nontargets: scores of non-target trials, ``(nontargets,)``.
            prior: the share of targets to calibrate for, inside (0, 1).

        Raises:
            UserError: a class is missing or holds a score that is not finite.

        Source: Brümmer & du Preez, "Application-independent evaluation of speaker detection", Computer Speech &
        Language 20, 2006 (prior weighting); Platt 1999 and Lin, Lin & Weng 2007 (labels, stable form).
        """
        scale, offset = _fit_line(_class("target", targets), _class("non-target", nontargets), prior)
        return cls(scale=scale, offset=offset)

    def log_likelihood_ratio(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Turn scores into natural-log likelihood ratios of the same shape."""
        return self.scale * np.asarray(scores, np.float64) + self.offset

    def probability(self, scores: ArrayLike, prior: float = 0.5) -> NDArray[np.float64]:
        """Turn scores into posterior probabilities of the target class, for a prior inside (0, 1)."""
        return expit(self.log_likelihood_ratio(scores) + logit(prior))


class PartCalibration(LogisticCalibration):
    """What one question (the speaker's, or the mouth's) learned on the validation split."""

    threshold: float = Field(allow_inf_nan=False, description="accept where score >= threshold: the EER point")
    eer: float = Field(ge=0, le=1, description="equal error rate on the split it was fitted on")
    n_target: int = Field(gt=0, description="target (or live) scores it was fitted on")
    n_nontarget: int = Field(gt=0, description="non-target (or attack) scores it was fitted on")
    source: Literal["validation"] = "validation"

    @classmethod
    def fit(cls, targets: ArrayLike, nontargets: ArrayLike, prior: float = 0.5) -> Self:
        """Fit the line, and take the threshold at the equal error rate.

        Raises:
            UserError: a class is missing or holds a score that is not finite.
        """
        genuine, others = _class("target", targets), _class("non-target", nontargets)
        scale, offset = _fit_line(genuine, others, prior)
        rate, threshold = eer(genuine, others)
        return cls(
            scale=scale, offset=offset, threshold=threshold, eer=rate, n_target=genuine.size, n_nontarget=others.size
        )

    def accepts(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Tell which scores reach the threshold."""
        return np.asarray(scores, np.float64) >= self.threshold


class Calibration(BaseModel):
    """The thresholds and score lines of a run; ``liveness`` is None where it was trained on voices alone.

    Stored as JSON: ``calibration.model_dump(mode="json")`` and ``Calibration.model_validate(stored)``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    speaker: PartCalibration
    liveness: PartCalibration | None = None


def _class(name: str, scores: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(scores, np.float64).ravel()
    if not array.size:
        raise UserError(
            f"Calibration needs target and non-target scores, but the validation split has no {name} score; "
            "give the validation split more speakers or recordings."
        )
    if not np.isfinite(array).all():
        raise UserError(f"The validation split has {name} scores that are not finite; lower the learning rate.")
    return array


def _fit_line(targets: NDArray[np.float64], nontargets: NDArray[np.float64], prior: float) -> tuple[float, float]:
    if not 0 < prior < 1:
        raise ValueError(f"prior={prior} must lie inside (0, 1)")
    scores = np.concatenate([targets, nontargets])
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    x = (scores - centre) / spread
    is_target = np.arange(scores.size) < targets.size
    label = np.where(is_target, (targets.size + 1) / (targets.size + 2), 1 / (nontargets.size + 2))
    weight = np.where(is_target, prior / targets.size, (1 - prior) / nontargets.size)

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = line[0] * x + line[1] + logit(prior)
        value = float(weight @ (np.logaddexp(0, z) - label * z))
        slope = weight * (expit(z) - label)
        return value, np.array([slope @ x, slope.sum()])

    found = minimize(
        loss,
        np.array([1.0, 0.0]) if x.any() else np.array([MIN_SCALE, 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(MIN_SCALE, None), (None, None)],
        options={"gtol": 1e-9, "ftol": 1e-14, "maxiter": 500},
    )
    scale = float(found.x[0]) / spread
    return scale, float(found.x[1]) - scale * centre
