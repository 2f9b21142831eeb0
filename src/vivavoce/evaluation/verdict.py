"""The verdict: what the scores of one recording mean for the one who asks to be let in."""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit, logit

from vivavoce.evaluation.calibration.drift import unseen_notes
from vivavoce.evaluation.calibration.known import Known
from vivavoce.evaluation.calibration.parts import Calibration
from vivavoce.signal.quality import ProbeQuality

# Of live validation recordings, at most this share may show a span that does not belong.
SEGMENT_FALSE_ALARMS = 0.02
# Where more than this share does not belong, the whole does not.
WHOLE_SHARE = 0.75


class Answer(StrEnum):
    """The four verdicts."""

    ACCEPT = "accept"
    NOT_THE_SPEAKER = "not_the_speaker"
    NOT_LIVE = "not_live"
    ABSTAIN = "abstain"


class Evidence(NamedTuple):
    """Raw scores of one recording against one enrolment."""

    speaker: float  # cosine, NaN where the run knows no speakers
    liveness: float  # logit, NaN where the recording gives no answer
    quality: ProbeQuality
    seconds: float | None = None  # of the recording; None: as long as those of the calibration
    segments: Sequence[tuple[float, float]] = ()  # spans in s whose words do not belong to the mouth
    conditions: Mapping[str, str] = {}  # posture and device of the recording, where they are known
    measures: Mapping[str, float] = {}  # quality measures of the recording, where they are known

    @property
    def known(self) -> Known:
        """What the calibration may go by."""
        return Known(self.seconds, self.conditions, self.measures)


class Ratios(NamedTuple):
    """Log-likelihood ratios of one recording, nats, bounded by what the validation split can vouch for."""

    speaker: float | None
    liveness: float | None


