"""The names and types of our metadata; in a Lhotse manifest they live in ``supervision.custom``."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Kind(StrEnum):
    """What a recording holds: a live speaker, or one attack species."""

    LIVE = "live"
    REPLAY_STAND = "replay_stand"
    REPLAY_HANDHELD = "replay_handheld"
    REPLAY_MOVING = "replay_moving"
    SWAPPED_MOUTH = "swapped_mouth"
    SHIFTED = "shifted"
    MOUTHING = "mouthing"
    RECORDED_ULTRASOUND = "recorded_ultrasound"
    TTS = "tts"
    PROBE_ABSENT = "probe_absent"
    PROBE_JAMMED = "probe_jammed"

    @property
    def is_spoof(self) -> bool:
        """An attack that liveness must reject (where the probe can be read at all)."""
        return self not in (Kind.LIVE, Kind.PROBE_ABSENT, Kind.PROBE_JAMMED)

    @property
    def readable(self) -> bool:
        """The probe can be read, so that a liveness answer is due rather than an abstention."""
        return self not in (Kind.PROBE_ABSENT, Kind.PROBE_JAMMED)


class Metadata(BaseModel):
    """Our metadata of one recording; any further column of a table is kept as an extra."""

    model_config = ConfigDict(extra="allow", frozen=True)

    session: str | None = None
    kind: Kind = Kind.LIVE
    phrase: str | None = None
    device: str | None = None
    sex: str | None = None
    posture: str | None = Field(default=None, description="`stand` or `handheld`")
    distance_cm: float | None = Field(default=None, gt=0)
    probe_hz: tuple[float, ...] | None = Field(
        default=None, description="tones in Hz; empty: known to play none; None: unknown, detect them"
    )
