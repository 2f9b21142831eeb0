"""Fit the maps of one question, pooled and by condition, and measure what they are worth on other people."""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from vivavoce.evaluation.calibration.config import CalibrationConfig
from vivavoce.evaluation.calibration.known import UNKNOWN, Known
from vivavoce.evaluation.calibration.logistic import Floats
from vivavoce.evaluation.calibration.maps import IsotonicMap, LogisticMap, RatioMaps
from vivavoce.evaluation.calibration.parts import LivenessCalibration, PartCalibration, intraclass_correlation
from vivavoce.evaluation.calibration.seen import SeenScores
from vivavoce.evaluation.measures import LEAST_TRIALS
from vivavoce.evaluation.metrics.ratios import cllr, min_cllr

# Where recordings are told apart by how long they are: as many in each bin.
DURATION_BINS = 3
# Speakers are held out in so many groups, each once.
FOLDS = 5

Part = TypeVar("Part", PartCalibration, LivenessCalibration)


class Scored(NamedTuple):
    """Scores of one question, all answered."""

    scores: Floats  # (trials,) as the part takes them
    is_target: NDArray[np.bool_]  # (trials,)
    known: Known  # (trials,) of the test recordings
    first: NDArray[np.intp]  # (trials,) code of whom a trial counts to
    second: NDArray[np.intp]  # (trials,) code of whom it is drawn with besides; mostly the same

    def take(self, kept: NDArray[np.bool_]) -> "Scored":
        """Some of the trials."""
        return Scored(
            self.scores[kept], self.is_target[kept], self.known.take(kept), self.first[kept], self.second[kept]
        )


class Quality(NamedTuple):
    """How good the ratios of one question are on the validation split, Cllr in bits."""

    before: float  # of the calibration that the run had
    after: float  # of the new one, on the trials it was fitted on
    held_out: float | None  # of such maps on speakers that they were not fitted on; None: too few speakers
    line: float | None  # of a plain line on such speakers
    least: float  # of any map that keeps the order of the scores


def with_maps(part: Part, found: Scored, config: CalibrationConfig) -> tuple[Part, list[str]]:
    """Give a part the maps that are asked for and the ranges of its scores; returns sentences to be told, too."""
    changes: dict[str, object] = {"seen": seen_scores(found)}
    notes: list[str] = []
    if not config.is_plain:
        maps, notes = fit_maps(_grown(part, found), config)
        changes["maps"] = maps
    return part.model_copy(update=changes), notes


def seen_scores(found: Scored) -> dict[str, SeenScores]:
    """The ranges of both classes' scores, under the names ``target`` and ``nontarget``."""
    ranges = {}
    for name, which in (("target", found.is_target), ("nontarget", ~found.is_target)):
        scores, speakers = found.scores[which], found.first[which]
        ranges[name] = SeenScores.of(scores, intraclass_correlation(scores, speakers), speakers)
    return ranges


def fit_maps(found: Scored, config: CalibrationConfig) -> tuple[RatioMaps, list[str]]:
    """Fit the maps to scores as a part's `grown` gives them; returns sentences to be told, too."""
    pooled = _fit(found, config)
    plain = LogisticMap.of_known(found.scores, found.is_target) if config.quality else None
    if config.condition is None:
        return RatioMaps(pooled=pooled, plain=plain), []
    edges: tuple[float, ...] = ()
    if config.condition == "duration" and found.known.seconds is not None:
        shares = np.arange(1, DURATION_BINS) / DURATION_BINS
        edges = tuple(np.unique(np.quantile(np.asarray(found.known.seconds), shares)).tolist())
    condition = np.broadcast_to(found.known.condition(config.condition, edges), found.scores.shape)
    maps, rare = {}, []
    for name in sorted(set(condition.tolist()) - {UNKNOWN}):
        part = found.take(condition == name)
        if min(part.is_target.sum(), (~part.is_target).sum()) >= LEAST_TRIALS:
            maps[name] = _fit(part, config)
        else:
            rare.append(name)
    notes = []
    if rare:
        notes = [
            f"Of the {config.condition} {' and '.join(rare)} the validation split has fewer than {LEAST_TRIALS} scores "
            "of a class, so those recordings get the map of all."
        ]
    elif not maps:
        notes = [f"No validation recording says its {config.condition}, so all get one map."]
    return RatioMaps(pooled=pooled, plain=plain, by=config.condition, edges_s=edges, maps=maps), notes


def measured_quality(before: PartCalibration | None, after: Part, found: Scored, config: CalibrationConfig) -> Quality:
    """Compare the ratios of two calibrations of one question on the same scores.

    Args:
        before: what the run had; None: nothing, so that its ratios said nothing.
        after: the new one, fitted on these scores.
        found: the scores.
        config: how the new one was fitted.
    """
    old = 1.0 if before is None else _cllr(before.evidence(found.scores, found.known), found)
    new = _cllr(after.evidence(found.scores, found.known), found)
    least = min_cllr(found.scores[found.is_target], found.scores[~found.is_target])
    grown = _grown(after, found)
    held_out = _held_out_cllr(grown, config)
    line = held_out if config.is_plain else _held_out_cllr(grown, CalibrationConfig())
    return Quality(old, new, held_out, line, least + 0.0)  # no "-0"


def quality_notes(question: str, quality: Quality) -> list[str]:
    """Say so where the maps that were asked for are worse than a plain line on people they were not fitted on."""
    if quality.held_out is None or quality.line is None or quality.held_out <= quality.line:
        return []
    return [
        f"{question.capitalize()}: on people held out, a plain line is better (Cllr {quality.line:.3f} against "
        f"{quality.held_out:.3f} bits); give more recordings, or leave --method, --condition and --quality out."
    ]


def _held_out_cllr(found: Scored, config: CalibrationConfig) -> float | None:
    """Cllr of maps on people they were not fitted on: each group of speakers is left out once.

    A trial is judged by a map that has heard neither of its two people; where they fall in two groups, by the one
    without the enrolled, so that every trial counts once.
    """
    groups = min(FOLDS, len(np.unique(found.first)))
    people = np.unique(np.concatenate([found.first, found.second]))
    if groups < 2:
        return None
    first, second = (np.searchsorted(people, codes) % groups for codes in (found.first, found.second))
    ratios = np.full(found.scores.shape, np.nan)
    for fold in range(groups):
        held = first == fold
        rest = found.take((first != fold) & (second != fold))
        if not held.any() or min(rest.is_target.sum(), (~rest.is_target).sum()) < LEAST_TRIALS:
            return None
        maps, _ = fit_maps(rest, config)
        ratios[held] = maps.evidence(found.scores[held], found.known.take(held))
    return _cllr(ratios, found)


def _fit(found: Scored, config: CalibrationConfig) -> LogisticMap | IsotonicMap:
    if config.method == "isotonic":
        return IsotonicMap.fit(found.scores[found.is_target], found.scores[~found.is_target])
    return LogisticMap.of_known(found.scores, found.is_target, found.known, config.quality)


def _grown(part: PartCalibration, found: Scored) -> Scored:
    return found._replace(scores=part.grown(found.scores, found.known))


def _cllr(ratios: Floats, found: Scored) -> float:
    return cllr(ratios[found.is_target], ratios[~found.is_target])