class Verdict(BaseModel):
    """The verdict on one recording, with its reason and calibrated scores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: Answer
    reason: str = Field(description="one sentence")
    advice: str | None = Field(default=None, description="one sentence to the user: what to do; None: nothing")
    abstained: str | None = Field(default=None, description="why there is no answer, in a word or two")
    confidence: float | None = Field(
        default=None, ge=0, le=1, description="probability that the verdict is right; None for an abstention"
    )
    segments: list[tuple[float, float]] = Field(
        default=[], description="spans in s whose words do not belong to the mouth"
    )
    speaker_score: float | None = Field(description="cosine between the recording and the enrolment")
    speaker_threshold: float | None = Field(description="None: both scores are judged as one")
    speaker_probability: float | None = Field(description="that the enrolled speaker speaks, at the prior asked for")
    liveness_score: float | None = Field(description="logit; None where the recording gives no answer")
    liveness_threshold: float | None
    liveness_probability: float | None = Field(
        description="that a living mouth says these words, at the prior asked for"
    )
    fused_score: float | None = Field(
        default=None, description="both answers as one, nats; None: without a calibrated decision, or no answer"
    )
    fused_threshold: float | None = Field(default=None, description="accepted where the fused score reaches it, nats")
    probe_snr_db: float | None
    notes: list[str] = Field(default=[], description="sentences that make the scores less certain")


def ratios(evidence: Evidence, calibration: Calibration) -> Ratios:
    """Weigh scores: log-likelihood ratios, None for a question that was not asked or got no answer.

    A span that does not belong speaks against a living mouth by the share of live recordings in which one is found.
    """
    speaker, liveness, known = calibration.speaker, calibration.liveness, evidence.known
    asked = speaker is not None and not math.isnan(evidence.speaker)
    who = float(speaker.evidence(evidence.speaker, known)) if speaker and asked else None
    if liveness is None or math.isnan(evidence.liveness):
        return Ratios(who, None)
    mouth = float(liveness.evidence(evidence.liveness, known))
    return Ratios(who, min(mouth, math.log(SEGMENT_FALSE_ALARMS)) if evidence.segments else mouth)


def decide(evidence: Evidence, calibration: Calibration, prior: float = 0.5) -> Verdict:
    """Turn scores into a verdict.

    Liveness is asked first: a replay of the right voice must be named a replay. Where the recording gives no answer the
    verdict is to abstain, with the reason, whoever speaks; the speaker score is still there to be read. Where the
    calibration joins both answers to one, a refusal is named by the weaker of them.

    Args:
        evidence: the scores.
        calibration: thresholds and score lines of the run.
        prior: how likely each question is answered yes before the recording is heard, inside (0, 1). It moves the
            probabilities and the confidence, not the thresholds.
    """
    speaker, liveness = calibration.speaker, calibration.liveness
    answered = liveness is not None and not math.isnan(evidence.liveness)
    fused = _fused(evidence, calibration) if answered else None
    answer, reason = _judge(evidence, calibration, answered, fused)
    who, mouth = (
        None if ratio is None else float(expit(ratio + logit(prior))) for ratio in ratios(evidence, calibration)
    )
    quality = evidence.quality
    abstains = answer is Answer.ABSTAIN
    return Verdict(
        verdict=answer,
        reason=reason,
        advice=(quality.advice or None) if abstains else None,
        abstained=(quality.label or "no liveness") if abstains else None,
        confidence=_confidence(answer, who, mouth),
        segments=list(evidence.segments) if answered else [],
        speaker_score=evidence.speaker if speaker else None,
        speaker_threshold=calibration.needed("speaker", evidence.known),
        speaker_probability=who,
        liveness_score=evidence.liveness if answered else None,
        liveness_threshold=calibration.needed("liveness", evidence.known),
        liveness_probability=mouth,
        fused_score=fused,
        fused_threshold=calibration.decision.threshold if calibration.decision else None,
        probe_snr_db=quality.snr_db if math.isfinite(quality.snr_db) else None,
        notes=unseen_notes(calibration, evidence.speaker, evidence.liveness),
    )


def _fused(evidence: Evidence, calibration: Calibration) -> float | None:
    """Both answers as one, nats; None where the calibration decides on each by itself."""
    if calibration.decision is None:
        return None
    return float(calibration.fused(evidence.speaker, evidence.liveness, known=evidence.known))


def _judge(evidence: Evidence, calibration: Calibration, answered: bool, fused: float | None) -> tuple[Answer, str]:
    speaker, liveness = calibration.speaker, calibration.liveness
    known, live = map(bool, calibration.passed(evidence.speaker, evidence.liveness, evidence.known))
    if liveness is None or not answered:
        why = evidence.quality.reason or "the run was trained without liveness"
        voice = f"the voice is {'' if known else 'not '}the enrolled speaker's"
        return Answer.ABSTAIN, f"Liveness cannot be told: {why}{f'; {voice}' if speaker else ''}."
    if _partly(evidence) or (evidence.segments and live):
        return Answer.NOT_LIVE, f"The words between {_spans(evidence.segments)} do not belong to the mouth."
    if not live:
        needed = calibration.needed("liveness", evidence.known)
        if needed is None:
            return (
                Answer.NOT_LIVE,
                f"The echo does not move with the words well enough: {_together(calibration, fused)}.",
            )
        return Answer.NOT_LIVE, (
            f"The echo does not move with the words: liveness score {evidence.liveness:.2f}, {needed:.2f} needed."
        )
    if speaker is None:
        return (
            Answer.ACCEPT,
            "The mouth moves with the words; whose voice it is was not asked, since the run knows none.",
        )
    if not known:
        needed = calibration.needed("speaker", evidence.known)
        if needed is None:
            return Answer.NOT_THE_SPEAKER, (
                f"A living mouth says these words, but hardly the enrolled speaker's: {_together(calibration, fused)}."
            )
        return Answer.NOT_THE_SPEAKER, (
            f"A living mouth says these words, but another person's: speaker score {evidence.speaker:.2f}, "
            f"{needed:.2f} needed."
        )
    return Answer.ACCEPT, "The enrolled speaker's voice, and the mouth moves with the words."


def _together(calibration: Calibration, fused: float | None) -> str:
    return f"voice and mouth together come to {fused or 0.0:.2f} nats, {calibration.threshold:.2f} needed"


def _partly(evidence: Evidence) -> bool:
    """Some of the recording does not belong; where nearly all does not, it is a replay and no splice."""
    length = sum(end - start for start, end in evidence.segments)
    return evidence.seconds is not None and 0 < length < WHOLE_SHARE * evidence.seconds


def _spans(segments: Sequence[tuple[float, float]]) -> str:
    return ", and between ".join(f"{start:.1f} s and {end:.1f} s" for start, end in segments)


def _confidence(answer: Answer, who: float | None, mouth: float | None) -> float | None:
    if mouth is None or answer is Answer.ABSTAIN:
        return None
    if answer is Answer.NOT_LIVE:
        return 1 - mouth
    if who is None:
        return mouth
    return mouth * who if answer is Answer.ACCEPT else 1 - who
