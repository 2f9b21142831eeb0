"""Makes one recording from its job, alone: in any order, by any worker, with the same samples."""

import numpy as np
from threadpoolctl import threadpool_limits

from vivavoce.audio import check_speech, read_audio, write_wav
from vivavoce.simulate.accelerometer import write_acceleration
from vivavoce.simulate.articulation import articulate, draw_speaker
from vivavoce.simulate.attacks.kinds import KINDS
from vivavoce.simulate.attacks.take import Take
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.draws import generator
from vivavoce.simulate.job import Job, Mouth, Source
from vivavoce.simulate.motion import Motion
from vivavoce.simulate.mouth_file import write_mouth
from vivavoce.simulate.phonemes import Phone
from vivavoce.simulate.scatter import draw_face
from vivavoce.simulate.speech import RATE_HZ, voice_at_48k

# A window may overrun the mouth's utterance by this much (rounding of durations) before the mouth goes on speaking, s.
TOLERANCE_S = 0.02


def mouth_motion(
    mouth: Mouth, duration_s: float, delay_s: float, config: SimulationConfig, name: str
) -> tuple[Motion, float]:
    """Move a mouth for ``duration_s`` s of recording; returns the motion and when its time 0 is in the recording, s.

    Where the recording begins before or ends after the mouth's utterance, the mouth says it again rather than resting,
    so that neither a seam nor a frozen mouth tells an attack; a measured motion goes on mirrored in time.
    """
    length = mouth.duration_s
    first = int(np.floor((-delay_s + TOLERANCE_S) / length))
    last = max(int(np.ceil((duration_s - delay_s - TOLERANCE_S) / length)), first + 1)
    origin = first * length + delay_s
    if mouth.measured is not None:
        return _mirrored(mouth.measured, (last - first) * length, -first * length), origin
    phones = [
        Phone(phone.name, phone.start_s + turn * length, phone.end_s + turn * length)
        for turn in range(last - first)
        for phone in mouth.phones
    ]
    speaker = draw_speaker(generator(config.seed, "speaker", mouth.speaker, "articulation"), config.articulation)
    rng = generator(config.seed, "recording", name, "articulation")
    return articulate(phones, max((last - first) * length, duration_s), speaker, rng), origin


def _mirrored(motion: Motion, duration_s: float, before_s: float) -> Motion:
    """Extend a measured motion to ``duration_s``, ``before_s`` of it ahead: backward, and forward again."""
    frames = motion.positions_m.shape[1]
    before = round(before_s * motion.rate_hz)
    after = max(0, round(duration_s * motion.rate_hz) - before - frames)
    if before == after == 0:
        return motion
    positions = np.pad(motion.positions_m, ((0, 0), (before, after), (0, 0)), mode="symmetric")
    return Motion(motion.rate_hz, positions, np.pad(motion.aperture_m, (before, after), mode="symmetric"))


def moving(job: Job, config: SimulationConfig) -> tuple[Motion, float]:
    """Move the mouth of a job; returns the motion and when its time 0 is in the recording, s."""
    return mouth_motion(job.mouth, job.samples / RATE_HZ, job.delay_s, config, job.id)


def samples_of(job: Job, config: SimulationConfig, moved: tuple[Motion, float] | None = None) -> np.ndarray:
    """Simulate one recording: (samples,) int16 at 48 kHz.

    Args:
        job: what to make.
        config: of the whole simulation.
        moved: the mouth's motion, where it was made already; see `moving`.

    Raises:
        UserError: its source cannot be read or is not usable speech.
    """
    # The plan's length, to the sample: a source may end a few samples early or late.
    voice = np.zeros(job.samples, dtype=np.float32)
    heard = _voice(job.source, job.id, config)[: job.samples]
    voice[: len(heard)] = heard
    motion, origin = moved or moving(job, config)
    take = Take(
        id=job.id,
        config=config,
        session=job.session,
        posture=job.posture,
        distance_m=job.distance_m,
        voice=voice,
        face=draw_face(generator(config.seed, "speaker", job.mouth.speaker, "face"), config.scatter),
        motion=motion,
        motion_from_s=origin,
        loudspeaker=job.loudspeaker,
        earlier=job.earlier,
        other=None if job.other is None else _voice(job.other, f"{job.id}/other", config),
        splices=job.splices,
        text=job.text,
        sex=job.sex,
    )
    return KINDS[job.kind](take)


def _voice(source: Source, name: str, config: SimulationConfig) -> np.ndarray:
    """Read a voice and bring it to 48 kHz; ``name`` seeds its fricatives' ultrasound."""
    wave, rate = read_audio(source.path, channel=source.channel, start_s=source.start_s, duration_s=source.duration_s)
    check_speech(wave, rate, source.path)
    return voice_at_48k(generator(config.seed, "recording", name, "speech"), wave, rate, config.speech)


def render(job: Job, config: SimulationConfig) -> None:
    """Simulate one recording and write it, with the phone's acceleration and the mouth's motion where these are wanted.

    Each file appears whole.
    """
    moved = moving(job, config)
    write_wav(job.target, samples_of(job, config, moved), RATE_HZ)
    if config.accelerometer:
        write_acceleration(job, config)
    if job.shows_mouth(config):
        write_mouth(job.mouth_motion, *moved, job.samples / RATE_HZ)


def single_threaded() -> threadpool_limits:
    """Keep this process's libraries to one thread: workers share the cores, and sums must not depend on threads."""
    return threadpool_limits(1)
