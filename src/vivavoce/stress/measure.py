"""Error rates of one level with their intervals, and how they differ from another level's on the same speakers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.bootstrap import LEVEL, Bootstrap, ClassScores, Interval
from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.measuring import POOLED, figure
from vivavoce.evaluation.metrics.detection import eer, eer_of
from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5, act_a_dcf, act_a_dcf_of, min_a_dcf, min_a_dcf_of
from vivavoce.stress.protocol import Protocol
from vivavoce.stress.results import Change

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Scores of one level; NaN is no answer."""

    liveness: Floats | None  # (tests,) None: the run knows no liveness
    speaker: Floats | None  # (trials,) None: the run knows no speakers
    fused: Floats | None  # (trials,) None: the run knows one of both alone


@dataclass(frozen=True)
class Measured:
    """The measures of a level, and each one's value in every resample of the speakers ``(resamples,)``."""

    measures: dict[str, Measure]
    resampled: dict[str, Floats]

    def changes_from(self, first: "Measured") -> dict[str, Change]:
        """How every measure that both have differs from the first level's; the draws of speakers are the same."""
        found = {}
        for key, measure in self.measures.items():
            before = first.measures.get(key)
            if before is None or before.value is None or measure.value is None:
                continue
            differences = self.resampled[key] - first.resampled[key]
            differences = differences[np.isfinite(differences)]
            if differences.size:
                low, high = np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
                found[key] = Change(value=measure.value - before.value, low=low, high=high)
        return found


