"""A running decision: several recordings of one person, one after another, until enough is known."""

import math
from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from vivavoce.evaluation.calibration.parts import DEFAULT_CORRELATION, Calibration
from vivavoce.evaluation.verdict import Answer, Ratios, Verdict

ANOTHER = "Say another sentence."


class Outcome(StrEnum):
    """What a sequential test says so far."""

    YES = "yes"
    NO = "no"
    OPEN = "open"


class SequentialTest(BaseModel):
    """Wald's sequential probability ratio test on log-likelihood ratios that are not independent.

    The test says yes once the joint ratio reaches ``1 / false_accept``, no once it falls to ``false_reject``. With
    ratios that are calibrated these are bounds for the error rates however often one asks (Wald, "Sequential tests of
    statistical hypotheses", Annals of Mathematical Statistics 16, 1945; Ville 1939).

    Recordings of one person share face, voice, phone and room. Where each pair of n ratios has the correlation r and
    they are normal, their joint log ratio is their sum divided by ``1 + (n - 1) r`` (the design effect of Kish, "Survey
    Sampling", 1965): n recordings are worth ``n / (1 + (n - 1) r)``, and never more than ``1 / r``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    false_accept: float = Field(default=0.01, gt=0, lt=0.5, description="target rate of attacks or others accepted")
    false_reject: float = Field(default=0.05, gt=0, lt=0.5, description="target rate of the user turned away")
    correlation: float = Field(
        default=DEFAULT_CORRELATION, ge=0, le=1, description="of the evidence of one speaker's recordings"
    )

    @property
    def upper(self) -> float:
        """The joint log ratio, nats, at which the answer is yes."""
        return -math.log(self.false_accept)

    @property
    def lower(self) -> float:
        """The joint log ratio, nats, at which the answer is no."""
        return math.log(self.false_reject)

    def joint(self, ratios: ArrayLike) -> NDArray[np.float64]:
        """Joint log ratio after each recording, of the same shape as ``ratios`` ``(..., recordings)``."""
        values = np.asarray(ratios, np.float64)
        number = np.arange(1, values.shape[-1] + 1)
        return np.cumsum(values, axis=-1) / (1 + (number - 1) * self.correlation)

    def outcome(self, ratios: Sequence[float]) -> tuple[Outcome, int]:
        """Say what the ratios of recordings in their order lead to, and after how many of them it was decided."""
        for number, value in enumerate(self.joint(ratios).tolist(), start=1):
            if value >= self.upper:
                return Outcome.YES, number
            if value <= self.lower:
                return Outcome.NO, number
        return Outcome.OPEN, len(ratios)


class RunningVerdict(BaseModel):
    """The verdict on several recordings together, and that on each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: Answer = Field(description="`abstain`: not decided yet")
    reason: str = Field(description="one sentence")
    advice: str | None = Field(description="one sentence to the user: what to do; None: nothing")
    used: int = Field(description="recordings up to the decision; all, where there is none")
    log_ratio: float = Field(description="that the enrolled speaker's living mouth speaks, joint, nats")
    needed: float = Field(description="joint log ratio at which the recordings are accepted, nats")
    recordings: list[Verdict]


def decide_together(
    verdicts: Sequence[Verdict], weights: Sequence[Ratios], calibration: Calibration, test: SequentialTest
) -> RunningVerdict:
    """Decide on recordings in their order; those behind the decision do not count.

    A recording counts by the *weaker* of its two answers: its ratio against "no living mouth" and its ratio against
    "another person" are both above that. Nobody gets in with somebody's voice in one recording and a living mouth in
    another, and the bound on false accepts holds for any mixture of attacks. Recordings without a liveness answer do
    not count, whoever speaks in them.

    Args:
        verdicts: of each recording.
        weights: log-likelihood ratios of each recording.
        calibration: what the run knows; a question that it does not know is not asked.
        test: error rates and correlation.

    Raises:
        ValueError: there is no recording.
    """
    if not verdicts or len(verdicts) != len(weights):
        raise ValueError("one verdict and its ratios are needed for each of one or more recordings")
    heard = [index for index, weight in enumerate(weights) if weight.liveness is not None]
    mouth = np.array([weights[index].liveness for index in heard], np.float64)
    who = np.array([weights[index].speaker for index in heard], np.float64) if calibration.speaker else None
    both = test.joint(mouth if who is None else np.minimum(mouth, who))
    mouths, voices = test.joint(mouth), None if who is None else test.joint(who)
    answer, used = Answer.ABSTAIN, len(verdicts)
    for place, index in enumerate(heard):
        answer = _answer(both[place], mouths[place], None if voices is None else voices[place], test)
        if answer is not Answer.ABSTAIN:
            used = index + 1
            break
    counted = sum(index < used for index in heard)
    return RunningVerdict(
        verdict=answer,
        reason=_REASONS[answer].format(used=counted, recordings=_recordings(counted)),
        advice=_advice(verdicts[-1]) if answer is Answer.ABSTAIN else None,
        used=used,
        log_ratio=float(both[counted - 1]) if counted else 0.0,
        needed=test.upper,
        recordings=list(verdicts),
    )


_REASONS = {
    Answer.ACCEPT: "{recordings} together are enough: the enrolled speaker's voice, the mouth moves with the words.",
    Answer.NOT_LIVE: "{recordings} together are enough: the echo does not move with the words.",
    Answer.NOT_THE_SPEAKER: "{recordings} together are enough: another person speaks.",
    Answer.ABSTAIN: "{recordings} that could be judged are not enough to be sure.",
}


def _answer(both: float, mouth: float, voice: float | None, test: SequentialTest) -> Answer:
    if both >= test.upper:
        return Answer.ACCEPT
    if mouth <= test.lower:
        return Answer.NOT_LIVE
    if voice is not None and voice <= test.lower:
        return Answer.NOT_THE_SPEAKER
    return Answer.ABSTAIN


def _advice(last: Verdict) -> str:
    """What is wrong with the last recording comes first: another one like it would not help."""
    return f"{last.advice} {ANOTHER}" if last.advice else ANOTHER


def _recordings(count: int) -> str:
    return {0: "No recordings", 1: "One recording"}.get(count, f"{count} recordings")
