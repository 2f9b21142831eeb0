"""Logistic regression with weighted classes, and the line from score to log-likelihood ratio that it gives."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import minimize
from scipy.special import expit, logit

from vivavoce.errors import UserError

Floats = NDArray[np.float64]

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
        scale, offset = fit_line(checked("target", targets), checked("non-target", nontargets), prior)
        return cls(scale=scale, offset=offset)

    def log_likelihood_ratio(self, scores: ArrayLike) -> Floats:
        """Turn scores into natural-log likelihood ratios of the same shape."""
        return self.scale * np.asarray(scores, np.float64) + self.offset

    def probability(self, scores: ArrayLike, prior: float = 0.5) -> Floats:
        """Turn scores into posterior probabilities of the target class, for a prior inside (0, 1)."""
        return expit(self.log_likelihood_ratio(scores) + logit(prior))


def checked(name: str, scores: ArrayLike) -> Floats:
    """Give the scores of one class of the validation split as a flat array.

    Raises:
        UserError: there are none, or one is not finite.
    """
    array = np.asarray(scores, np.float64).ravel()
    if not array.size:
        raise UserError(
            f"Calibration needs target and non-target scores, but the validation split has no {name} score; "
            "give the validation split more speakers or recordings."
        )
    if not np.isfinite(array).all():
        raise UserError(f"The validation split has {name} scores that are not finite; lower the learning rate.")
    return array


def fit_line(targets: Floats, nontargets: Floats, prior: float = 0.5) -> tuple[float, float]:
    """Fit scale and offset of a rising line; see `LogisticCalibration.fit`."""
    if not 0 < prior < 1:
        raise ValueError(f"prior={prior} must lie inside (0, 1)")
    weights, offset = fit_plane(targets[:, None], nontargets[:, None], prior, (MIN_SCALE,))
    return float(weights[0]), offset


def fit_plane(
    targets: Floats,
    nontargets: Floats,
    prior: float,
    floors: Sequence[float | None],
    shares: Floats | None = None,
    ridge: float = 0.0,
) -> tuple[Floats, float]:
    """Fit the log-likelihood ratio ``columns @ weights + offset`` by logistic regression with softened labels.

    Args:
        targets: ``(targets, columns)``.
        nontargets: ``(nontargets, columns)``.
        prior: the share of targets to calibrate for, inside (0, 1).
        floors: the least weight of each column, per standard deviation of it; None: any.
        shares: what each non-target counts, ``(nontargets,)``, summing to 1; None: all alike.
        ridge: how much the square of a weight, per standard deviation, costs; decides between columns that say the
            same.

    Returns:
        The weights ``(columns,)`` and the offset, nats.
    """
    columns = np.concatenate([targets, nontargets])
    centre, spread = columns.mean(axis=0), columns.std(axis=0)
    spread[spread == 0] = 1.0
    x = (columns - centre) / spread
    is_target = np.arange(len(x)) < len(targets)
    label = np.where(is_target, (len(targets) + 1) / (len(targets) + 2), 1 / (len(nontargets) + 2))
    others = np.full(len(nontargets), 1 / len(nontargets)) if shares is None else shares
    weight = np.concatenate([np.full(len(targets), prior / len(targets)), (1 - prior) * others])

    def loss(plane: Floats) -> tuple[float, Floats]:
        z = x @ plane[:-1] + plane[-1] + logit(prior)
        slope = weight * (expit(z) - label)
        value = float(weight @ (np.logaddexp(0, z) - label * z)) + 0.5 * ridge * float(plane[:-1] @ plane[:-1])
        return value, np.append(slope @ x + ridge * plane[:-1], slope.sum())

    rising = np.array([floor is not None for floor in floors])
    start = np.where(rising & x.any(axis=0), 1.0, [floor or 0.0 for floor in floors])
    found = minimize(
        loss,
        np.array([*start, 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[*((floor, None) for floor in floors), (None, None)],
        options={"gtol": 1e-9, "ftol": 1e-14, "maxiter": 500},
    )
    weights = found.x[:-1] / spread
    return weights, float(found.x[-1]) - float(weights @ centre)
