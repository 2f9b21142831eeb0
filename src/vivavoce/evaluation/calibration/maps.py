"""Maps from score to log-likelihood ratio: a line, one with quality measures, or isotonic; each by condition."""

from collections.abc import Callable
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vivavoce.evaluation.calibration.known import Condition, Known
from vivavoce.evaluation.calibration.logistic import MIN_SCALE, Floats, LogisticCalibration, checked, fit_plane
from vivavoce.evaluation.metrics.ratios import pav

NOTHING = Known()


class Counted(BaseModel):
    """What a map was fitted on, and how sure that lets it be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_target: int = Field(gt=0, description="target (or live) scores it was fitted on")
    n_nontarget: int = Field(gt=0, description="non-target (or attack) scores it was fitted on")

    def bounded(self, ratios: ArrayLike) -> Floats:
        """Bound log-likelihood ratios: n trials without an error do not show a rate below about 1 in n + 1.

        Source: Laplace's rule of succession; bounding ratios by the sample behind them: Vergeer et al., "Numerical
        likelihood ratios outputted by LR systems are often based on extrapolation", Science & Justice 56, 2016.
        """
        return np.clip(np.asarray(ratios, np.float64), -np.log1p(self.n_target), np.log1p(self.n_nontarget))


class QualityTerm(BaseModel):
    """What one quality measure adds to a log-likelihood ratio: ``weight`` times the measure, held in what was seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    weight: float = Field(allow_inf_nan=False, description="nats per unit of the measure")
    low: float = Field(allow_inf_nan=False, description="least value of the measure that the map was fitted on")
    high: float = Field(allow_inf_nan=False, description="highest value of the measure that the map was fitted on")

    def of(self, known: Known) -> Floats:
        """What the measure adds, nats; NaN where it is not known."""
        return self.weight * np.clip(known.measure(self.name), self.low, self.high)


class LogisticMap(LogisticCalibration, Counted):
    """A rising line from score to ratio, shifted by what quality measures of the test recording say.

    Source: Mandasari, Saeidi, McLaren & van Leeuwen, "Quality measure functions for calibration of speaker recognition
    systems in various duration conditions", IEEE TASLP 21, 2013 (terms added to the line); Ferrer et al.,
    "Class-dependent score combination for speaker recognition", Interspeech 2005.
    """

    type: Literal["logistic"] = "logistic"
    terms: tuple[QualityTerm, ...] = ()

    @classmethod
    def of_known(
        cls, scores: ArrayLike, is_target: ArrayLike, known: Known = NOTHING, measures: tuple[str, ...] = ()
    ) -> Self:
        """Fit to scores, and to quality measures of their test recordings.

        Args:
            scores: ``(trials,)``.
            is_target: which are of the target class, ``(trials,)`` bool.
            known: of the test recordings, ``(trials,)``; trials that lack a measure are left out.
            measures: names of the measures that are to have a term.

        Raises:
            UserError: a class is missing or holds a score that is not finite.
        """
        score, target = np.asarray(scores, np.float64), np.asarray(is_target, bool)
        values = [np.broadcast_to(known.measure(name), score.shape) for name in measures]
        columns = np.stack([score, *values], axis=1)
        there = np.isfinite(columns[:, 1:]).all(axis=1)
        genuine, others = columns[target & there], columns[~target & there]
        for name, part in (("target", genuine), ("non-target", others)):
            checked(name, part[:, 0])
        weights, offset = fit_plane(genuine, others, 0.5, (MIN_SCALE, *(None for _ in measures)))
        seen = columns[there, 1:]
        terms = [
            QualityTerm(name=name, weight=float(weight), low=float(low), high=float(high))
            for name, weight, low, high in zip(measures, weights[1:], seen.min(axis=0), seen.max(axis=0), strict=True)
        ]
        return cls(
            scale=float(weights[0]),
            offset=offset,
            terms=tuple(terms),
            n_target=len(genuine),
            n_nontarget=len(others),
        )

    def ratios(self, scores: ArrayLike, known: Known = NOTHING) -> Floats:
        """Log-likelihood ratios, nats, of the shape of ``scores``; NaN where a measure is not known."""
        return self.log_likelihood_ratio(scores) + sum(term.of(known) for term in self.terms)

    def score_at(self, ratio: float, known: Known = NOTHING) -> Floats:
        """The score that has this ratio, nats."""
        return (ratio - self.offset - sum((term.of(known) for term in self.terms), np.zeros(()))) / self.scale


