"""What a stress test found: every figure with its interval, ready for JSON and for the page."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vivavoce.evaluation.measures import Measure
from vivavoce.stress.config import CurveName
from vivavoce.stress.curves import CURVES, HOW_WORDS, Curve, How

# The figures of each level, by key: the ones on the page, and how they are called there.
SHOWN = {
    "speaker_eer": "Speaker EER",
    "liveness_eer": "Liveness EER",
    "a_dcf": "min a-DCF",
    "act_a_dcf": "a-DCF at the threshold",
}
MISSING = {"live_abstained": "No answer, live", "attack_abstained": "No answer, attacks"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Change(_Part):
    """How much a figure differs from that of the curve's first level, on the same speakers, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def worse(self) -> bool:
        """Whether it is higher by more than chance."""
        return self.low > 0


class Level(_Part):
    """One level of a curve.

    Error rates of liveness are over the recordings that got an answer; in the a-DCF a recording without one is
    rejected.
    """

    name: str = Field(description="with its unit")
    value: float | None = Field(description="None: the level is no number, or the recordings as they are")
    recordings: int = Field(description="test recordings")
    measures: dict[str, Measure] = Field(
        description="by key: those of SHOWN, liveness_eer/<species>, live_abstained, attack_abstained"
    )
    changes: dict[str, Change] = Field(default={}, description="against the first level; none where levels are groups")
    reasons: dict[str, int] = Field(default={}, description="why a liveness answer is missing: test recordings")

    def figure(self, key: str) -> float | None:
        """The value of a measure; None where there is none."""
        return self.measures[key].value if key in self.measures else None


class CurveResult(_Part):
    """One curve; of those that are not groups, the first level is what the others are compared with."""

    name: CurveName
    how: How
    levels: list[Level]
    sentences: list[str] = Field(default=[], description="what the curve says, in plain words")

    @property
    def words(self) -> Curve:
        """What the curve is."""
        return CURVES[self.name]

    @property
    def how_words(self) -> str:
        """How its levels were brought about."""
        return HOW_WORDS[self.how]

    def has(self, key: str) -> bool:
        """Whether any level has this measure."""
        return any(key in level.measures for level in self.levels)


class StressResult(_Part):
    """One stress test of one run."""

    run_id: str
    date: str = Field(description="ISO 8601, with the time zone")
    command: str = Field(description="the command that gives this result again")
    data_name: str = Field(description="the manifest tested")
    simulated: bool = Field(description="the ultrasound band was simulated, not recorded")
    speakers: int
    recordings: int = Field(description="test recordings")
    trials: dict[str, int] = Field(description="label: trials; empty where the run knows no speakers")
    enrolment: int | None = Field(description="recordings a speaker is enrolled with")
    curves: list[CurveResult]
    notes: list[str] = Field(default=[], description="sentences a reader should know")
    config: dict[str, Any] = Field(description="the settings of the stress test")
    hashes: dict[str, str] = Field(default={}, description="what: digest")
    versions: dict[str, str] = Field(default={}, description="package: version")
    seconds: float = Field(description="what the test took")
