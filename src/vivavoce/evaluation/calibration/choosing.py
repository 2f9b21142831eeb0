"""Choose how two ratios become one score, and the threshold of that score."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.config import CalibrationConfig
from vivavoce.evaluation.calibration.decision import FalseAcceptAim
from vivavoce.evaluation.calibration.fusion import (
    Fusion,
    LogisticFusion,
    ProductFusion,
    RuleFusion,
    share_of_attacks,
)
from vivavoce.evaluation.calibration.logistic import Floats
from vivavoce.evaluation.calibration.parts import Calibration
from vivavoce.evaluation.calibration.split import Bools, CalibrationSplit
from vivavoce.evaluation.calibration.thresholds import (
    asked_weights,
    bayes_threshold,
    check_shown,
    extrapolated_threshold,
    false_accept_threshold,
)
from vivavoce.evaluation.metrics.spoofing import ADcfCosts

SPEAKERS, ATTACKS = "trials of other speakers", "trials of attacks"


@dataclass(frozen=True)
class Answers:
    """Ratios, nats, of the trials that got all the answers that the run can give, each ``(trials,)``."""

    speaker: Floats | None
    liveness: Floats | None
    is_target: Bools
    is_nontarget: Bools
    is_spoof: Bools
    doubted: Bools

    @classmethod
    def of(cls, parts: Calibration, split: CalibrationSplit) -> tuple["Answers", Bools]:
        """Take the ratios of a split; returns which of its trials they are, too, ``(all trials,)``."""
        known = split.known_of_trials
        speaker = None if parts.speaker is None else parts.speaker.ratios(split.speaker, known)
        liveness = None if parts.liveness is None else parts.liveness.ratios(split.liveness[split.test], known)
        heard = np.ones(len(split.labels), bool) if liveness is None else ~np.isnan(liveness)
        kept = heard & (split.is_target | split.is_nontarget | split.is_spoof)
        answers = cls(
            speaker=None if speaker is None else speaker[kept],
            liveness=None if liveness is None else liveness[kept],
            is_target=split.is_target[kept],
            is_nontarget=split.is_nontarget[kept],
            is_spoof=split.is_spoof[kept],
            doubted=split.doubted[split.test][kept],
        )
        return answers, kept

    def fused(self, fusion: Fusion | None) -> Floats:
        """The fused score; nothing accepts what is doubted."""
        parts = [part for part in (self.speaker, self.liveness) if part is not None]
        found = fusion.fuse(parts[0], parts[1]) if fusion is not None else np.minimum(parts[0], parts[-1])
        return np.where(self.doubted, -np.inf, found)

    def weights(self, costs: ADcfCosts) -> tuple[float, float, float]:
        """What misses, accepted speakers and accepted attacks weigh for this run."""
        return asked_weights(costs, self.speaker is not None, self.liveness is not None)

    def others(self, scores: Floats) -> dict[str, Floats]:
        """Scores of each class that the run is to refuse."""
        asked = {SPEAKERS: (self.speaker, self.is_nontarget), ATTACKS: (self.liveness, self.is_spoof)}
        return {name: scores[which] for name, (ratio, which) in asked.items() if ratio is not None}

    @property
    def users(self) -> Bools:
        """Which trials are to be accepted: where nobody is compared, all that are live."""
        return self.is_target if self.speaker is not None else self.is_target | self.is_nontarget


class Chosen(NamedTuple):
    """How a run is to decide."""

    fusion: Fusion | None
    threshold: float
    notes: list[str]


def choose(answers: Answers, config: CalibrationConfig) -> Chosen:
    """Choose the fusion and the threshold for what is aimed at.

    Raises:
        UserError: there are too few trials for a false-accept rate, or two answers are to be fused and there is one.
    """
    aim = config.aim
    notes = []
    if isinstance(aim, FalseAcceptAim):
        counts = {name: len(scores) for name, scores in answers.others(answers.fused(None)).items()}
        notes = check_shown(counts, aim.rate, aim.extrapolate)
    both = answers.speaker is not None and answers.liveness is not None
    if config.fusion == "rule" and both:
        speaker, liveness = (_threshold(part, None, config) for part in _questions(answers))
        rule = RuleFusion(speaker=speaker, liveness=liveness)
        return Chosen(rule, 0.0, [*notes, *_beyond(answers, max(speaker, liveness))])
    if not both and config.fusion != "rule":
        raise UserError(
            f"--fusion {config.fusion} joins two answers, and this run was trained for one of them; leave it out."
        )
    fusion = _trained(answers, config) if both else None
    threshold = _threshold(answers, fusion, config)
    return Chosen(fusion, threshold, [*notes, *_beyond(answers, threshold)])


def _questions(answers: Answers) -> tuple[Answers, Answers]:
    """The trials that each question alone is to decide."""
    return replace(answers, liveness=None, doubted=np.zeros_like(answers.doubted)), replace(answers, speaker=None)


def _trained(answers: Answers, config: CalibrationConfig) -> Fusion:
    costs = config.aim.costs
    if config.fusion == "product":
        return ProductFusion(rho=share_of_attacks(costs))
    assert answers.speaker is not None
    assert answers.liveness is not None
    truth = np.select([answers.is_target, answers.is_nontarget], [0, 1], 2)
    return LogisticFusion.fit(answers.speaker, answers.liveness, truth, costs)


def _threshold(answers: Answers, fusion: Fusion | None, config: CalibrationConfig) -> float:
    aim = config.aim
    if not isinstance(aim, FalseAcceptAim):
        return bayes_threshold(*answers.weights(aim.costs))
    fused = answers.fused(fusion)
    shown = false_accept_threshold(answers.others(fused), fused[answers.users], aim.rate)
    if not aim.extrapolate:
        return shown
    rho = share_of_attacks(aim.costs)
    return max(shown, extrapolated_threshold(aim.rate, 1.0 if fusion is None else min(rho, 1 - rho)))


def _beyond(answers: Answers, threshold: float) -> list[str]:
    """Say where a threshold asks for surer ratios than the trials can vouch for."""
    counts = {name: len(scores) for name, scores in answers.others(answers.fused(None)).items()}
    name, fewest = min(counts.items(), key=lambda item: item[1])
    if threshold <= np.log1p(fewest):
        return []
    return [
        f"The threshold of {threshold:.2f} nats asks for more than {fewest} {name} can vouch for "
        f"({np.log1p(fewest):.2f} nats), so it rests on the map beyond the validation scores."
    ]
