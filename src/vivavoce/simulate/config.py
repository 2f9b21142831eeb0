"""The config of a simulated data set: how many recordings of each kind, in which conditions, by which physics."""

from pydantic import Field

from vivavoce.corpus.metadata import Kind
from vivavoce.simulate.articulation import ArticulationConfig
from vivavoce.simulate.device import DeviceConfig
from vivavoce.simulate.draws import Settings, Spread, spread
from vivavoce.simulate.loudspeaker import LoudspeakerConfig
from vivavoce.simulate.posture import PostureConfig
from vivavoce.simulate.room import RoomConfig
from vivavoce.simulate.scatter import ScatterConfig
from vivavoce.simulate.speech import SpeechConfig

# Raise when the same config and seed would give other samples, so that an old folder is not continued by new code.
SIMULATOR_VERSION = 1


class KindCounts(Settings):
    """Recordings of each kind per utterance; 0.5 means half of the utterances, chosen by the seed."""

    live: float = Field(default=1.0, ge=0, le=100)
    replay_stand: float = Field(default=0.5, ge=0, le=100)
    replay_handheld: float = Field(default=0.5, ge=0, le=100)
    swapped_mouth: float = Field(default=0.5, ge=0, le=100)
    shifted: float = Field(default=0.25, ge=0, le=100)
    recorded_ultrasound: float = Field(default=0.1, ge=0, le=100)
    probe_absent: float = Field(default=0.1, ge=0, le=100)

    def items(self) -> list[tuple[Kind, float]]:
        """Kinds with their counts, those of none left out."""
        return [(Kind(name), count) for name, count in self.model_dump().items() if count > 0]


class ProbeConfig(Settings):
    """The probe: a new draw for every session."""

    tones: int = Field(default=8, ge=1, le=10, description="number of tones between 18 and 20 kHz")


class AttackConfig(Settings):
    """How attackers go about it."""

    same_speaker_share: float = Field(
        default=0.5, ge=0, le=1, description="share of swapped mouths that belong to the speaker of the voice"
    )
    mouth_delay_s: Spread = Field(
        default=spread(-0.1, 0.02, 0.15), description="a swapped mouth begins this much after the replayed voice, s"
    )
    shift_ms: tuple[float, float] = Field(
        default=(120.0, 1000.0), description="least and most shift of a mouth, ms, either sign (DESIGN §6)"
    )
    recorder_distance_m: Spread = Field(
        default=spread(0.05, 0.2, 1.0), description="from the victim to the recorder of an attacker, m"
    )
    second_clock_ppm: tuple[float, float] = Field(
        default=(20.0, 50.0), description="clock error of a second device, ppm, either sign (DESIGN §5)"
    )


class SimulationConfig(Settings):
    """A data set of simulated recordings."""

    seed: int = Field(default=0, ge=0, description="one seed for everything that is drawn")
    kinds: KindCounts = KindCounts()
    sessions_per_speaker: int = Field(default=2, ge=1, le=100, description="sessions, where rows name none")
    devices: int = Field(default=8, ge=1, le=10_000, description="phones in the pool; a speaker owns one")
    stand_share: float = Field(default=0.5, ge=0, le=1, description="share of sessions with the phone on a stand")
    distance_cm: Spread = Field(default=spread(4, 10, 40), description="from mouth to phone, cm; a number fixes it")
    distance_jitter: float = Field(
        default=0.05, ge=0, le=0.5, description="log-normal deviation of the distance within a session"
    )
    speech: SpeechConfig = SpeechConfig()
    articulation: ArticulationConfig = ArticulationConfig()
    scatter: ScatterConfig = ScatterConfig()
    posture: PostureConfig = PostureConfig()
    room: RoomConfig = RoomConfig()
    device: DeviceConfig = DeviceConfig()
    loudspeaker: LoudspeakerConfig = LoudspeakerConfig()
    probe: ProbeConfig = ProbeConfig()
    attack: AttackConfig = AttackConfig()
