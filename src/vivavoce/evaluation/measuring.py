"""Figures of one score, each with its interval on resampled speakers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vivavoce.evaluation.bootstrap import Bootstrap, ClassScores, Interval, ResampledCurves, interval
from vivavoce.evaluation.measures import LEAST_TRIALS, Measure, Unit
from vivavoce.evaluation.metrics.detection import act_dcf, act_dcf_of, auc_of, eer, eer_of, min_dcf, min_dcf_of, roc_auc
from vivavoce.evaluation.metrics.exact import clopper_pearson
from vivavoce.evaluation.metrics.ratios import cllr, min_cllr, min_cllr_of

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TARGET, NONTARGET, SPOOF, LIVE, POOLED = "target", "nontarget", "spoof", "live", "all"

# Priors of the user at which the detection cost is given; NIST SRE and VoxSRC. Both errors cost the same.
DCF_PRIORS = (0.01, 0.05)


def figure(
    key: str,
    name: str,
    value: float,
    resampled: Floats | None,
    trials: Mapping[str, int],
    *,
    unit: Unit = "rate",
    errors: int | None = None,
    species: str | None = None,
    threshold: float | None = None,
    parameters: Mapping[str, float] | None = None,
) -> Measure:
    """Join a figure and its resamples to a measure; with too few trials of a class its interval is all that is said.

    Args:
        key: what it is, for programs.
        name: what it is, for people, with its parameters.
        value: on all trials.
        resampled: in each resample, ``(resamples,)``; None: there is nothing to resample.
        trials: how many trials of each class are behind it.
        unit: what the value is counted in.
        errors: trials decided wrongly, of a rate at a fixed threshold.
        species: the kind of attack.
        threshold: of the score, where the figure is taken at one.
        parameters: priors and costs.
    """
    least = min(trials.values())
    found = None if resampled is None else interval(resampled, least if unit == "rate" else None)
    few = least < LEAST_TRIALS
    if few:
        found = _interval_of_few(value, found, least, errors, unit)
    known = None if few or not np.isfinite(value) else float(value)
    return Measure(
        key=key,
        name=name,
        unit=unit,
        value=known,
        species=species,
        parameters=dict(parameters or {}),
        threshold=threshold,
        trials=dict(trials),
        errors=errors,
    ).with_interval(found)


def _interval_of_few(value: float, found: Interval | None, least: int, errors: int | None, unit: Unit) -> Interval:
    """What few trials can say: of a rate the exact binomial interval, of anything else nearly nothing."""
    if unit != "rate" or not least or not np.isfinite(value):
        return Interval(0.0, max(1.0, found.high if found else 1.0), "bounds")
    low, high = clopper_pearson(round(value * least) if errors is None else errors, least)
    return Interval(min(low, found.low) if found else low, max(high, found.high) if found else high, "exact")


@dataclass(frozen=True)
class Resampled:
    """Classes of one score, with what they would be on other speakers.

    Args:
        classes: class to its trials with a score.
        boot: draws of the speakers.
        thresholds: at which rates are asked for.
    """

    classes: Mapping[str, ClassScores]
    boot: Bootstrap
    thresholds: Sequence[float] = ()
    curves: ResampledCurves | None = field(init=False)

    def __post_init__(self) -> None:
        heard = {name: trials for name, trials in self.classes.items() if len(trials)}
        curves = self.boot.curves(heard, self.thresholds) if self.boot.possible and heard else None
        object.__setattr__(self, "curves", curves)

    def has(self, *names: str) -> bool:
        """Whether each class has a trial."""
        return all(len(self.classes.get(name, ())) for name in names)

    def scores(self, *names: str) -> Floats:
        """The scores of classes, taken together."""
        return np.concatenate([self.classes[name].scores for name in names])

    def counts(self, *names: str) -> dict[str, int]:
        """How many trials each class has."""
        return {name: len(self.classes[name]) for name in names}

    def rates(self, genuine: str, *others: str) -> tuple[Floats, Floats] | None:
        """Miss rates of a class and rates of accepting others, each ``(resamples, points)``."""
        return None if self.curves is None else (self.curves.p_miss(genuine), self.curves.p_fa(*others))


@dataclass(frozen=True)
class Figure:
    """A measure, and what it would be on other speakers."""

    measure: Measure
    resampled: Floats | None  # (resamples,); None: there is one speaker alone
    at_threshold: bool = False  # fixed beforehand, so that equal scores may still be decided otherwise


def equal_error_rate(found: Resampled, key: str, name: str, genuine: str, *others: str) -> Figure:
    """The equal error rate of a class against others, taken together, all of which have trials."""
    rate, at = eer(found.scores(genuine), found.scores(*others))
    rates = found.rates(genuine, *others)
    drawn = None if rates is None else eer_of(*rates)
    trials = found.counts(genuine, *others)
    return Figure(figure(key, name, rate, drawn, trials, threshold=at), drawn)


def least_detection_cost(found: Resampled, prior: float, genuine: str = TARGET, *others: str) -> Figure:
    """The minimum detection cost at one prior, both errors costing the same."""
    against = others or (NONTARGET,)
    cost = min_dcf(found.scores(genuine), found.scores(*against), prior)
    parameters = {"p_target": cost.p_target, "c_miss": cost.c_miss, "c_fa": cost.c_fa}
    rates = found.rates(genuine, *against)
    drawn = None if rates is None else min_dcf_of(*rates, **parameters)
    trials = found.counts(genuine, *against)
    measure = figure(
        "min_dcf", cost.label, cost.value, drawn, trials, unit="cost", threshold=cost.threshold, parameters=parameters
    )
    return Figure(measure, drawn)


def detection_measures(
    found: Resampled, genuine: str = TARGET, others: Sequence[str] = (NONTARGET,), threshold: float | None = None
) -> list[Measure]:
    """Equal error rate, minimum detection costs, area under the ROC, and the errors at a threshold.

    Args:
        found: the classes; ``threshold`` is one of its thresholds.
        genuine: the class to accept.
        others: the classes to reject, taken together.
        threshold: fixed beforehand; None: no errors at it.
    """
    if not found.has(genuine, *others):
        return []
    targets, nontargets = found.scores(genuine), found.scores(*others)
    rates, trials = found.rates(genuine, *others), found.counts(genuine, *others)
    measures = [
        equal_error_rate(found, "eer", "EER", genuine, *others).measure,
        *(least_detection_cost(found, prior, genuine, *others).measure for prior in DCF_PRIORS),
    ]
    measures.append(figure("auc", "area under the ROC", roc_auc(targets, nontargets), rates and auc_of(*rates), trials))
    if threshold is not None:
        measures += [
            error_rate(found, "miss", "miss rate", genuine, threshold, accepted=False),
            *(error_rate(found, "false_alarm", "false-alarm rate", name, threshold, accepted=True) for name in others),
        ]
    return measures


def error_rate(
    found: Resampled, key: str, name: str, of: str, threshold: float, *, accepted: bool, species: str | None = None
) -> Measure:
    """The share of a class that a threshold accepts, or rejects, and that should be the other way round."""
    wrong = (found.classes[of].scores >= threshold) == accepted
    drawn = None
    if found.curves is not None:
        rates = found.curves.p_fa(of) if accepted else found.curves.p_miss(of)
        drawn = rates[:, found.curves.at(threshold)]
    return figure(
        key,
        name,
        float(wrong.mean()),
        drawn,
        found.counts(of),
        errors=int(wrong.sum()),
        threshold=threshold,
        species=species,
    )


def ratio_measures(found: Resampled, genuine: str = TARGET, others: Sequence[str] = (NONTARGET,)) -> list[Measure]:
    """What log-likelihood ratios are worth: Cllr, its least under any monotone map, and the costs of Bayes decisions.

    The scores of ``found`` are natural-log likelihood ratios.
    """
    if not found.has(genuine, *others):
        return []
    targets, nontargets = found.scores(genuine), found.scores(*others)
    trials = {genuine: len(targets), (others[0] if len(others) == 1 else POOLED): len(nontargets)}
    drawn = least = None
    if found.curves is not None:
        true, false = _joined(found, [genuine]), _joined(found, others)
        drawn = (
            0.5
            / np.log(2)
            * (
                found.boot.means(np.logaddexp(0, -true.scores), true)
                + found.boot.means(np.logaddexp(0, false.scores), false)
            )
        )
        masses = found.curves.masses
        others_mass = sum((masses[name] for name in others[1:]), start=masses[others[0]])
        least = min_cllr_of(masses[genuine].astype(np.float64), others_mass.astype(np.float64))
    measures = [
        figure("cllr", "Cllr", cllr(targets, nontargets), drawn, trials, unit="bits"),
        figure("min_cllr", "min Cllr", min_cllr(targets, nontargets), least, trials, unit="bits"),
    ]
    for prior in DCF_PRIORS:
        cost = act_dcf(targets, nontargets, p_target=prior)
        resampled = None
        if found.curves is not None:
            at = found.curves.at(cost.threshold)
            p_fa = found.curves.p_fa(*others)[:, at]
            resampled = act_dcf_of(found.curves.p_miss(genuine)[:, at], p_fa, cost.p_target, cost.c_miss, cost.c_fa)
        parameters = {"p_target": cost.p_target, "c_miss": cost.c_miss, "c_fa": cost.c_fa}
        measures.append(
            figure(
                "act_dcf",
                cost.label,
                cost.value,
                resampled,
                trials,
                unit="cost",
                threshold=cost.threshold,
                parameters=parameters,
            )
        )
    return measures


def share_measure(
    boot: Bootstrap, key: str, name: str, happened: Bools, trials: ClassScores, of: str, species: str | None = None
) -> Measure:
    """How often something happened in the trials of a class, decided trial by trial.

    Args:
        boot: draws of the speakers.
        key: what it is, for programs.
        name: what it is, for people.
        happened: ``(trials,)``.
        trials: whose they are; their scores do not matter.
        of: the class.
        species: the kind of attack.
    """
    drawn = boot.means(happened, trials) if boot.possible else None
    counts = {of: len(happened)}
    return figure(key, name, float(happened.mean()), drawn, counts, errors=int(happened.sum()), species=species)


def _joined(found: Resampled, names: Sequence[str]) -> ClassScores:
    parts = [found.classes[name] for name in names]
    return ClassScores(
        *(np.concatenate([getattr(part, key) for part in parts]) for key in ("scores", "first", "second"))
    )
