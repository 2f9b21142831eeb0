"""Live recordings and attacks: one function a kind, which says what stands before the phone, moves and sounds.

All draws but those that make the kind follow one distribution, so that no confound tells it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vivavoce.corpus.metadata import Kind
from vivavoce.signal.probe import Probe
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.device import Device, draw_device
from vivavoce.simulate.draws import generator
from vivavoce.simulate.loudspeaker import Loudspeaker, cone_motion, draw_loudspeaker, play
from vivavoce.simulate.motion import Motion
from vivavoce.simulate.posture import Posture, phone_motion
from vivavoce.simulate.recording import FACTOR_RATE_HZ, Emission, Grid, grid_for, record
from vivavoce.simulate.room import Room, draw_room, impulse_response
from vivavoce.simulate.scatter import SPEED_OF_SOUND, Face, Reflectors, echo, loudspeaker_body, moving_mouth
from vivavoce.simulate.speech import RATE_HZ, at_level


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
    """All that one recording is made of.

    ``voice`` (samples,) is a voice at 48 kHz of any level; ``motion`` the mouth before the phone, if there is one,
    whose time 0 is ``motion_from_s`` after the recording's first sample; ``earlier`` the session that an attacker
    recorded.
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
    earlier: Session | None = None

    def rng(self, name: str) -> np.random.Generator:
        """Return this recording's own generator for one purpose."""
        return generator(self.config.seed, "recording", self.id, name)


def live(take: Take) -> np.ndarray:
    """A living mouth speaks in front of the phone, which plays its probe; (samples,) int16 at 48 kHz."""
    return _at_phone(take, take.voice, _mouth)


def replay_stand(take: Take) -> np.ndarray:
    """A loudspeaker in place of the mouth replays the voice; nobody moves, only the cone vibrates."""
    return _replayed(take, _replay_loudspeaker(take), _loudspeaker)


def replay_handheld(take: Take) -> np.ndarray:
    """As `replay_stand`, but a hand holds the phone: its sway and tremor give every path Doppler."""
    return _replayed(take, _replay_loudspeaker(take), _loudspeaker)


def swapped_mouth(take: Take) -> np.ndarray:
    """A loudspeaker beside replays the voice while a living mouth before the phone says something else."""
    return _replayed(take, _replay_loudspeaker(take), _mouth_and_loudspeaker)


def shifted(take: Take) -> np.ndarray:
    """A mouth says the same words, too early or too late.

    The voice takes the path of a live one, as from a perfect loudspeaker: only time tells this kind from `live`.
    """
    return _at_phone(take, take.voice, _mouth)


def recorded_ultrasound(take: Take) -> np.ndarray:
    """A loudspeaker that reaches ultrasound plays an earlier recording, voice and echoes of its old probe alike.

    The old tones arrive beside the new ones, off by the clock error of the second device; the new tones see a still
    scene.
    """
    if take.earlier is None:
        raise ValueError(f"{take.id}: recorded ultrasound needs an earlier session.")
    low, high = take.config.attack.second_clock_ppm
    rng = take.rng("second clock")
    error = 1 + float(rng.choice((-1.0, 1.0))) * rng.uniform(low, high) * 1e-6
    device = replace(take.earlier.device, clock_ratio=take.earlier.device.clock_ratio * error)
    session = replace(take.earlier, device=device)
    victim = replace(
        take, id=f"{take.id}/earlier", session=session, posture=session.posture, distance_m=session.distance_m
    )
    captured = live(victim).astype(np.float32) / 32768
    loudspeaker = draw_loudspeaker(take.rng("loudspeaker"), take.config.loudspeaker, ultrasound=True)
    return _at_phone(take, play(loudspeaker, captured), _loudspeaker, loudspeaker)


def probe_absent(take: Take) -> np.ndarray:
    """A living mouth speaks, but the phone plays nothing."""
    return _at_phone(take, take.voice, None)


KINDS: dict[Kind, Callable[[Take], np.ndarray]] = {
    Kind.LIVE: live,
    Kind.REPLAY_STAND: replay_stand,
    Kind.REPLAY_HANDHELD: replay_handheld,
    Kind.SWAPPED_MOUTH: swapped_mouth,
    Kind.SHIFTED: shifted,
    Kind.RECORDED_ULTRASOUND: recorded_ultrasound,
    Kind.PROBE_ABSENT: probe_absent,
}

