"""All that one recording is made of, and how the session's phone records a scene."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from vivavoce.signal.iq import SPEED_OF_SOUND
from vivavoce.signal.probe import Probe
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.device import Device
from vivavoce.simulate.draws import generator
from vivavoce.simulate.loudspeaker import Loudspeaker, SizeName, cone_motion, draw_loudspeaker
from vivavoce.simulate.motion import Motion
from vivavoce.simulate.posture import PhonePath, Posture, phone_path
from vivavoce.simulate.recording import FACTOR_RATE_HZ, Emission, Grid, grid_for, record
from vivavoce.simulate.room import Room, ambience, impulse_response
from vivavoce.simulate.scatter import Face, Reflectors, echo
from vivavoce.simulate.speech import RATE_HZ, active_level, at_level


@dataclass(frozen=True)
class Session:
    """What stays the same within a session: phone, room, probe, and how the phone is used."""

    name: str
    device: Device
    room: Room
    probe: Probe
    posture: Posture
    distance_m: float


@dataclass(frozen=True)
class Take:
    """All that one recording is made of; what a kind does not use is None.

    ``voice`` (samples,) is a voice at 48 kHz of any level; ``motion`` the mouth before the phone, whose time 0 is
    ``motion_from_s`` after the recording's first sample; ``loudspeaker`` the size of the one that plays; ``earlier``
    the session that an attacker recorded; ``other`` a second voice, of which words are put into ``splices`` (spans in
    s); ``text`` and ``sex`` are those of the voice, for a synthetic one.
    """

    id: str
    config: SimulationConfig
    session: Session
    posture: Posture
    distance_m: float
    voice: np.ndarray
    face: Face | None = None
    motion: Motion | None = None
    motion_from_s: float = 0.0
    loudspeaker: SizeName | None = None
    earlier: Session | None = None
    other: np.ndarray | None = None
    splices: tuple[tuple[float, float], ...] = ()
    text: str | None = None
    sex: str | None = None

    def rng(self, name: str) -> np.random.Generator:
        """Return this recording's own generator for one purpose."""
        return generator(self.config.seed, "recording", self.id, name)

    def drawn_loudspeaker(self, ultrasound: bool = False) -> Loudspeaker:
        """Return the loudspeaker that plays in this recording."""
        if self.loudspeaker is None:
            raise ValueError(f"{self.id}: this kind needs the size of a loudspeaker.")
        return draw_loudspeaker(self.rng("loudspeaker"), self.loudspeaker, ultrasound)


@dataclass(frozen=True)
class Scene:
    """What stands before the phone, and where the cone of a playing loudspeaker is, (frames or 1, 3) in m."""

    reflectors: list[Reflectors]
    cone_m: np.ndarray = field(default_factory=lambda: np.zeros((1, 3)))


# Makes the scene of a take at times (frames,) in s against the recording's first sample.
SceneMaker = Callable[[Take, np.ndarray], Scene]


def path_of_phone(
    seed: int, recording: str, posture: Posture, distance_m: float, config: SimulationConfig, frames: int
) -> PhonePath:
    """Where a recording's phone is and how it moves, on the first ``frames`` of its grid."""
    rng = generator(seed, "recording", recording, "posture")
    return phone_path(rng, posture, distance_m, config.posture, frames, FACTOR_RATE_HZ)


def at_phone(
    take: Take,
    voice: np.ndarray,
    scene: SceneMaker | None,
    loudspeaker: Loudspeaker | None = None,
    quiet: bool = False,
    jam: np.ndarray | None = None,
) -> np.ndarray:
    """Record ``voice`` (any level) and the probe's echo from ``scene`` with the session's phone.

    Args:
        take: the recording.
        voice: (samples,) at 48 kHz.
        scene: what stands before the phone; None: no probe is played.
        loudspeaker: the one that plays the voice, whose cone moves; None: a mouth speaks.
        quiet: without the room's noise.
        jam: what another device plays, (samples,) at its level in front of the phone's microphone.

    Returns:
        (samples,) int16 at 48 kHz.
    """
    session = take.session
    room = impulse_response(take.rng("room"), session.room, take.distance_m, RATE_HZ)
    voice = at_level(voice, take.config.speech.level_dbfs.draw(take.rng("level")))
    grid = grid_for(len(voice), len(room))
    emission = None
    if scene is not None:
        emission = _emission(take, grid, scene)
        if loudspeaker is not None:
            emission = replace(emission, cone=cone_motion(loudspeaker, voice, take.distance_m))
    noise = None
    if not quiet:
        noise = ambience(take.rng("ambience"), take.config.room, active_level(voice), grid.size, RATE_HZ)
    sound = voice if jam is None else voice + jam
    return record(take.rng("noise"), sound, room, emission, session.device, noise)


def _emission(take: Take, grid: Grid, scene_of: SceneMaker) -> Emission:
    """The probe's factors: the direct path, and the echoes of scene and room from the moving phone."""
    session = take.session
    path = path_of_phone(take.config.seed, take.id, take.posture, take.distance_m, take.config, grid.frames)
    tones = np.asarray(session.probe.tones_hz)
    scene = scene_of(take, grid.times_s)
    factors = np.ones((len(tones), 1), dtype=np.complex64)
    for reflectors in scene.reflectors:
        factors = factors + echo(reflectors, path.before_scene_m, tones, session.device.direct_m)
    factors = factors + echo(session.room.clutter, path.in_room_m, tones, session.device.direct_m)
    return Emission(session.probe, factors, cone_factors=_cone_factors(tones, path.before_scene_m - scene.cone_m))


def _cone_factors(tones_hz: np.ndarray, from_cone_m: np.ndarray) -> np.ndarray:
    """Phase of an echo of amplitude 1 from a loudspeaker's cone, (tones, frames); ``from_cone_m``: (frames, 3)."""
    length = np.linalg.norm(from_cone_m, axis=-1)
    angle = (-4 * np.pi / SPEED_OF_SOUND) * np.multiply.outer(tones_hz, length)
    return (1j * np.exp(1j * angle)).astype(np.complex64)  # phase modulation: a quarter turn from the echo itself
