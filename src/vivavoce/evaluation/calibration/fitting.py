"""What the liveness question learns from the validation split: its line, what time is worth, which spans to doubt."""

from collections.abc import Sequence

import numpy as np

from vivavoce.evaluation.calibration.parts import LivenessCalibration, intraclass_correlation
from vivavoce.evaluation.localise import segments
from vivavoce.evaluation.scoring.recordings import FRAMES_PER_S, score_recordings
from vivavoce.evaluation.verdict import SEGMENT_FALSE_ALARMS
from vivavoce.features.store import FeatureStore
from vivavoce.models.joint import JointModel

# Crops beside the whole recordings, s: what a user says at the least, and what published systems are judged on.
CROPS_S = (2.0, 3.0)
# No span is doubted at a higher logit: a frame at 0 or above is as likely live as not.
HIGHEST_THRESHOLD = 0.0
# Steps of the search for a threshold, each halving what is left: fine to a thousandth of the logits' range.
STEPS = 12


def calibrate_liveness(
    model: JointModel, store: FeatureStore, is_live: np.ndarray, is_attack: np.ndarray, speakers: Sequence[str]
) -> LivenessCalibration:
    """Fit all that turns a liveness score into a verdict.

    Args:
        model: the trained model.
        store: the validation split.
        is_live: which recordings are live, ``(recordings,)`` bool.
        is_attack: which are attacks, ``(recordings,)`` bool.
        speakers: who speaks in each.

    Raises:
        UserError: no live recording or no attack has a score.
    """
    whole = score_recordings(model, store, tasks=("liveness",), frames=True)
    seconds = store.frames[:: store.copies] / FRAMES_PER_S
    answered = ~np.isnan(whole.liveness)
    live, attack = np.flatnonzero(is_live & answered), np.flatnonzero(is_attack & answered)
    scores, lengths = [whole.liveness], [seconds]
    for crop_s in CROPS_S:
        scores.append(score_recordings(model, store, crop_s, tasks=("liveness",)).liveness)
        lengths.append(np.minimum(seconds, crop_s))
    every, length = np.stack(scores), np.stack(lengths)
    part = LivenessCalibration.fit(whole.liveness[live], whole.liveness[attack]).with_durations(
        every[:, live].ravel(), every[:, attack].ravel(), length[:, live].ravel(), length[:, attack].ravel()
    )
    who = np.asarray(speakers)
    ratios = part.evidence_of(whole.liveness, seconds)
    correlation = max(intraclass_correlation(ratios[which], who[which]) for which in (live, attack))
    threshold = segment_threshold([whole.frames[item] for item in live.tolist()])
    return part.model_copy(update={"correlation": correlation, "segment_threshold": threshold})


def segment_threshold(live_frames: Sequence[np.ndarray], false_alarms: float = SEGMENT_FALSE_ALARMS) -> float:
    """Find the highest threshold at which few live recordings show a span that does not belong.

    Args:
        live_frames: frame logits of live recordings, ``(frames,)`` each.
        false_alarms: share of them that may show one.

    Returns:
        A logit, at most 0.
    """

    def few(threshold: float) -> bool:
        return float(np.mean([bool(segments(logits, threshold)) for logits in live_frames])) <= false_alarms

    high = HIGHEST_THRESHOLD
    if few(high):
        return high
    # Below the lowest logit no frame speaks against a mouth.
    low = min(float(np.min(logits)) for logits in live_frames if len(logits)) - 1.0
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if few(middle) else (low, middle)
    return low
