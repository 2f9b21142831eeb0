"""What an evaluation found: everything that `--json` prints and the report shows."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.bootstrap import Interval
from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.trials.table import NONTARGET, TARGET
from vivavoce.files import atomic_path

VERDICTS = ("accept", "not_the_speaker", "not_live", "abstain")
POOLED = "all"

# Every kind of truth, in the order of the report, in words.
TRUTHS = {
    TARGET: "the user, live",
    NONTARGET: "another person, live",
    Kind.REPLAY_STAND.value: "replay, phone on a stand",
    Kind.REPLAY_HANDHELD.value: "replay, phone in the hand",
    Kind.REPLAY_MOVING.value: "replay, loudspeaker moved",
    Kind.SWAPPED_MOUTH.value: "another mouth moving",
    Kind.SHIFTED.value: "right mouth, wrong time",
    Kind.MOUTHING.value: "attacker mouths along",
    Kind.RECORDED_ULTRASOUND.value: "replay with its ultrasound",
    Kind.TTS.value: "synthetic voice",
    Kind.SPLICED.value: "part of the words replaced",
    Kind.PROBE_ABSENT.value: "no probe",
    Kind.PROBE_JAMMED.value: "probe jammed",
}


def percent(share: float) -> str:
    """Write a share (0–1) as a percentage with two or three significant digits."""
    value = 100 * share
    if value in (0, 100):
        return f"{value:.0f} %"
    # Rounding must not turn "nearly all" into "all".
    text = f"{value:.1f}" if 1 <= value < 99.95 else f"{value:.2g}" if value < 1 else f"{min(value, 99.99):.2f}"
    return f"{text} %"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Estimate(_Part):
    """A rate (0–1) with its 95 % interval; no bounds where fewer than two speakers leave nothing to resample."""

    value: float = Field(ge=0, le=1)
    low: float | None = Field(default=None, ge=0, le=1)
    high: float | None = Field(default=None, ge=0, le=1)
    method: str | None = Field(default=None, description="how the interval was found")

    @classmethod
    def of(cls, value: float, interval: Interval | None) -> "Estimate":
        """Join a rate and its interval."""
        if interval is None:
            return cls(value=value)
        return cls(value=value, low=interval.low, high=interval.high, method=interval.method)


class Rate(Estimate):
    """An error rate at a fixed threshold, with its counts."""

    errors: int = Field(ge=0)
    trials: int = Field(gt=0)


class MinDcf(_Part):
    """A normalised minimum detection cost and its parameters."""

    value: float
    threshold: float
    p_target: float
    c_miss: float
    c_fa: float


class DataCount(_Part):
    """How much data of one kind was evaluated."""

    kind: str
    recordings: int
    speakers: int
    hours: float


class SpeakerResult(_Part):
    """Speaker verification over target and non-target trials."""

    n_target: int
    n_nontarget: int
    n_speakers: int
    eer: Estimate
    eer_threshold: float = Field(description="where the equal error rate lies on these trials; not used to decide")
    min_dcf: MinDcf
    threshold: float | None = Field(description="of the validation split; None: the run has none")
    miss: Rate | None = Field(description="targets rejected at that threshold")
    false_alarm: Rate | None = Field(description="non-targets accepted at that threshold")


class LivenessResult(_Part):
    """Live recordings against one attack species (or all pooled), in one condition or in all.

    Error rates are over the recordings that got a score; those without one are counted as abstentions
    (non-response rates in ISO/IEC 30107-3).
    """

    species: str
    posture: str | None = Field(default=None, description="None: all")
    distance: str | None = Field(default=None, description="a bin of the distance from mouth to phone; None: all")
    n_live: int = Field(description="live recordings with a score")
    n_spoof: int = Field(description="attack recordings with a score")
    live_abstained: int
    spoof_abstained: int
    eer: Estimate
    threshold: float | None = Field(description="of the validation split; None: the run has none")
    apcer: Rate | None = Field(description="attacks taken for live at that threshold (ISO/IEC 30107-3)")
    bpcer: Rate | None = Field(description="live recordings taken for an attack at that threshold (ISO/IEC 30107-3)")
    success: Rate | None = Field(
        default=None, description="attacks taken for live, of all there are: one that gets no answer does not succeed"
    )


class VerdictRow(_Part):
    """How often recordings of one truth got each verdict."""

    truth: str
    counts: dict[str, int] = Field(description="by verdict: accept, not_the_speaker, not_live, abstain")

    @property
    def total(self) -> int:
        """Recordings of this truth."""
        return sum(self.counts.values())

    def share(self, verdict: str) -> float:
        """The share (0–1) of recordings with this verdict."""
        return self.counts.get(verdict, 0) / self.total if self.total else 0.0


class AbstentionRow(_Part):
    """How many recordings of one kind got no liveness answer, and why."""

    kind: str
    recordings: int = Field(gt=0, description="of this kind, with an answer or without")
    reasons: dict[str, int] = Field(description="recordings by reason in a word or two; see `signal.quality.Reason`")

    @property
    def share(self) -> float:
        """The share (0–1) of recordings without an answer."""
        return sum(self.reasons.values()) / self.recordings


class Demonstration(_Part):
    """One recording shown to the finished system."""

    file: str
    truth: str
    verdict: str
    expected: str | None = None
    speaker_score: float | None = None
    liveness_score: float | None = None
    reason: str = ""


class Breakdown(_Part):
    """The figures of the recordings that share one property, such as a sex, a phone or a distance."""

    factor: str = Field(description="sex, device, distance, duration, noise, posture, non-targets")
    level: str = Field(description="the value of that property, in words")
    trials: dict[str, int] = Field(description="class (target, nontarget, spoof): trials")
    recordings: int
    speaker_eer: Measure | None = None
    liveness_eer: Measure | None = None
    false_rejects: Measure | None = Field(default=None, description="of the user's trials, no answer included")
    false_accepts: Measure | None = Field(default=None, description="of other people's trials")
    attacks_accepted: Measure | None = None
    abstained: Measure | None = Field(default=None, description="of all recordings with a readable probe")


class ReliabilityBin(_Part):
    """What a group of recordings was said to be, and what it was."""

    predicted: float = Field(description="mean probability, at even odds")
    observed: float = Field(description="share that was true, both classes weighted alike")
    low: float
    high: float
    count: int


class Reliability(_Part):
    """How far the probabilities of one question can be taken at their word."""

    part: str = Field(description="speaker, liveness or fused")
    cllr: Measure
    min_cllr: Measure
    bins: list[ReliabilityBin]


class Decision(_Part):
    """How scores become a verdict, and the risk that was stated when the thresholds were set."""

    rule: str = Field(description="one sentence")
    thresholds: dict[str, float] = Field(description="score: accepted from here upward")
    stated: list[Measure] = Field(default=[], description="error rates on the validation split, when it was set")
    parameters: dict[str, float] = Field(default={}, description="priors, costs, the false-accept rate asked for")


class WorstError(_Part):
    """One of the decisions that went wrong by the widest margin."""

    truth: str
    verdict: str
    recording: str
    enrolled: str | None = None
    margin: float = Field(description="how far the deciding score lay on the wrong side of its threshold")
    speaker_score: float | None = None
    liveness_score: float | None = None
    reason: str = ""
    conditions: dict[str, str] = {}
    picture: str = Field(default="", exclude=True, repr=False, description="an SVG of both bands")
    audio: str = Field(default="", exclude=True, repr=False, description="a data URI of the voice band")


@dataclass(frozen=True)
class Scores:
    """The raw scores behind the figures; recordings that got no score are left out.

    ``liveness`` maps ``live`` and each attack species to its scores of recordings; ``system`` maps ``target``,
    ``nontarget`` and each species to the deciding scores of trials.
    """

    speaker_target: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    speaker_nontarget: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    liveness: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    system: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def with_system(self, system: dict[str, NDArray[np.float64]]) -> "Scores":
        """The same with the deciding scores of trials by label; labels without a trial are left out."""
        return replace(self, system={label: values for label, values in system.items() if len(values)})


class EvaluationResult(BaseModel):
    """One evaluation of one run."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    run_id: str
    date: str = Field(description="ISO 8601, with the time zone")
    command: str = Field(description="the command that gives this result again")
    data_name: str = Field(description="the manifest evaluated")
    simulated: bool = Field(description="the ultrasound band was simulated, not recorded")
    enrolment: int | None = Field(default=None, description="recordings a speaker is enrolled with")
    data: list[DataCount]
    speaker: SpeakerResult | None = None
    liveness: list[LivenessResult] = Field(default=[], description="a row a species")
    liveness_pooled: LivenessResult | None = None
    conditions: list[LivenessResult] = Field(default=[], description="a row a species, posture and distance")
    abstentions: list[AbstentionRow] = Field(default=[], description="a row a kind")
    verdicts: list[VerdictRow] = []
    demonstrations: list[Demonstration] = []
    speaker_measures: list[Measure] = Field(default=[], description="of the voice alone: target and non-target trials")
    liveness_measures: list[Measure] = Field(default=[], description="ISO/IEC 30107-3, by species and pooled")
    system_measures: list[Measure] = Field(default=[], description="of the whole system: all trials, one decision")
    breakdowns: list[Breakdown] = []
    reliability: list[Reliability] = []
    decision: Decision | None = None
    worst: list[WorstError] = []
    data_card: dict[str, dict[str, str]] = Field(default={}, description="heading: what: value, of the recordings")
    model_card: dict[str, dict[str, str]] = Field(default={}, description="heading: what: value, of the run")
    config: dict[str, Any] = Field(default={}, description="the experiment")
    versions: dict[str, str] = Field(default={}, description="package: version")
    hashes: dict[str, str] = Field(default={}, description="what: digest, of the manifest, the checkpoint and so on")
    timings_s: dict[str, float] = Field(default={}, description="step: seconds")
    out_of_range: dict[str, float] = Field(
        default={}, description="stream: share of its values outside the training range, where min-max normalised"
    )
    notes: list[str] = Field(default=[], description="sentences a reader should know")
    scores: Scores = Field(default_factory=Scores, exclude=True, repr=False)

    def summary(self) -> dict[str, Any]:
        """Give everything but the raw scores, ready for JSON."""
        return self.model_dump(mode="json")

    def score_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Give the raw scores by name: ``speaker_<class>``, ``liveness_<kind>`` and ``system_<label>``."""
        arrays = {"speaker_target": self.scores.speaker_target, "speaker_nontarget": self.scores.speaker_nontarget}
        arrays |= {f"liveness_{kind}": values for kind, values in self.scores.liveness.items()}
        return arrays | {f"system_{label}": values for label, values in self.scores.system.items()}

    def write_scores(self, path: Path | str) -> None:
        """Write the raw scores as a NumPy ``.npz`` archive, atomically."""
        arrays: dict[str, Any] = dict(self.score_arrays())
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