# Kinds whose physics fixes how the phone is held; the others take the session's posture.
POSTURES: dict[Kind, Posture] = {
    Kind.REPLAY_STAND: "stand",
    Kind.REPLAY_HANDHELD: "handheld",
    Kind.RECORDED_ULTRASOUND: "stand",
}

Scene = Callable[[Take, np.ndarray], list[Reflectors]]


def _mouth(take: Take, times_s: np.ndarray) -> list[Reflectors]:
    """A face with its moving mouth."""
    if take.face is None or take.motion is None:
        raise ValueError(f"{take.id}: this kind needs a face and its motion.")
    return [moving_mouth(take.face, take.motion, times_s - take.motion_from_s), take.face.static]


def _loudspeaker(take: Take, times_s: np.ndarray) -> list[Reflectors]:
    """A loudspeaker in place of the mouth."""
    rng = take.rng("place of the loudspeaker")
    return [loudspeaker_body(rng, take.config.scatter, rng.normal(0, 0.01, 3))]


def _mouth_and_loudspeaker(take: Take, times_s: np.ndarray) -> list[Reflectors]:
    """A face, and a loudspeaker 8–25 cm beside it."""
    rng = take.rng("place of the loudspeaker")
    angle = rng.uniform(0, 2 * np.pi)
    beside = rng.uniform(0.08, 0.25) * np.array([0, np.sin(angle), np.cos(angle)])
    return [*_mouth(take, times_s), loudspeaker_body(rng, take.config.scatter, beside)]


def _replay_loudspeaker(take: Take) -> Loudspeaker:
    return draw_loudspeaker(take.rng("loudspeaker"), take.config.loudspeaker)


def _replayed(take: Take, loudspeaker: Loudspeaker, scene: Scene) -> np.ndarray:
    """The voice, caught by an attacker's recorder in another room, played by ``loudspeaker`` into this one."""
    config, rng = take.config, take.rng("recorder")
    device = draw_device(rng, config.device, "recorder", RATE_HZ)
    room = draw_room(rng, config.room, config.scatter)
    path = impulse_response(rng, room, config.attack.recorder_distance_m.draw(rng), RATE_HZ)
    heard = at_level(take.voice, config.speech.level_dbfs.draw(rng))
    captured = record(rng, heard, path, None, device).astype(np.float32) / 32768
    return _at_phone(take, play(loudspeaker, captured), scene, loudspeaker)


def _at_phone(take: Take, voice: np.ndarray, scene: Scene | None, loudspeaker: Loudspeaker | None = None) -> np.ndarray:
    """Record ``voice`` (any level) and the probe's echo from ``scene`` (None: no probe) with the session's phone."""
    session = take.session
    room = impulse_response(take.rng("room"), session.room, take.distance_m, RATE_HZ)
    voice = at_level(voice, take.config.speech.level_dbfs.draw(take.rng("level")))
    emission = None
    if scene is not None:
        emission = _emission(take, grid_for(len(voice), len(room)), scene)
        if loudspeaker is not None:
            emission = replace(emission, cone=cone_motion(loudspeaker, voice, take.distance_m))
    return record(take.rng("noise"), voice, room, emission, session.device)


def _emission(take: Take, grid: Grid, scene: Scene) -> Emission:
    """The probe's factors: the direct path, and the echoes of scene and room from the moving phone."""
    session, posture = take.session, take.config.posture
    rng = take.rng("posture")
    aim = rng.normal(0, posture.aim_cm / 100, 2)
    rest = np.array([take.distance_m, *aim])
    phone = rest + phone_motion(rng, take.posture, posture, grid.frames, FACTOR_RATE_HZ)
    tones = np.asarray(session.probe.tones_hz)
    factors = np.ones((len(tones), 1), dtype=np.complex64)
    for reflectors in [*scene(take, grid.times_s), session.room.clutter]:
        factors = factors + echo(reflectors, phone, tones, session.device.direct_m)
    return Emission(session.probe, factors, cone_factors=_cone_factors(tones, phone))


def _cone_factors(tones_hz: np.ndarray, phone_m: np.ndarray) -> np.ndarray:
    """Phase of an echo of amplitude 1 from the loudspeaker's cone at the origin, (tones, frames)."""
    length = np.linalg.norm(phone_m, axis=-1)
    angle = (-4 * np.pi / SPEED_OF_SOUND) * np.multiply.outer(tones_hz, length)
    return (1j * np.exp(1j * angle)).astype(np.complex64)  # phase modulation: a quarter turn from the echo itself
