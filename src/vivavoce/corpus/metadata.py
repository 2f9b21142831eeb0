"""The names and types of our metadata; in a Lhotse manifest they live in ``supervision.custom``."""

import re
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator


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
    SPLICED = "spliced"
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

    @property
    def is_still(self) -> bool:
        """Nothing moves before the phone, nor the phone itself, while the words are heard."""
        return self is Kind.REPLAY_STAND


# Species that training does not meet by default, so that a test shows what an unknown attack would do.
HELD_OUT_KINDS = (Kind.REPLAY_MOVING, Kind.MOUTHING, Kind.TTS, Kind.SPLICED)
SEEN_KINDS = tuple(kind for kind in Kind if kind not in HELD_OUT_KINDS)

# Columns, as corpora name them, that describe a sound file rather than who says what in it; letters and digits only.
FILE_PROPERTY = re.compile(
    r"""
    sr | fs | (sample|sampling|frame|bit)rate(hz|khz)?
    | (seconds|secs|duration|dur|length|start|end|offset|onset)(s|sec|ms)?
    | (n|num)?(samples|frames|channels|bits|bytes) | bitdepth | bitspersample
    | (file|audio|wav|flac)(name|path|size|format|length|duration|id)? | path | url
    | encoding | codec | format | subtype | container | extension
    | md5(sum)? | sha1 | sha256 | hash | checksum
    | (snr|peak|rms|lufs|loudness)(db|dbfs)?
    """,
    re.VERBOSE,
)


class Metadata(BaseModel):
    """Our metadata of one recording; any further column of a table is kept as an extra."""

    model_config = ConfigDict(extra="allow", frozen=True)

    session: str | None = None
    kind: Kind = Kind.LIVE
    phrase: str | None = None
    device: str | None = None
    sex: str | None = None
    posture: str | None = Field(default=None, description="`stand`, `table`, `handheld` or `ear`")
    distance_cm: float | None = Field(default=None, gt=0)
    probe_hz: tuple[float, ...] | None = Field(
        default=None, description="tones in Hz; empty: known to play none; None: unknown, detect them"
    )
    room: str | None = None
    loudspeaker: str | None = Field(default=None, description="size of the loudspeaker that played the voice")
    sway_mm: float | None = Field(
        default=None, ge=0, description="the phone's own motion toward the mouth, mm RMS over the recording"
    )
    splices: tuple[tuple[float, float], ...] | None = Field(
        default=None,
        description="spans in s from the recording's first sample in which voice and mouth do not belong together",
    )
    accelerometer: str | None = Field(
        default=None, description="file of the phone's acceleration, beside the recording's sound file"
    )
    mouth_motion: str | None = Field(
        default=None, description="file of the mouth's motion, beside the sound file; the simulator can write it"
    )

    @field_validator("splices", mode="before")
    @classmethod
    def _spans_of_a_table(cls, value: Any) -> Any:
        """Read spans as a table's cell has them: ``0.52-1.3 2-2.7``."""
        return [span.split("-") for span in value.split()] if isinstance(value, str) else value

    def of_what_is_said(self) -> dict[str, Any]:
        """Give the values that stay true of another recording made from this one: all but the file's properties."""
        extras = self.model_extra or {}
        of_file = {name for name in extras if FILE_PROPERTY.fullmatch(re.sub(r"[\W_]", "", name.lower()))}
        return self.model_dump(exclude=of_file)
