"""Kinds in which a loudspeaker stands in the place of the mouth, and nobody's mouth moves."""

from dataclasses import replace

import numpy as np

from vivavoce.simulate.attacks.scenes import in_hand, mouth, still
from vivavoce.simulate.attacks.take import Scene, Take, at_phone
from vivavoce.simulate.attacks.waving import moved_body
from vivavoce.simulate.device import draw_device
from vivavoce.simulate.loudspeaker import play
from vivavoce.simulate.recording import record
from vivavoce.simulate.room import draw_room, impulse_response
from vivavoce.simulate.speech import RATE_HZ, at_level
from vivavoce.simulate.synthetic import synthetic_voice


def caught(take: Take) -> np.ndarray:
    """Record the take's voice with an attacker's recorder in another room; (samples,) float32 in [−1, 1].

    The recorder is another phone 5–100 cm from the victim. Its noise lies 55–75 dB below the voice
    (`attack.recorder_noise_db`): attackers choose a quiet place, and the noise of the room where they replay covers it.
    """
    config, rng = take.config, take.rng("recorder")
    device = draw_device(rng, config.device, "recorder", RATE_HZ)
    room = draw_room(rng, config.room, config.scatter, "elsewhere")
    path = impulse_response(rng, room, config.attack.recorder_distance_m.draw(rng), RATE_HZ)
    level_dbfs = config.speech.level_dbfs.draw(rng)
    noise_dbfs_hz = level_dbfs + config.attack.recorder_noise_db.draw(rng) - 10 * np.log10(RATE_HZ / 2)
    device = replace(device, noise_dbc_hz=noise_dbfs_hz - device.carrier_dbfs)
    return record(rng, at_level(take.voice, level_dbfs), path, None, device).astype(np.float32) / 32768


def replay_stand(take: Take) -> np.ndarray:
    """A loudspeaker in place of the mouth replays the voice; nobody moves, only the cone vibrates."""
    loudspeaker = take.drawn_loudspeaker()
    return at_phone(take, play(loudspeaker, caught(take)), still(loudspeaker), loudspeaker)


def replay_handheld(take: Take) -> np.ndarray:
    """As `replay_stand`, but a hand holds the phone: its sway and tremor give every path Doppler."""
    return replay_stand(take)


def replay_moving(take: Take) -> np.ndarray:
    """As `replay_stand`, but the loudspeaker is waved by a hand, or built into a head that turns and nods.

    A rigid body of four facets: its centre runs 1–6 cm RMS an axis, back and forth at 0.5–4 Hz (at most 0.35 m/s RMS,
    and never nearer to the phone than 3 cm), while the body turns and nods by 4–20° RMS, so that facets turn toward
    the phone and away and their echoes swell and fade (`vivavoce.simulate.attacks.waving`). In a quarter of the
    recordings (`attack.wave_with_voice_share`) the motion loosely follows the loudness of the voice, as a dummy whose
    jaw hangs on a string.
    """
    loudspeaker = take.drawn_loudspeaker()

    def scene(take: Take, times_s: np.ndarray) -> Scene:
        body, path = moved_body(
            take.rng("waving"), take.config, loudspeaker.front_m2, take.distance_m, take.voice, times_s
        )
        return Scene([body], path)

    return at_phone(take, play(loudspeaker, caught(take)), scene, loudspeaker)


def recorded_ultrasound(take: Take) -> np.ndarray:
    """A loudspeaker that reaches ultrasound plays an earlier recording, voice and echoes of its old probe alike.

    The old tones (the wrong nonce) arrive beside the new ones, off by the 20–50 ppm of the second device's clock; the
    new tones see a still scene.
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
    captured = at_phone(victim, take.voice, mouth, quiet=True).astype(np.float32) / 32768
    loudspeaker = take.drawn_loudspeaker(ultrasound=True)
    return at_phone(take, play(loudspeaker, captured), still(loudspeaker), loudspeaker)


def tts(take: Take) -> np.ndarray:
    """A loudspeaker plays a synthetic voice of the target, on a stand or in a hand (`attack.tts_in_hand_share`).

    The voice says the target's text by espeak-ng, with pitch and formants of the target's sex; where the text is not
    known or espeak-ng is not installed, a vocoder resynthesises the target's own words with flattened pitch and phase
    (`vivavoce.simulate.synthetic`). No recorder lies between: what synthesis gives is played directly.
    """
    loudspeaker = take.drawn_loudspeaker()
    held = take.rng("who holds the loudspeaker").random() < take.config.attack.tts_in_hand_share
    voice = synthetic_voice(take.rng("synthesis"), take.voice, take.text, take.sex)
    return at_phone(take, play(loudspeaker, voice), (in_hand if held else still)(loudspeaker), loudspeaker)
