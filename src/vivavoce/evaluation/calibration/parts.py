"""From raw scores to log-likelihood ratios and thresholds, fitted on the validation split and stored with a run."""

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import minimize
from scipy.special import expit, logit

from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.detection import eer

# Per standard deviation of the scores. Scores that rank the wrong way round then say "no evidence" (a ratio near 1)
# instead of turning the order of recordings over.
MIN_SCALE = 1e-3
# Steps of 0.05 over the growth of evidence with duration: a few validation speakers tell it no better.
GROWTH_STEPS = 21
# Where too few speakers are there to measure it: one speaker's recordings share face, voice, phone and room.
DEFAULT_CORRELATION = 0.5
# An intraclass correlation of fewer speakers than this has a standard error of its own size.
LEAST_SPEAKERS = 10


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

    def evidence(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Log-likelihood ratios, nats, no surer than the validation split can vouch for."""
        return self.bounded(self.log_likelihood_ratio(scores))

    def bounded(self, ratios: ArrayLike) -> NDArray[np.float64]:
        """Bound log-likelihood ratios: n trials without an error do not show a rate below about 1 in n + 1.

        Source: Laplace's rule of succession; bounding ratios by the sample behind them: Vergeer et al., "Numerical
        likelihood ratios outputted by LR systems are often based on extrapolation", Science & Justice 56, 2016.
        """
        return np.clip(np.asarray(ratios, np.float64), -np.log1p(self.n_target), np.log1p(self.n_nontarget))


class LivenessCalibration(PartCalibration):
    """What the mouth's question learned: as `PartCalibration`, and how a longer recording makes it surer."""

    growth: float = Field(default=0.0, ge=0, le=1, description="the line's scale grows with seconds to this power")
    reference_s: float = Field(default=1.0, gt=0, description="duration at which the scale is `scale`, s")
    correlation: float = Field(
        default=DEFAULT_CORRELATION, ge=0, le=1, description="of the evidence of one speaker's recordings"
    )
    segment_threshold: float | None = Field(
        default=None, allow_inf_nan=False, description="frames below it do not belong; None: not sought"
    )

    def with_durations(
        self, live: ArrayLike, attack: ArrayLike, live_s: ArrayLike, attack_s: ArrayLike, prior: float = 0.5
    ) -> Self:
        """Fit the line anew to recordings and shorter crops of them, so that it knows what a second more is worth.

        The ratio is ``scale * (seconds / reference) ** growth * score + offset``. Evidence that adds up over frames
        grows with seconds to the power 1; a score that is a mean over frames leaves that to the scale. The power is
        held between 0 and 1: a crop cannot be surer than its whole, nor twice the time be more than twice as sure.
        Threshold, error rate and numbers of trials stay those of whole recordings.

        Args:
            live: scores of live recordings and crops, ``(live,)``.
            attack: those of attacks, ``(attacks,)``.
            live_s: how long each is, s.
            attack_s: how long each is, s.
            prior: the share of live ones to calibrate for, inside (0, 1).

        Raises:
            UserError: a class is missing or holds a score that is not finite.
        """
        genuine, others = _class("target", live), _class("non-target", attack)
        seconds = np.concatenate([np.asarray(live_s, np.float64), np.asarray(attack_s, np.float64)])
        reference = float(np.exp(np.log(seconds).mean()))
        scores, sizes = np.concatenate([genuine, others]), genuine.size

        def fitted(growth: float) -> tuple[float, float, float]:
            """Cross-entropy, scale and offset at one power."""
            grown = scores * (seconds / reference) ** growth
            scale, offset = _fit_line(grown[:sizes], grown[sizes:], prior)
            odds = scale * grown + offset + logit(prior)
            true, false = np.logaddexp(0, -odds[:sizes]).mean(), np.logaddexp(0, odds[sizes:]).mean()
            return float(prior * true + (1 - prior) * false), scale, offset

        found = [(*fitted(power), power) for power in np.linspace(0, 1, GROWTH_STEPS).tolist()]
        _, scale, offset, growth = min(found)
        return self.model_copy(update={"scale": scale, "offset": offset, "growth": growth, "reference_s": reference})

    def evidence_of(self, scores: ArrayLike, seconds: ArrayLike) -> NDArray[np.float64]:
        """Log-likelihood ratios, nats, of scores of recordings that are so many seconds long; bounded."""
        grown = np.asarray(scores, np.float64) * (np.asarray(seconds, np.float64) / self.reference_s) ** self.growth
        return self.bounded(self.log_likelihood_ratio(grown))


class Calibration(BaseModel):
    """The thresholds and score lines of a run; None for a task that it was not trained on (`training.tasks`).

    Stored as JSON: ``calibration.model_dump(mode="json")`` and ``Calibration.model_validate(stored)``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    speaker: PartCalibration | None = None
    liveness: LivenessCalibration | None = None


def intraclass_correlation(values: ArrayLike, speakers: ArrayLike) -> float:
    """Correlation of the values of one speaker, by analysis of variance (Fisher 1925), between 0 and 1.

    Args:
        values: ``(values,)``, of one class.
        speakers: whose each is, ``(values,)``.

    Returns:
        The estimate, never less than 0; `DEFAULT_CORRELATION` at least where fewer than 10 speakers have two or more.
    """
    value, (names, group) = np.asarray(values, np.float64), np.unique(np.asarray(speakers), return_inverse=True)
    counts = np.bincount(group, minlength=len(names))
    kept = (counts > 1)[group]
    if not kept.any():
        return DEFAULT_CORRELATION
    value, (names, group) = value[kept], np.unique(group[kept], return_inverse=True)
    counts = np.bincount(group)
    means = np.bincount(group, value) / counts
    within = float(np.square(value - means[group]).sum() / max(1, value.size - len(names)))
    between = float((counts * np.square(means - value.mean())).sum() / max(1, len(names) - 1))
    size = (value.size - np.square(counts).sum() / value.size) / max(1, len(names) - 1)
    found = (between - within) / (between + (size - 1) * within) if between + within > 0 and len(names) > 1 else 0.0
    found = float(np.clip(found, 0, 1))
    return found if len(names) >= LEAST_SPEAKERS else max(found, DEFAULT_CORRELATION)


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
