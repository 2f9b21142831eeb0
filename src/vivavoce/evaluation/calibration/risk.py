"""What a decision does on the validation trials: error rates with intervals, and its cost beside the least."""

import numpy as np
from numpy.typing import NDArray

from vivavoce.evaluation.calibration.choosing import Answers
from vivavoce.evaluation.calibration.decision import Optimum, Question, QuestionRisk, Risk, StatedRate
from vivavoce.evaluation.calibration.fusion import Fusion, RuleFusion
from vivavoce.evaluation.calibration.logistic import Floats
from vivavoce.evaluation.calibration.split import Bools, CalibrationSplit
from vivavoce.evaluation.metrics.detection import act_dcf, min_dcf
from vivavoce.evaluation.metrics.spoofing import ADcfCosts, act_a_dcf, min_a_dcf


class Counter:
    """Counts errors among the answered trials of a split, with intervals on its speakers."""

    def __init__(self, split: CalibrationSplit, kept: Bools) -> None:
        self.first: NDArray[np.intp] = split.enrolled[kept]
        self.second: NDArray[np.intp] = split.tested[kept]

    def rate(self, wrong: Bools, which: Bools) -> StatedRate | None:
        """The share of wrong ones among some trials; None where there is none."""
        return StatedRate.of(wrong[which], self.first[which], self.second[which])


def measured_risk(
    answers: Answers, split: CalibrationSplit, kept: Bools, fusion: Fusion | None, fused: Floats, threshold: float
) -> Risk:
    """Count what a decision does on the trials that it was set on.

    Args:
        answers: the ratios of the trials.
        split: whose trials they are.
        kept: which of the split's trials they are, ``(all trials,)``.
        fusion: how the ratios were joined.
        fused: the fused score of each trial, ``(trials,)``.
        threshold: of the fused score, nats.
    """
    counter, accepted = Counter(split, kept), fused >= threshold
    kinds = split.labels[kept]
    miss = counter.rate(~accepted, answers.users)
    assert miss is not None
    species = {
        kind: counter.rate(accepted, kinds == kind)
        for kind in np.unique(kinds[answers.is_spoof]).tolist()
        if answers.liveness is not None
    }
    every = split.is_target if answers.speaker is not None else split.is_target | split.is_nontarget
    return Risk(
        miss=miss,
        speakers=counter.rate(accepted, answers.is_nontarget) if answers.speaker is not None else None,
        attacks=counter.rate(accepted, answers.is_spoof) if answers.liveness is not None else None,
        species={kind: rate for kind, rate in species.items() if rate is not None},
        unanswered=float(1 - kept[every].mean()),
        questions=_questions(answers, counter, fusion) if isinstance(fusion, RuleFusion) else {},
    )


def _questions(answers: Answers, counter: Counter, rule: RuleFusion) -> dict[Question, QuestionRisk]:
    assert answers.speaker is not None
    assert answers.liveness is not None
    known = answers.speaker >= rule.speaker
    live = (answers.liveness >= rule.liveness) & ~answers.doubted
    pairs: dict[Question, tuple[Bools, Bools, Bools]] = {
        "speaker": (known, answers.is_target, answers.is_nontarget),
        "liveness": (live, answers.is_target | answers.is_nontarget, answers.is_spoof),
    }
    found: dict[Question, QuestionRisk] = {}
    for name, (passed, genuine, others) in pairs.items():
        miss, false = counter.rate(~passed, genuine), counter.rate(passed, others)
        if miss is not None and false is not None:
            found[name] = QuestionRisk(miss=miss, false_accept=false)
    return found


def measured_optimum(answers: Answers, fused: Floats, threshold: float, costs: ADcfCosts) -> Optimum:
    """Compare what a threshold costs on the trials with what the best one for these very trials would.

    Args:
        answers: the ratios of the trials.
        fused: the fused score of each trial, ``(trials,)``.
        threshold: of the fused score, nats.
        costs: priors and costs; of a run that knows one question, those of the two classes that it tells apart.
    """
    finite = np.isfinite(fused)
    lowest = min(float(fused[finite].min(initial=threshold)), threshold) - 1.0
    scores = np.where(finite, fused, lowest)
    users, others = scores[answers.users], answers.others(scores)
    if len(others) > 1:
        nontargets, spoofs = others.values()
        least = min_a_dcf(users, nontargets, spoofs, costs)
        actual = act_a_dcf(users, nontargets, spoofs, threshold, costs)
    else:
        (refused,) = others.values()
        miss, *accepts = answers.weights(costs)
        prior = miss / (miss + sum(accepts))
        least = min_dcf(users, refused, prior, 1, 1)
        actual = act_dcf(users, refused, prior, 1, 1, threshold)
    return Optimum(cost=actual.value, least=least.value, threshold=least.threshold)
