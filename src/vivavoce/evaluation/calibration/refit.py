"""Fit maps, fusion and threshold to a validation split, as `vivavoce calibrate` asks."""

import numpy as np

from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.choosing import Answers, choose
from vivavoce.evaluation.calibration.config import CalibrationConfig
from vivavoce.evaluation.calibration.decision import Decision, Optimum, Risk
from vivavoce.evaluation.calibration.fusion import Fusion, RuleFusion
from vivavoce.evaluation.calibration.mapping import Scored, with_maps
from vivavoce.evaluation.calibration.parts import Calibration, PartCalibration
from vivavoce.evaluation.calibration.risk import measured_optimum, measured_risk
from vivavoce.evaluation.calibration.split import CalibrationSplit
from vivavoce.evaluation.measures import LEAST_TRIALS
from vivavoce.evaluation.metrics.spoofing import ADcfCosts

WHY = {"logistic": "", "isotonic": ", since an isotonic map is no surer than the trials it was fitted on"}


def refit(parts: Calibration, split: CalibrationSplit, config: CalibrationConfig, data: str = "") -> Calibration:
    """Fit all that turns two scores into a decision.

    Args:
        parts: the lines and thresholds that training's own way of calibrating finds on the split.
        split: the scores.
        config: what is asked for.
        data: what the split is called.

    Raises:
        UserError: the split lacks a class, cannot show the rate that is asked for, or nobody would be accepted.
    """
    fitted, notes = {}, []
    for name, scored in scored_parts(parts, split).items():
        fitted[name], told = with_maps(getattr(parts, name), scored, config)
        notes += [f"{name.capitalize()}: {note}" for note in told]
    calibration = parts.model_copy(update={**fitted, "decision": None})
    answers, kept = Answers.of(calibration, split)
    notes += _check(answers)
    fusion, threshold, told = choose(answers, config)
    fused = answers.fused(fusion)
    risk = measured_risk(answers, split, kept, fusion, fused, threshold)
    if risk.miss.errors == risk.miss.trials:
        raise UserError(
            f"A threshold of {_asked(fusion, threshold):.2f} nats accepts none of the user's {risk.miss.trials} "
            f"validation trials{WHY[config.method]}; ask for a higher false-accept rate or other costs, or give more "
            "recordings with --validation."
        )
    decision = Decision(
        method=config.method,
        fusion=fusion,
        threshold=threshold,
        aim=config.aim,
        risk=risk,
        optimum=measured_optimum(answers, fused, threshold, config.aim.costs),
        notes=tuple(dict.fromkeys([*notes, *told])),
        data=data,
    )
    return _with_thresholds(calibration, fusion).model_copy(update={"decision": decision})


def scored_parts(parts: Calibration, split: CalibrationSplit) -> dict[str, Scored]:
    """The scores that each question of a run is calibrated on: of the speaker trials, of the recordings liveness."""
    found = {}
    if parts.speaker is not None:
        which = split.is_target | split.is_nontarget
        found["speaker"] = Scored(
            split.speaker, split.is_target, split.known_of_trials, split.enrolled, split.tested
        ).take(which)
    if parts.liveness is not None:
        heard = ~np.isnan(split.liveness) & (split.is_live | split.is_attack)
        found["liveness"] = Scored(split.liveness, split.is_live, split.known, split.person, split.person).take(heard)
    return found


def stated(calibration: Calibration, split: CalibrationSplit, costs: ADcfCosts) -> tuple[Risk, Optimum]:
    """What a calibration, of any version, does on the trials of a split, and what it costs beside the least."""
    answers, kept = Answers.of(calibration, split)
    liveness = split.liveness[split.test]
    fused = calibration.fused(split.speaker, liveness, known=split.known_of_trials)[kept]
    fused = np.where(answers.doubted, -np.inf, fused)
    fusion = calibration.decision.fusion if calibration.decision is not None else None
    risk = measured_risk(answers, split, kept, fusion, fused, calibration.threshold)
    return risk, measured_optimum(answers, fused, calibration.threshold, costs)


def _check(answers: Answers) -> list[str]:
    """Refuse a split without a class, and say which class has few trials."""
    classes = {"trials of the user": answers.is_target if answers.speaker is not None else answers.users}
    if answers.speaker is not None:
        classes["trials of other speakers"] = answers.is_nontarget
    if answers.liveness is not None:
        classes["trials of attacks"] = answers.is_spoof
    counts = {name: int(which.sum()) for name, which in classes.items()}
    missing = [name for name, count in counts.items() if not count]
    if missing:
        raise UserError(
            f"The validation split gives no {' and no '.join(missing)} with an answer; give recordings of two or more "
            "speakers and attacks that claim them."
        )
    return [
        f"The validation split has only {count} {name}; what is said of them rests on their interval alone."
        for name, count in counts.items()
        if count < LEAST_TRIALS
    ]


def _asked(fusion: Fusion | None, threshold: float) -> float:
    return max(fusion.speaker, fusion.liveness) if isinstance(fusion, RuleFusion) else threshold


def _with_thresholds(calibration: Calibration, fusion: Fusion | None) -> Calibration:
    """Give each question of a rule the score that its ratio comes to, where nothing else is known of a recording."""
    if not isinstance(fusion, RuleFusion):
        return calibration
    ratios = {"speaker": fusion.speaker, "liveness": fusion.liveness}
    return calibration.model_copy(
        update={name: _at(getattr(calibration, name), ratio) for name, ratio in ratios.items()}
    )


def _at(part: PartCalibration, ratio: float) -> PartCalibration:
    lowest = min(one.lowest for one in part.seen.values())
    highest = max(one.highest for one in part.seen.values())
    # An isotonic map says no more of scores beyond those it has seen.
    score = float(part.score_at(ratio))
    return part.model_copy(update={"threshold": score if np.isfinite(score) else lowest if score < 0 else highest})
