"""The settings of a stress test: which curves, at which levels, on how many recordings."""

from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vivavoce.audio import MAX_DURATION_S, MAX_RATE_HZ, MIN_RATE_HZ
from vivavoce.evaluation.bootstrap import RESAMPLES
from vivavoce.features.extractor import SHORTEST_S
from vivavoce.simulate.config import KindCounts, SimulationConfig
from vivavoce.simulate.posture import Posture
from vivavoce.stress.codecs import Codec
from vivavoce.stress.noise import MadeNoise

Applied = Literal["snr", "duration", "rate", "codec", "band", "gain"]
Scene = Literal["distance", "sway", "posture", "rolloff", "device"]
CurveName = Applied | Scene
APPLIED: tuple[Applied, ...] = get_args(Applied)
SCENES: tuple[Scene, ...] = get_args(Scene)
CURVE_NAMES: tuple[CurveName, ...] = (*APPLIED, *SCENES)
# Every species that training meets, as often as half of the live recordings.
SIMULATED_KINDS = KindCounts(replay_stand=0.5, replay_handheld=0.5, swapped_mouth=0.5, shifted=0.5, probe_jammed=0)


def _different(levels: tuple[float | str, ...]) -> tuple[float | str, ...]:
    if len(set(levels)) < len(levels):
        raise ValueError("each level is given once")
    return levels


def _codecs(levels: tuple[str, ...]) -> tuple[str, ...]:
    for level in levels:
        Codec.named(level)
    return levels


def _bands(levels: tuple[str, ...]) -> tuple[str, ...]:
    for level in levels:
        band_edges(level)
    return levels


def band_edges(text: str) -> tuple[float, float]:
    """Read ``300-3400``: the lower and the upper edge in Hz; 0 below leaves the low end as it is.

    Raises:
        ValueError: these are no two rising frequencies of the voice band.
    """
    low, _, high = text.partition("-")
    try:
        edges = float(low), float(high)
    except ValueError:
        raise ValueError(f"a band is written LOW-HIGH in Hz, such as 300-3400, not {text}") from None
    if not 0 <= edges[0] < edges[1] <= 8_000:
        raise ValueError(f"the edges of a band rise from 0 Hz to 8000 Hz at most, which {text} does not")
    return edges


Unique = AfterValidator(_different)
SnrDb = Annotated[float, Field(ge=-30, le=80)]
Seconds = Annotated[float, Field(ge=SHORTEST_S, le=MAX_DURATION_S)]
Rate = Annotated[int, Field(ge=MIN_RATE_HZ, le=MAX_RATE_HZ)]
Decibels = Annotated[float, Field(ge=-90, le=60)]
Centimetres = Annotated[float, Field(ge=2, le=200)]
Millimetres = Annotated[float, Field(gt=0, le=50)]
DbPerKhz = Annotated[float, Field(ge=0, le=40)]


class StressConfig(BaseModel):
    """What is made worse, and how far. Levels are put in order, mild ones first, where they are numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    curves: tuple[CurveName, ...] | None = Field(
        default=None, min_length=1, description="which curves; None: all that the recordings allow"
    )
    snr: Annotated[tuple[SnrDb, ...], Field(min_length=1), Unique] = Field(
        default=(30.0, 20.0, 10.0, 5.0, 0.0), description="signal-to-noise ratios of the voice band, dB"
    )
    duration: Annotated[tuple[Seconds, ...], Field(min_length=1), Unique] = Field(
        default=(4.0, 3.0, 2.0, 1.5, 1.0), description="lengths of the middle that is kept, s"
    )
    rate: Annotated[tuple[Rate, ...], Field(min_length=1), Unique] = Field(
        default=(44_100, 32_000, 16_000, 8_000), description="sample rates, Hz"
    )
    codec: Annotated[tuple[str, ...], Field(min_length=1), Unique, AfterValidator(_codecs)] = Field(
        default=("mp3-128", "mp3-64", "opus-64", "opus-24", "vorbis-5", "alaw"),
        description="opus-KBPS, mp3-KBPS, vorbis-QUALITY, alaw, mulaw, gsm",
    )
    band: Annotated[tuple[str, ...], Field(min_length=1), Unique, AfterValidator(_bands)] = Field(
        default=("50-7000", "0-4000", "300-3400", "0-2000"), description="what is left of the voice band, Hz"
    )
    gain: Annotated[tuple[Decibels, ...], Field(min_length=1), Unique] = Field(
        default=(-40.0, -20.0, 10.0, 20.0, 30.0), description="changes of the recording level, dB"
    )
    distance: Annotated[tuple[Centimetres, ...], Field(min_length=2), Unique] = Field(
        default=(5.0, 10.0, 20.0, 40.0), description="from mouth to phone, cm"
    )
    sway: Annotated[tuple[Millimetres, ...], Field(min_length=2), Unique] = Field(
        default=(0.1, 0.5, 1.0, 2.0, 4.0), description="the phone's own motion, mm RMS"
    )
    posture: Annotated[tuple[Posture, ...], Field(min_length=2), Unique] = Field(
        default=("stand", "table", "handheld", "ear"), description="how the phone is held"
    )
    rolloff: Annotated[tuple[DbPerKhz, ...], Field(min_length=2), Unique] = Field(
        default=(0.0, 4.0, 8.0, 12.0), description="fall of the phone's response above 17 kHz, dB/kHz; simulated only"
    )
    noise: Path | None = Field(default=None, description="folder of noise recordings; None: made noise")
    made_noise: MadeNoise = Field(default="pink", description="what is made where no folder is given")
    degrade_enrolment: bool = Field(default=False, description="make the enrolment recordings worse, too")
    max_recordings: int | None = Field(
        default=None, ge=10, description="test recordings at most, drawn in turn from each speaker and kind"
    )
    simulation: SimulationConfig = Field(
        default=SimulationConfig.model_validate(
            {
                "kinds": SIMULATED_KINDS.model_dump(),
                **{"distance_cm": 10, "distance_jitter": 0, "postures": "stand", "pools": {"half": "unseen"}},
            }
        ),
        description="what stays the same where recordings are simulated anew",
    )
    resamples: int = Field(default=RESAMPLES, ge=100, le=100_000, description="of the speakers, for the intervals")
    seed: int = Field(default=0, ge=0, description="of trials, noise, draws and resamples")
    workers: int = Field(default=2, ge=1, description="processes")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.noise is not None and "made_noise" in self.model_fields_set:
            raise ValueError("made_noise belongs to made noise; leave out either it or noise")
        if self.curves is not None and len(set(self.curves)) < len(self.curves):
            raise ValueError("each curve is named once")
        return self
