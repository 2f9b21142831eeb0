"""How a run decides, and how far its probabilities can be taken at their word, as the report shows it."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vivavoce.evaluation.bootstrap import Bootstrap, ClassScores
from vivavoce.evaluation.calibration.decision import CostAim, Decision, StatedRate
from vivavoce.evaluation.calibration.fusion import LogisticFusion, ProductFusion, RuleFusion
from vivavoce.evaluation.calibration.parts import Calibration
from vivavoce.evaluation.calibration.reliability import reliability
from vivavoce.evaluation.measures import LEAST_TRIALS, Measure
from vivavoce.evaluation.measuring import DCF_PRIORS, NONTARGET, POOLED, TARGET, Resampled, ratio_measures
from vivavoce.evaluation.metrics.detection import bayes_threshold
from vivavoce.evaluation.report import results

Floats = NDArray[np.float64]


def decision_of(calibration: Calibration) -> results.Decision:
    """Describe the rule, its thresholds and the risk that it was set with."""
    decision = calibration.decision
    thresholds = {
        question: found for question in ("speaker", "liveness") if (found := calibration.needed(question)) is not None
    }
    if calibration.speaker is not None and calibration.liveness is not None:
        thresholds["fused, nats"] = calibration.threshold
    if decision is None:
        return results.Decision(rule=_rule_of_training(calibration), thresholds=thresholds)
    return results.Decision(
        rule=f"{_rule(decision)} {_aim(decision)}",
        thresholds=thresholds,
        stated=_stated(decision),
        parameters=_parameters(decision),
    )


def reliability_of(part: str, boot: Bootstrap, genuine: ClassScores, others: ClassScores) -> results.Reliability | None:
    """Compare the probabilities of one question with what was true.

    Args:
        part: what to call the question.
        boot: draws of the speakers.
        genuine: log-likelihood ratios of what is true, nats.
        others: those of what is not.

    Returns:
        None where a class has fewer than ten trials.
    """
    if min(len(genuine), len(others)) < LEAST_TRIALS:
        return None
    classes = {TARGET: genuine, NONTARGET: others}
    thresholds = [bayes_threshold(prior) for prior in DCF_PRIORS]
    found = {measure.key: measure for measure in ratio_measures(Resampled(classes, boot, thresholds))}
    bins = [
        results.ReliabilityBin(
            predicted=one.predicted, observed=one.observed, low=one.lowest, high=one.highest, count=one.count
        )
        for one in reliability(genuine.scores, others.scores)
    ]
    return results.Reliability(part=part, cllr=found["cllr"], min_cllr=found["min_cllr"], bins=bins)


def _rule_of_training(calibration: Calibration) -> str:
    source = "the equal error rate of the validation split"
    if calibration.liveness is None:
        return f"Only the voice is judged, by the threshold at {source}; without liveness nobody is accepted."
    if calibration.speaker is None:
        return f"Only liveness is judged, by the threshold at {source}."
    return (
        "A recording is accepted where its liveness score reaches a threshold and its speaker score reaches another; "
        f"both are at {source}, so that no risk was chosen: `vivavoce calibrate` sets one."
    )


def _rule(decision: Decision) -> str:
    fusion = decision.fusion
    if fusion is None:
        return "A recording is accepted where its log-likelihood ratio reaches a threshold."
    if isinstance(fusion, RuleFusion):
        return "A recording is accepted where its liveness reaches a threshold and its voice reaches another."
    if isinstance(fusion, ProductFusion):
        how = "the weaker of the two weighs most, as in the optimal decision against other people and attacks at once"
    else:
        assert isinstance(fusion, LogisticFusion)
        how = "joined by weights trained on the validation split"
    return f"Voice and liveness are judged as one score, {how}."


def _aim(decision: Decision) -> str:
    aim = decision.aim
    if isinstance(aim, CostAim):
        return "The threshold costs least for the priors and costs named here, where ratios are calibrated."
    return f"The threshold is the lowest that keeps false accepts to {100 * aim.rate:g} % on the validation split."


def _parameters(decision: Decision) -> dict[str, float]:
    aim = decision.aim
    asked = {} if isinstance(aim, CostAim) else {"far": aim.rate}
    return {**asked, **aim.costs.model_dump()}


def _stated(decision: Decision) -> list[Measure]:
    risk = decision.risk
    rates: Mapping[str, tuple[str, StatedRate | None, str, str | None]] = {
        "false_rejects": ("users rejected", risk.miss, TARGET, None),
        "false_accepts": ("other people accepted", risk.speakers, NONTARGET, None),
        "attacks_accepted": ("attacks accepted", risk.attacks, "spoof", POOLED),
    }
    return [
        Measure(
            key=key,
            name=name,
            unit="rate",
            value=rate.rate if rate.trials >= LEAST_TRIALS else None,
            low=rate.low,
            high=rate.high,
            method=rate.method,
            species=species,
            trials={of: rate.trials},
            errors=rate.errors,
        )
        for key, (name, rate, of, species) in rates.items()
        if rate is not None
    ]
