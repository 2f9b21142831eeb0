"""How mouths move: the config of the articulation, one speaker's habits, and what a mouth is asked to do."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

# Which clock drives a channel: jaw, lips and tongue are timed apart (Browman & Goldstein 1992: tiers of a score).
GROUP = np.array([0, 1, 1, 1, 2, 2])


class ArticulationConfig(BaseModel):
    """How differently people, and one person's utterances, move the mouth; calibrated to DESIGN §5 in benchmarks/."""

    model_config = ConfigDict(extra="forbid")

    family: Literal["table", "features", "tasks"] = Field(
        default="table",
        description="what moves the mouth: a table of targets, rules from features, or springs driven by gestures",
    )
    size: float = Field(default=1.0, gt=0, description="extent of all movements; 1 = the millimetres of the table")
    gain_sd: float = Field(default=0.18, ge=0, description="speakers' extent of movement, lognormal sd, a channel each")
    offset_sd_mm: float = Field(default=0.6, ge=0, description="speakers' posture, mm, a channel each")
    phoneme_sd: float = Field(default=0.12, ge=0, description="speaker's own target of a phoneme, of a channel's range")
    token_sd: float = Field(default=0.12, ge=0, description="scatter from token to token, of a channel's range")
    width_ms: tuple[float, float] = Field(default=(15.0, 26.0), description="reach of a gesture past its phoneme, ms")
    width_sd: float = Field(default=0.15, ge=0, description="scatter of that reach between gestures, lognormal sd")
    lead_ms: tuple[float, float] = Field(
        default=(-14.0, 18.0), description="gestures before their sound, ms, a speaker"
    )
    timing_sd_ms: float = Field(default=6.0, ge=0, description="scatter of a gesture's time, ms")
    onset_lead_ms: tuple[float, float] = Field(
        default=(100.0, 300.0), description="first gesture before speech begins, ms (DESIGN §5)"
    )
    residual_mm: float = Field(default=1.3, ge=0, description="movement that is no speech (breath, drift), mm RMS")
    residual_hz: tuple[float, float] = Field(default=(0.3, 3.0), description="band of that movement, Hz")
    smooth_ms: float = Field(default=9.0, ge=0, description="sd of the Gaussian that keeps movements below 10 Hz, ms")

    @field_validator("width_ms", "lead_ms", "onset_lead_ms", "residual_hz")
    @classmethod
    def _in_order(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] > bounds[1]:
            raise ValueError(f"the lower bound comes first, but {bounds[0]:g} > {bounds[1]:g}")
        return bounds

    @field_validator("width_ms", "residual_hz")
    @classmethod
    def _positive(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] <= 0 or bounds[1] > 1000:
            raise ValueError(f"both bounds lie above 0 and up to 1000, but they are {bounds[0]:g} and {bounds[1]:g}")
        return bounds


@dataclass(frozen=True)
class SpeakerArticulation:
    """One speaker's way of moving: targets (phonemes, channels) in mm and the habits of timing."""

    targets_mm: np.ndarray
    span_mm: np.ndarray  # (channels,) scale of the token scatter
    width_s: np.ndarray  # (groups,) jaw, lips, tongue
    lead_s: np.ndarray  # (groups,)
    upper_share: float  # of the lips' opening, done by the upper lip
    head_scale: float
    asymmetry: float
    config: ArticulationConfig


@dataclass(frozen=True)
class Gestures:
    """What a mouth is asked to do: row of the phoneme, start and end in s (gestures,), targets (gestures, channels)."""

    index: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray
    targets_mm: np.ndarray
