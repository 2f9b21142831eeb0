"""Speaks for one speaker of ``judges_vocaltract.py``, in an interpreter that has ``vocaltractlab-cython`` and NumPy.

VocalTractLab (P. Birkholz; Birkholz 2013, PLoS ONE 8:e60603) is under the GPL: it is no dependency of vivavoce and
nothing of it is imported there. ``python judges_vocaltract_speak.py JOB.json`` reads from the job what to do: either
``scores``, gestural scores to write for sequences of segments, or a ``person`` with ``utterances``, scores to speak.
Of each utterance it writes an ``.npz``: ``audio`` (samples,) at ``rate`` Hz, and ``upper_lip_mm``, ``lower_lip_mm``,
``jaw_mm`` (frames, 3) at ``fs`` Hz, from the same states of the vocal tract, so that sound and lips are in step.
"""

import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import vocaltractlab_cython as vtl  # pyright: ignore[reportMissingImports]

RATE = 44100
MOTOR_HZ = RATE / 110  # rate of the states in a motor file (its own header)
# A state of the tract costs more to compute than its sound: 75 a second, between which the synthesis goes in straight
# lines, speak about three times as fast as the motor file's 400, and are closer than the gestures' time constants.
STATE_SAMPLES = 588
TRACK_HZ = 200
JX, JA, LP, LD = 2, 3, 4, 5  # parameters of the tract: jaw, cm and degrees; lip protrusion and distance, cm
F0, PRESSURE, CHINK = 0, 1, 4  # parameters of the glottis
JAW_REST_DEG = -2.0  # the model's standard
NARROW_CM = 0.4  # openings up to this belong to consonants and stay, so that a narrow passage hisses as it did
PHARYNX, LARYNX = 8, 9  # parameters of the anatomy: lengths, cm
FIT_STATES = 160
FIT_ERROR_MM = 1.0  # of 99 % of states left out of the fit; lips open by 12 mm, and of one anatomy in twelve it is 0.6
TIERS = ("vowel-gestures", "lip-gestures", "tongue-tip-gestures", "tongue-body-gestures")
Json = dict[str, Any]


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if "scores" in job:
        for one in job["scores"]:
            _score(one["segments"], one["target"])
    else:
        _speak(job["person"], job["utterances"])
    sys.stdout.flush()
    os._exit(0)  # the library's own farewell crashes after a change of anatomy


def _score(segments: list[tuple[str, float]], target: str) -> None:
    """Write the gestural score of segments (name, seconds)."""
    lines = [f"name = {name}; duration_s = {seconds:.6f};\n" for name, seconds in segments]
    with tempfile.TemporaryDirectory() as folder:
        phonemes = Path(folder) / "phonemes.txt"
        phonemes.write_text("".join(lines), encoding="ascii")
        vtl.phoneme_file_to_gesture_file(str(phonemes), target)


def _speak(person: Json, utterances: list[Json]) -> None:
    """Speak all scores as this person."""
    with tempfile.TemporaryDirectory() as folder:
        spoken = [_states(one, person, Path(folder)) for one in utterances]
    # Only now: with another anatomy the library has no gestures any more.
    anatomy = vtl.get_anatomy_params()
    anatomy[[PHARYNX, LARYNX]] *= person["pharynx"]
    vtl.set_anatomy_params(anatomy)
    lips = _fit_lips(np.concatenate([tract for tract, _ in spoken]), np.random.default_rng(person["seed"]))
    for one, (tract, glottis) in zip(utterances, spoken, strict=True):
        glottis = _voiced(glottis, person, np.random.default_rng(one["seed"]))
        frames = int((len(tract) - 1) / MOTOR_HZ * RATE / STATE_SAMPLES) + 1
        at = np.arange(frames) * STATE_SAMPLES / RATE
        audio = vtl.synth_block(_sampled(tract, at), _sampled(glottis, at), STATE_SAMPLES)
        tracks = lips(_sampled(tract, np.arange(int(at[-1] * TRACK_HZ) + 1) / TRACK_HZ))
        np.savez(one["target"], audio=np.asarray(audio, np.float32), rate=RATE, fs=float(TRACK_HZ), **tracks)


