"""The config of a simulated data set: how many recordings of each kind, in which conditions, by which physics."""

from pydantic import Field

from vivavoce.corpus.metadata import Kind
from vivavoce.simulate.articulation import ArticulationConfig
from vivavoce.simulate.device import DeviceConfig
from vivavoce.simulate.draws import Settings, Spread, spread
from vivavoce.simulate.pools import PoolConfig
from vivavoce.simulate.posture import PostureConfig, PostureShares
from vivavoce.simulate.room import RoomConfig
from vivavoce.simulate.scatter import ScatterConfig
from vivavoce.simulate.speech import SpeechConfig

# Raise when the same config and seed would give other samples, so that an old folder is not continued by new code.
SIMULATOR_VERSION = 2


class KindCounts(Settings):
    """Recordings of each kind per utterance; 0.5 means half of the utterances, chosen by the seed.

    Kinds that are held out of training (`corpus.metadata.HELD_OUT_KINDS`) are 0 unless asked for.
    """

    live: float = Field(default=1.0, ge=0, le=100)
    replay_stand: float = Field(default=0.5, ge=0, le=100)
    replay_handheld: float = Field(default=0.5, ge=0, le=100)
    replay_moving: float = Field(default=0.0, ge=0, le=100)
    swapped_mouth: float = Field(default=0.5, ge=0, le=100)
    shifted: float = Field(default=0.25, ge=0, le=100)
    mouthing: float = Field(default=0.0, ge=0, le=100)
    recorded_ultrasound: float = Field(default=0.1, ge=0, le=100)
    tts: float = Field(default=0.0, ge=0, le=100)
    spliced: float = Field(default=0.0, ge=0, le=100)
    probe_absent: float = Field(default=0.1, ge=0, le=100)
    probe_jammed: float = Field(default=0.1, ge=0, le=100)

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
    recorder_noise_db: Spread = Field(
        default=spread(-75, -65, -55), description="noise of an attacker's recorder against the voice it hears, dB"
    )
    second_clock_ppm: tuple[float, float] = Field(
        default=(20.0, 50.0), description="clock error of a second device, ppm, either sign (DESIGN §5)"
    )
    wave_cm: Spread = Field(
        default=spread(1.0, 3.0, 6.0), description="extent of a moved loudspeaker's path, cm RMS an axis"
    )
    wave_hz: Spread = Field(default=spread(0.5, 1.5, 4.0), description="how often a moved loudspeaker goes back, Hz")
    wave_with_voice_share: float = Field(
        default=0.25, ge=0, le=1, description="share of moved loudspeakers whose motion loosely follows the loudness"
    )
    mouthing_lag_ms: Spread = Field(
        default=spread(50, 150, 300), description="an attacker's mouth follows the voice by this much, ms"
    )
    mouthing_jitter_ms: Spread = Field(
        default=spread(20, 40, 60), description="scatter of each of its phones in time, ms, standard deviation"
    )
    mouthing_drift_ms: Spread = Field(
        default=spread(10, 30, 80), description="slow drift of its tempo, ms RMS against the voice, below 0.5 Hz"
    )
    tts_in_hand_share: float = Field(
        default=0.5, ge=0, le=1, description="share of loudspeakers of synthetic voices that a hand holds"
    )
    splice_s: tuple[float, float] = Field(
        default=(0.5, 1.5), description="least and most length of a spliced span, s; at most 60 % of the voice"
    )
    splice_played_share: float = Field(
        default=0.5, ge=0, le=1, description="share of spliced words that a loudspeaker plays; the rest are edited in"
    )
    jam_dbc: Spread = Field(
        default=spread(0, 6, 12), description="level of a jamming device against the probe's direct carrier, dB"
    )


class SimulationConfig(Settings):
    """A data set of simulated recordings."""

    seed: int = Field(default=0, ge=0, description="one seed for everything that is drawn")
    kinds: KindCounts = KindCounts()
    sessions_per_speaker: int = Field(default=2, ge=1, le=100, description="sessions, where rows name none")
    pools: PoolConfig = PoolConfig()
    postures: PostureShares = PostureShares()
    distance_cm: Spread = Field(
        default=spread(4, 10, 40),
        description="from mouth to phone on a stand or in the hand, cm; a number fixes it",
    )
    distance_jitter: float = Field(
        default=0.05, ge=0, le=0.5, description="log-normal deviation of the distance within a session"
    )
    accelerometer: bool = Field(
        default=False, description="write the phone's acceleration beside each recording (*.accel.npz)"
    )
    mouth_motion: bool = Field(
        default=False,
        description="write the mouth's motion beside each live recording (*.mouth.npz), for training with a teacher",
    )
    speech: SpeechConfig = SpeechConfig()
    articulation: ArticulationConfig = ArticulationConfig()
    scatter: ScatterConfig = ScatterConfig()
    posture: PostureConfig = PostureConfig()
    room: RoomConfig = RoomConfig()
    device: DeviceConfig = DeviceConfig()
    probe: ProbeConfig = ProbeConfig()
    attack: AttackConfig = AttackConfig()

    def distances_cm(self, posture: str) -> Spread:
        """Distances from mouth to phone, cm, when it is held so."""
        return {"table": self.posture.table_cm, "ear": self.posture.ear_cm}.get(posture, self.distance_cm)