class Meter:
    """Measures levels of one protocol, all with the same draws of speakers.

    Args:
        protocol: trials and recordings.
        threshold: of the fused score, fixed before these recordings were heard.
        resamples: draws of the speakers.
        seed: of the draws.
    """

    def __init__(self, protocol: Protocol, threshold: float, resamples: int, seed: int) -> None:
        self.protocol, self.threshold = protocol, threshold
        self.bootstrap = Bootstrap(len(protocol.speakers), resamples, seed)

    def measure(self, scores: Answers, chosen: NDArray[np.bool_] | None = None) -> Measured:
        """Measure a level, or those of its test recordings that a mask ``(tests,)`` chooses.

        Measures of which a class has no trial are left out; those with fewer than 10 have an interval and no value.
        """
        within = np.ones(len(self.protocol.tests), bool) if chosen is None else chosen
        found = Measured({}, {})
        if scores.speaker is not None:
            self._speaker(found, scores.speaker, within)
        if scores.liveness is not None:
            self._liveness(found, scores.liveness, within)
            self._abstentions(found, np.isnan(scores.liveness), within)
        if scores.fused is not None:
            self._fused(found, scores.fused, within)
        return found

    def _speaker(self, found: Measured, score: Floats, within: NDArray[np.bool_]) -> None:
        classes = self._trial_classes(score, within, ("target", "nontarget"))
        if all(len(trials) for trials in classes.values()):
            curves = self.bootstrap.curves(classes)
            rates = eer_of(curves.p_miss("target"), curves.p_fa("nontarget"))
            value = eer(classes["target"].scores, classes["nontarget"].scores).rate
            self._put(found, "speaker_eer", "EER of the speaker", value, rates, classes)

    def _liveness(self, found: Measured, score: Floats, within: NDArray[np.bool_]) -> None:
        answered = within & ~np.isnan(score)
        kinds, who = self.protocol.kinds, self.protocol.test_speakers
        masks = {kind: answered & (kinds == kind) for kind in (Kind.LIVE.value, *self.protocol.species)}
        classes = {kind: ClassScores.of(score[mask], who[mask]) for kind, mask in masks.items() if mask.any()}
        attacks = [kind for kind in classes if kind != Kind.LIVE]
        if Kind.LIVE.value not in classes or not attacks:
            return
        curves = self.bootstrap.curves(classes)
        misses = curves.p_miss(Kind.LIVE.value)
        for species, names in {POOLED: attacks, **{name: [name] for name in attacks}}.items():
            spoofs = np.concatenate([classes[name].scores for name in names])
            sizes = {Kind.LIVE.value: classes[Kind.LIVE.value], species: ClassScores.of(spoofs, np.zeros(len(spoofs)))}
            key = "liveness_eer" if species == POOLED else f"liveness_eer/{species}"
            value = eer(classes[Kind.LIVE.value].scores, spoofs).rate
            rates = eer_of(misses, curves.p_fa(*names))
            self._put(found, key, "EER of liveness", value, rates, sizes, species)

    def _abstentions(self, found: Measured, abstained: NDArray[np.bool_], within: NDArray[np.bool_]) -> None:
        kinds, who = self.protocol.kinds, self.protocol.test_speakers
        for key, name, of in (
            ("live_abstained", "live recordings without an answer", kinds == Kind.LIVE.value),
            ("attack_abstained", "attacks without an answer", np.isin(kinds, self.protocol.species)),
        ):
            here = within & of
            if here.any():
                classes = {key: ClassScores.of(np.zeros(here.sum()), who[here])}
                rates = self.bootstrap.means(abstained[here], classes[key])
                self._put(found, key, name, float(abstained[here].mean()), rates, classes)

    def _fused(self, found: Measured, score: Floats, within: NDArray[np.bool_]) -> None:
        # A recording without an answer is not let in, whatever the threshold.
        answered = score[np.isfinite(score)]
        lowest = min(float(answered.min()) if answered.size else np.inf, self.threshold) - 1
        names = ("target", "nontarget", "spoof")
        classes = self._trial_classes(np.where(np.isnan(score), lowest, score), within, names)
        if not all(len(trials) for trials in classes.values()):
            return
        curves = self.bootstrap.curves(classes, [self.threshold])
        p_miss, p_nontarget, p_spoof = curves.p_miss("target"), curves.p_fa("nontarget"), curves.p_fa("spoof")
        targets, nontargets, spoofs = (classes[name].scores for name in names)
        least = min_a_dcf(targets, nontargets, spoofs)
        self._put(found, "a_dcf", least.label, least.value, min_a_dcf_of(p_miss, p_nontarget, p_spoof), classes)
        actual, at = act_a_dcf(targets, nontargets, spoofs, self.threshold), curves.at(self.threshold)
        costs = act_a_dcf_of(p_miss[:, at], p_nontarget[:, at], p_spoof[:, at])
        self._put(found, "act_a_dcf", actual.label, actual.value, costs, classes)

    def _trial_classes(
        self, score: Floats, within: NDArray[np.bool_], names: tuple[str, ...]
    ) -> dict[str, ClassScores]:
        trials = self.protocol.trials
        first, second = self.protocol.trial_speakers
        here = within[trials.test]
        masks = {"target": trials.is_target, "nontarget": trials.is_nontarget, "spoof": trials.is_spoof}
        return {
            name: ClassScores.of(score[mask & here], first[mask & here], second[mask & here])
            for name, mask in masks.items()
            if name in names
        }

    def _put(
        self,
        found: Measured,
        key: str,
        name: str,
        value: float,
        resampled: Floats,
        classes: Mapping[str, ClassScores],
        species: str | None = None,
    ) -> None:
        counts = {part: len(trials) for part, trials in classes.items()}
        cost = key in ("a_dcf", "act_a_dcf")
        measure = figure(
            key,
            name,
            value,
            resampled,
            counts,
            unit="cost" if cost else "rate",
            species=species,
            parameters=ASVSPOOF5.model_dump() if cost else None,
        )
        if cost and measure.value is not None and measure.high == 0:
            measure = measure.with_interval(_of_no_errors(counts))
        found.measures[key] = measure
        found.resampled[key] = resampled


def _of_no_errors(counts: Mapping[str, int]) -> Interval:
    """The interval of a cost without an error in any resample: each rate may still be 3 over its number of trials."""
    p_miss, p_nontarget, p_spoof = (min(1.0, 3 / counts[name]) for name in ("target", "nontarget", "spoof"))
    return Interval(0.0, min(1.0, float(act_a_dcf_of(p_miss, p_nontarget, p_spoof))), "rule of 3")