class IsotonicMap(Counted):
    """The rising map that calibrates the scores it was fitted on best of all; straight between them, level outside.

    Source: Zadrozny & Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD
    2002; Brümmer & du Preez, "The PAV algorithm optimizes binary proper scoring rules", 2013 (any prior).
    """

    type: Literal["isotonic"] = "isotonic"
    scores: tuple[float, ...] = Field(min_length=1, description="knots, rising")
    values: tuple[float, ...] = Field(min_length=1, description="ratio at each knot, nats, never falling")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if len(self.scores) != len(self.values) or not np.isfinite([*self.scores, *self.values]).all():
            raise ValueError("each knot needs one finite score and one finite value")
        if (np.diff(self.scores) <= 0).any() or (np.diff(self.values) < 0).any():
            raise ValueError("scores must rise from knot to knot, and values must not fall")
        return self

    @classmethod
    def fit(cls, targets: ArrayLike, nontargets: ArrayLike) -> Self:
        """Fit by `metrics.ratios.pav`, the two classes weighted alike; ratios are bounded as by `Counted`.

        Args:
            targets: scores of target trials, ``(targets,)``.
            nontargets: scores of non-target trials, ``(nontargets,)``.

        Raises:
            UserError: a class is missing or holds a score that is not finite.
        """
        genuine, others = checked("target", targets), checked("non-target", nontargets)
        counted = Counted(n_target=genuine.size, n_nontarget=others.size)
        levels, ratios = pav(genuine, others)
        # Scores that were pooled share a ratio: the first and the last of them say it all.
        changes = np.diff(ratios) != 0
        kept = np.append(True, changes) | np.append(changes, True)
        values = counted.bounded(ratios[kept])
        return cls(scores=tuple(levels[kept].tolist()), values=tuple(values.tolist()), **counted.model_dump())

    def ratios(self, scores: ArrayLike, known: Known = NOTHING) -> Floats:
        """Log-likelihood ratios, nats, of the shape of ``scores``."""
        return np.interp(np.asarray(scores, np.float64), self.scores, self.values)

    def score_at(self, ratio: float, known: Known = NOTHING) -> Floats:
        """The lowest score that has this ratio, nats; infinite where none has less, or none as much."""
        at = int(np.searchsorted(self.values, ratio, side="left"))
        if at == 0:
            return np.asarray(-np.inf)
        if at == len(self.values):
            return np.asarray(np.inf)
        (low, high), (below, above) = self.scores[at - 1 : at + 1], self.values[at - 1 : at + 1]
        return np.asarray(low + (ratio - below) / (above - below) * (high - low))


ScoreMap = Annotated[LogisticMap | IsotonicMap, Field(discriminator="type")]


class RatioMaps(BaseModel):
    """The map of each condition of the test recording, and those for recordings of which less is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pooled: ScoreMap = Field(description="where the condition is unknown or was too rare")
    plain: ScoreMap | None = Field(default=None, description="where a quality measure is unknown; None: none is used")
    by: Condition | None = Field(default=None, description="what the maps differ by; None: nothing")
    edges_s: tuple[float, ...] = Field(default=(), description="where bins of the duration end and the next begin, s")
    maps: dict[str, ScoreMap] = Field(default={}, description="of each condition that had enough trials")

    @property
    def measures(self) -> frozenset[str]:
        """Names of the quality measures that a map goes by."""
        lines = [one for one in (self.pooled, *self.maps.values()) if isinstance(one, LogisticMap)]
        return frozenset(term.name for line in lines for term in line.terms)

    def ratios(self, scores: ArrayLike, known: Known = NOTHING) -> Floats:
        """Log-likelihood ratios, nats, of the shape of ``scores``."""
        return self._chosen(scores, known, lambda one: one.ratios(scores, known))

    def evidence(self, scores: ArrayLike, known: Known = NOTHING) -> Floats:
        """Log-likelihood ratios, nats, each no surer than the trials of its condition can vouch for."""
        return self._chosen(scores, known, lambda one: one.bounded(one.ratios(scores, known)))

    def score_at(self, ratio: float, known: Known = NOTHING) -> Floats:
        """The lowest score that has this ratio, nats, for what is known of a recording."""
        return self._chosen(np.zeros(()), known, lambda one: one.score_at(ratio, known))

    def _chosen(self, scores: ArrayLike, known: Known, ask: Callable[[LogisticMap | IsotonicMap], Floats]) -> Floats:
        """What the map that fits each recording says."""
        found = ask(self.pooled)
        if self.by is not None:
            condition = known.condition(self.by, self.edges_s)
            for name, one in self.maps.items():
                found = np.where(condition == name, ask(one), found)
        if self.plain is not None:
            # No score, no ratio: what a plain map makes of NaN is NaN again.
            found = np.where(np.isnan(found), ask(self.plain), found)
        return np.asarray(found, np.float64)
