"""Which pictures a report holds, by the data that are there."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.report.echoes import EchoView, echo_pictures
from vivavoce.evaluation.report.figure import Picture
from vivavoce.evaluation.report.learning import training_pictures
from vivavoce.evaluation.report.plots import det_picture, histogram_picture
from vivavoce.evaluation.report.reliability import reliability_picture
from vivavoce.evaluation.report.results import POOLED, EvaluationResult
from vivavoce.evaluation.report.wording import truth_words
from vivavoce.evaluation.trials.table import NONTARGET, TARGET

# How the threshold of the one score that says accept is named, among those of a decision.
FUSED = "fused"


def draw_pictures(
    result: EvaluationResult,
    metrics: Sequence[Mapping[str, object]] = (),
    live: EchoView | None = None,
    replayed: EchoView | None = None,
) -> list[Picture]:
    """Draw every figure for which the result and the arguments hold the data, in the order of the report."""
    echoes = echo_pictures(live, replayed) if live is not None and replayed is not None else ()
    return [
        *_system_pictures(result),
        *_speaker_pictures(result),
        *_liveness_pictures(result),
        *echoes,
        *(reliability_picture(found) for found in result.reliability if found.bins),
        *training_pictures(metrics),
    ]


def _system_pictures(result: EvaluationResult) -> list[Picture]:
    scores = result.scores.system
    genuine = scores.get(TARGET, np.empty(0))
    attacks = [values for label, values in scores.items() if label not in (TARGET, NONTARGET) and values.size]
    others = {"other people": scores.get(NONTARGET, np.empty(0))}
    others |= {"attacks": np.concatenate(attacks) if attacks else np.empty(0)}
    others = {label: values for label, values in others.items() if values.size}
    if not genuine.size or not others:
        return []
    thresholds = result.decision.thresholds if result.decision else {}
    at = next((value for name, value in thresholds.items() if name.startswith(FUSED)), None)
    curves = {label: (genuine, values) for label, values in others.items()}
    return [
        histogram_picture("system-scores", "Deciding scores", ("the user", genuine), others, at),
        det_picture("system-det", "Error trade-off of the whole system", curves),
    ]


def _speaker_pictures(result: EvaluationResult) -> list[Picture]:
    genuine, others = result.scores.speaker_target, result.scores.speaker_nontarget
    if not genuine.size or not others.size:
        return []
    at = result.speaker.threshold if result.speaker else None
    strips = {"other people": others}
    return [
        histogram_picture("speaker-scores", "Speaker scores", ("the user", genuine), strips, at),
        det_picture("speaker-det", "Speaker error trade-off", {"speaker": (genuine, others)}),
    ]


def _liveness_pictures(result: EvaluationResult) -> list[Picture]:
    scores = result.scores.liveness
    genuine = scores.get(Kind.LIVE.value, np.empty(0))
    attacks = {truth_words(kind): found for kind, found in scores.items() if kind != Kind.LIVE and found.size}
    if not genuine.size or not attacks:
        return []
    at = result.liveness_pooled.threshold if result.liveness_pooled else None
    curves: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    pooled = truth_words(POOLED) if len(attacks) > 1 else None
    if pooled:
        curves[pooled] = (genuine, np.concatenate(list(attacks.values())))
    curves |= {label: (genuine, values) for label, values in attacks.items()}
    return [
        histogram_picture("liveness-scores", "Liveness scores", ("live", genuine), attacks, at),
        det_picture("liveness-det", "Liveness error trade-off", curves, pooled),
    ]