def _states(utterance: Json, person: Json, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Turn a score into states of tract and glottis, this person's way: (states, parameters) each."""
    gestures, motor = str(folder / "gestures.ges"), str(folder / "motor.tract")
    score = Path(utterance["score"]).read_text(encoding="utf-8").split("<gesture_sequence ")
    pace = f'time_constant_s="{0.012 * person["pace"]:.6f}"'  # 12 ms is what the library gives to every gesture
    score = [
        part.replace('time_constant_s="0.012000"', pace) if any(f'type="{tier}"' in part for tier in TIERS) else part
        for part in score
    ]
    slower = re.sub(
        r'duration_s="([\d.]+)"',
        lambda found: f'duration_s="{float(found[1]) / utterance["tempo"]:.6f}"',
        "<gesture_sequence ".join(score),
    )
    Path(gestures).write_text(slower, encoding="utf-8")
    vtl.gesture_file_to_motor_file(gestures, motor)
    rows = [line for line in Path(motor).read_text(encoding="utf-8").splitlines() if not line.startswith("#")][2:]
    glottis = np.array([line.split() for line in rows[0::2]], dtype=np.float64)
    tract = np.array([line.split() for line in rows[1::2]], dtype=np.float64)
    tract[:, JA] = np.clip(JAW_REST_DEG + person["jaw"] * (tract[:, JA] - JAW_REST_DEG), -7.0, 0.0)
    tract[:, LP] = np.clip(person["protrusion"] * tract[:, LP], -1.0, 1.0)
    wide = np.maximum(tract[:, LD] - NARROW_CM, 0.0)
    tract[:, LD] = np.minimum(tract[:, LD], NARROW_CM) + person["opening"] * wide
    return tract, glottis


def _voiced(glottis: np.ndarray, person: Json, rng: np.random.Generator) -> np.ndarray:
    """Give the states of the glottis this person's pitch with a falling, wandering contour, and this voice."""
    glottis = glottis.copy()
    time = np.arange(len(glottis)) / MOTOR_HZ
    turns = rng.uniform(0.4, 2.5, size=(6, 1))
    wander = np.sin(2 * np.pi * (turns * time + rng.uniform(size=(6, 1)))).sum(axis=0) / np.sqrt(3)
    semitones = 1.5 * wander + 2.0 - 4.0 * time / time[-1]
    glottis[:, F0] = person["f0_hz"] * 2 ** (semitones / 12)
    glottis[:, PRESSURE] *= person["pressure"]
    glottis[:, CHINK] += person["chink_cm2"]
    return glottis


def _sampled(states: np.ndarray, at_s: np.ndarray) -> np.ndarray:
    """Take states at times (s), in straight lines between those of the motor file."""
    place = np.minimum(at_s * MOTOR_HZ, len(states) - 1)
    low = np.minimum(place.astype(int), len(states) - 2)
    part = (place - low)[:, None]
    return (1 - part) * states[low] + part * states[low + 1]


def _fit_lips(tract: np.ndarray, rng: np.random.Generator) -> Any:
    """Learn where lips and jaw are in a state; returns a function from states to tracks in mm.

    The library computes the whole tract for each outline, 6 ms a state. Lips and jaw depend on four parameters only,
    almost linearly: a polynomial of second order through some states gives the others to about a tenth of a mm.
    """
    chosen = tract[rng.choice(len(tract), size=min(FIT_STATES, len(tract)), replace=False)]
    outlines = [vtl.get_outlines(state) for state in chosen]
    # The last points of the outlines are the outer edges of the lips, where sensors are glued; the lower incisors lie
    # nine points from the end.
    seen = 10.0 * np.array([[*one["upper"][-1], *one["lower"][-1], *one["lower"][-9]] for one in outlines])
    third = np.arange(len(chosen)) % 3 == 0
    check = np.linalg.lstsq(_terms(chosen[~third]), seen[~third], rcond=None)[0]
    error = np.abs(_terms(chosen[third]) @ check - seen[third])
    if (worst := float(np.percentile(error, 99))) > FIT_ERROR_MM:
        sys.exit(f"the lips' places are fitted to {worst:.2f} mm only, another version of the library may be why")
    weights = np.linalg.lstsq(_terms(chosen), seen, rcond=None)[0]

    def tracks(states: np.ndarray) -> dict[str, np.ndarray]:
        points = (_terms(states) @ weights).reshape(-1, 3, 2)
        flat = np.concatenate([points, np.zeros((*points.shape[:2], 1))], axis=2).astype(np.float32)
        return {name: flat[:, i] for i, name in enumerate(("upper_lip_mm", "lower_lip_mm", "jaw_mm"))}

    return tracks


def _terms(states: np.ndarray) -> np.ndarray:
    """Terms of second order in the four parameters: (states, 15); lips that meet press no deeper than 1 mm."""
    x = np.stack([states[:, JX], states[:, JA], states[:, LP], np.maximum(states[:, LD], -0.1)], axis=1)
    one = np.concatenate([np.ones((len(x), 1)), x], axis=1)
    first, second = np.triu_indices(5)
    return one[:, first] * one[:, second]


if __name__ == "__main__":
    main()
