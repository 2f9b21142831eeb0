"""The verdict: what the scores of one recording mean for the one who asks to be let in."""

import math
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from vivavoce.evaluation.calibration import Calibration
from vivavoce.signal.probe import ProbeQuality


class Answer(StrEnum):
    """The four verdicts."""

    ACCEPT = "accept"
    NOT_THE_SPEAKER = "not_the_speaker"
    NOT_LIVE = "not_live"
    ABSTAIN = "abstain"


class Evidence(NamedTuple):
    """Raw scores of one recording against one enrolment."""

    speaker: float  # cosine
    liveness: float  # logit, NaN where the probe gives no answer
    quality: ProbeQuality


class Verdict(BaseModel):
    """The verdict on one recording, with its reason and calibrated scores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: Answer
    reason: str = Field(description="one sentence")
    speaker_score: float = Field(description="cosine between the recording and the enrolment")
    speaker_threshold: float
    speaker_probability: float = Field(description="that the enrolled speaker speaks, at even prior odds")
    liveness_score: float | None = Field(description="logit; None where the probe gives no answer")
    liveness_threshold: float | None
    liveness_probability: float | None = Field(description="that a living mouth says these words, at even prior odds")
    probe_snr_db: float | None
    notes: list[str] = Field(default=[], description="sentences that make the scores less certain")


def decide(evidence: Evidence, calibration: Calibration) -> Verdict:
    """Turn scores into a verdict.

    Liveness is asked first: a replay of the right voice must be named a replay. Where the probe gives no answer the
    verdict is to abstain, with the reason, whoever speaks; the speaker score is still there to be read.
    """
    speaker, liveness = calibration.speaker, calibration.liveness
    answered = liveness is not None and not math.isnan(evidence.liveness)
    answer, reason = _judge(evidence, calibration, answered)
    snr = evidence.quality.snr_db
    return Verdict(
        verdict=answer,
        reason=reason,
        speaker_score=evidence.speaker,
        speaker_threshold=speaker.threshold,
        speaker_probability=float(speaker.probability(evidence.speaker)),
        liveness_score=evidence.liveness if answered else None,
        liveness_threshold=liveness.threshold if liveness else None,
        liveness_probability=float(liveness.probability(evidence.liveness)) if liveness and answered else None,
        probe_snr_db=snr if math.isfinite(snr) else None,
    )


def _judge(evidence: Evidence, calibration: Calibration, answered: bool) -> tuple[Answer, str]:
    speaker, liveness = calibration.speaker, calibration.liveness
    known = evidence.speaker >= speaker.threshold
    if liveness is None or not answered:
        voice = "the voice is the enrolled speaker's" if known else "the voice is not the enrolled speaker's"
        why = evidence.quality.reason or "the run was trained without liveness"
        return Answer.ABSTAIN, f"Liveness cannot be told: {why}; {voice}."
    if evidence.liveness < liveness.threshold:
        return Answer.NOT_LIVE, (
            "The echo does not move with the words: liveness score "
            f"{evidence.liveness:.2f}, {liveness.threshold:.2f} needed."
        )
    if not known:
        return Answer.NOT_THE_SPEAKER, (
            f"A living mouth says these words, but another person's: speaker score {evidence.speaker:.2f}, "
            f"{speaker.threshold:.2f} needed."
        )
    return Answer.ACCEPT, "The enrolled speaker's voice, and the mouth moves with the words."
