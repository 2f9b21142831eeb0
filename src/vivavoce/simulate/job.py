"""One recording to make, as planned: all that a worker needs to make it alone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vivavoce.corpus.metadata import Kind
from vivavoce.simulate.attacks.take import Session, path_of_phone
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.loudspeaker import SizeName
from vivavoce.simulate.motion import Motion
from vivavoce.simulate.phonemes import Phone
from vivavoce.simulate.posture import PhonePath, Posture
from vivavoce.simulate.recording import MARGIN, grid_for
from vivavoce.simulate.speech import RATE_HZ


@dataclass(frozen=True)
class Source:
    """A recorded voice: a span of one channel of a sound file."""

    path: Path
    channel: int
    start_s: float
    duration_s: float


@dataclass(frozen=True)
class Mouth:
    """Whose mouth moves and by what: phones in time, or a measured motion that takes their place."""

    speaker: str
    phones: tuple[Phone, ...]
    duration_s: float
    measured: Motion | None = None


@dataclass(frozen=True)
class Job:
    """One recording to make; ``delay_s``: the mouth is that much behind the voice.

    ``loudspeaker``, ``earlier``, ``other`` (a second voice), ``splices``, ``text`` and ``sex`` are as in `Take`.
    """

    id: str
    kind: Kind
    target: Path
    source: Source
    session: Session
    posture: Posture
    distance_m: float
    mouth: Mouth
    delay_s: float = 0.0
    loudspeaker: SizeName | None = None
    earlier: Session | None = None
    other: Source | None = None
    splices: tuple[tuple[float, float], ...] = ()
    text: str | None = None
    sex: str | None = None

    @property
    def samples(self) -> int:
        """Length of the recording at 48 kHz."""
        return round(self.source.duration_s * RATE_HZ)

    @property
    def acceleration(self) -> Path:
        """Where the phone's acceleration is written, if it is wanted."""
        return self.target.with_suffix(".accel.npz")

    @property
    def mouth_motion(self) -> Path:
        """Where the mouth's motion is written, if it is wanted."""
        return self.target.with_suffix(".mouth.npz")

    def shows_mouth(self, config: SimulationConfig) -> bool:
        """Whether the mouth's motion is written: of live recordings, where it belongs to the voice."""
        return config.mouth_motion and self.kind is Kind.LIVE

    def files(self, config: SimulationConfig) -> list[Path]:
        """All files of the recording."""
        accelerations = [self.acceleration] if config.accelerometer else []
        return [self.target, *accelerations, *([self.mouth_motion] if self.shows_mouth(config) else [])]


def phone_path_of(job: Job, config: SimulationConfig) -> PhonePath:
    """Where the phone of a job is and how it moves, on the recording's whole grid."""
    frames = grid_for(job.samples, 0).frames
    return path_of_phone(config.seed, job.id, job.posture, job.distance_m, config, frames)


def true_phone_motion(job: Job, config: SimulationConfig) -> np.ndarray:
    """The phone's own motion against what stands before it: (frames, 3) in m, at `recording.FACTOR_RATE_HZ`.

    Frame 0 is at the recording's first sample. Axes: along the line of sight, positive away from the mouth; up; to the
    speaker's left. Motion that phone and head share (at the ear) is left out: it changes no echo of the face.
    """
    return phone_path_of(job, config).own_m[MARGIN:-MARGIN]
