"""A judge from an independent articulatory synthesiser: sound and lips together, from VocalTractLab.

VocalTractLab (GPL) is a tool of this benchmark only: it is installed beside vivavoce, in an environment of its own, and
runs in processes of its own::

    python -m venv vtl && vtl/bin/pip install vocaltractlab-cython
    python benchmarks/judges_vocaltract.py --python vtl/bin/python --out vocaltract

Phonemes and their times come from espeak-ng (``pip install "vivavoce[voices]"``), articulation, aerodynamics and sound
from VocalTractLab's model of a German speaker (English phonemes go to the nearest German ones). Speakers differ in the
length of pharynx and larynx, pitch, voice, pace of gestures, tempo and extent of jaw and lips.

Writes ``<speaker>_<number>.wav``, ``.npz`` (``fs``, ``upper_lip_mm``, ``lower_lip_mm``, ``jaw_mm``), ``index.csv``
(file, speaker, sex, text), which ``vivavoce import`` reads, and ``report.json``: speeds and openings beside those of
the measured mouths in ``../shared/data``, and how well the sound foretells the opening, at which lag. The same seed
gives the same files.
"""

import argparse
import csv
import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vivavoce.audio import write_wav
from vivavoce.errors import UserError
from vivavoce.files import atomic_path, write_json, write_text
from vivavoce.simulate.draws import generator
from vivavoce.simulate.espeak import VoiceSettings, restart, synthesize
from vivavoce.simulate.phonemes import SILENCE, Phone

HERE = Path(__file__).resolve().parent
VARIABLE = "VOCALTRACTLAB_PYTHON"
INSTALL = (
    "VocalTractLab is not there for {python}; make an environment of its own "
    "(python -m venv vtl && vtl/bin/pip install vocaltractlab-cython) and give its interpreter by --python or "
    f"the variable {VARIABLE}."
)
# Two sentences each, for windows of six seconds; not those of `vivavoce.simulate.sentences`, which a detector may have
# been trained on.
TEXTS = (
    "We bought some cheap apples from a farmer near the harbor wall. "
    "Paul wants to move his piano up to the fifth floor before May.",
    "The fox jumped over a broad ditch and vanished behind the poplars. "
    "My aunt bakes five loaves of rye bread every Wednesday evening.",
    "Show me which of these old paths leads back to the chapel. "
    "A pair of swans built their big nest beside the mill pond.",
    "Even a poor map would have helped us through the forest. "
    "The bishop made a very brief speech about hope and mercy.",
    "Wipe your boots before you carry the wood into my room. "
    "Few people have ever seen the river flow so fast in spring.",
    "The plumber will fix both of the pipes above the bathroom. "
    "She whispered the number of the vault to her oldest friend.",
    "Our boat was the first to arrive at the bay in the morning. "
    "Please bring a warm blanket, a map and some bottled water.",
    "The mayor refused to pay for a bronze statue of himself. "
    "Her voice became weak, but she sang the whole poem twice.",
)
# English to the German segments of the library, by sound and lips; it has neither w nor an approximant r.
SEGMENTS: dict[str, tuple[str, ...]] = {
    **{"AA": ("a:",), "AE": ("E:",), "AH": ("6",), "AO": ("O",), "AW": ("aU",), "AY": ("aI",), "EH": ("E",)},
    **{"ER": ("9",), "EY": ("e:", "I"), "IH": ("I",), "IY": ("i:",), "OW": ("o:", "U"), "OY": ("OY",)},
    **{"UH": ("U",), "UW": ("u:",), "B": ("b",), "CH": ("tS",), "D": ("d",), "DH": ("D",), "F": ("f",)},
    **{"G": ("g",), "HH": ("h",), "JH": ("dZ",), "K": ("k",), "L": ("l",), "M": ("m",), "N": ("n",), "NG": ("N",)},
    **{"P": ("p",), "R": ("R",), "S": ("s",), "SH": ("S",), "T": ("t",), "TH": ("T",), "V": ("v",), "W": ("u:",)},
    **{"Y": ("j",), "Z": ("z",), "ZH": ("Z",), SILENCE: ("",)},
}
# The scores are written for a fast talker, and all others are slower: the library refuses gestures that grow too short.
WORDS_PER_MINUTE, TEMPO = 175, (0.76, 0.97)
SHORTEST_S = 0.035  # a gesture needs about three of its time constants to be seen
EDGE_S = 0.25  # silence before and after
LEVEL_DBFS, NOISE_DBFS = -24.0, -68.0  # of the speech, and of a quiet room: no recording holds digital silence
Json = dict[str, Any]


@dataclass(frozen=True)
class Person:
    """One speaker: sex, tempo against the score's, and what `judges_vocaltract_speak` does to the model's speaker."""

    name: str
    sex: str
    tempo: float
    manner: Json


def draw_person(number: int, seed: int) -> Person:
    """Draw a speaker; women and men in turn (pitch: Peterson & Barney 1952; their pharynx is a fifth shorter: Fant)."""
    rng = generator(seed, "vocaltract", "speaker", str(number))
    sex = "FM"[number % 2]
    manner = {
        "seed": int(rng.integers(2**31)),
        "pharynx": float(rng.uniform(0.78, 0.9) if sex == "F" else rng.uniform(0.92, 1.08)),
        "f0_hz": float(rng.uniform(165, 235) if sex == "F" else rng.uniform(90, 145)),
        "pressure": float(rng.uniform(0.85, 1.1)),
        "chink_cm2": float(rng.uniform(0.0, 0.03)),
        "pace": float(rng.uniform(0.9, 1.4)),
        "jaw": float(rng.uniform(0.8, 1.25)),
        "opening": float(rng.uniform(0.9, 1.6)),
        "protrusion": float(rng.uniform(0.8, 1.2)),
    }
    return Person(f"vt{number:02d}", sex, float(rng.uniform(*TEMPO)), manner)


def segments_of(phones: list[Phone]) -> list[tuple[str, float]]:
    """Turn phones into the library's segments (name, seconds), with silence around them."""
    said = list(phones)
    while said and said[0].name == SILENCE:
        said.pop(0)
    while said and said[-1].name == SILENCE:
        said.pop()
    segments = [("", EDGE_S)]
    for phone in said:
        names = SEGMENTS[phone.name]
        share = max(phone.end_s - phone.start_s, SHORTEST_S * len(names)) / len(names)
        segments += [(name, share) for name in names]
    return [*segments, ("", EDGE_S)]


def make(out: Path, python: str, speakers: int, texts: int, seed: int, workers: int) -> Path:
    """Make the judge's files; returns the table's path. One that was stopped goes on.

    Raises:
        UserError: VocalTractLab is missing or failed, espeak-ng is missing, or more texts are asked than are here.
    """
    if speakers < 1 or not 1 <= texts <= len(TEXTS):
        raise UserError(f"Ask for at least 1 speaker and 1 to {len(TEXTS)} texts, not {speakers} and {texts}.")
    check_python(python)
    _claim(out, {"seed": seed, "texts": texts, "lines": list(TEXTS)})
    with tempfile.TemporaryDirectory() as scratch:
        scores = _write_scores(python, Path(scratch))
        people = [draw_person(number, seed) for number in range(speakers)]
        chosen = [generator(seed, "vocaltract", "texts", person.name) for person in people]
        said = [sorted(rng.permutation(len(TEXTS))[:texts].tolist()) for rng in chosen]
        with ThreadPoolExecutor(workers) as pool:
            spoken = list(pool.map(partial(_speak, out, python, seed, scores), people, said))
    lines = [line for own in spoken for line in own]
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=["file", "speaker", "sex", "text"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    # The table last: a folder with a table is complete.
    write_text(out / "index.csv", table.getvalue())
    return out / "index.csv"


def _claim(out: Path, settings: Json) -> None:
    """Take a folder, or go on with one that was begun with the same settings: its finished speakers are kept.

    Raises:
        UserError: it was begun with others.
    """
    record = out / "settings.json"
    if record.exists() and json.loads(record.read_text(encoding="utf-8")) != settings:
        raise UserError(f"{out} holds speakers of another seed or other texts; choose another folder for --out.")
    out.mkdir(parents=True, exist_ok=True)
    write_json(record, settings)


def check_python(python: str) -> None:
    """Refuse an interpreter that has no VocalTractLab."""
    try:
        found = subprocess.run([python, "-c", "import vocaltractlab_cython"], capture_output=True, check=False)
    except OSError as error:
        raise UserError(INSTALL.format(python=python)) from error
    if found.returncode != 0:
        raise UserError(INSTALL.format(python=python))


def _write_scores(python: str, folder: Path) -> list[Path]:
    """Write the gestural score of every text, for all speakers."""
    restart()  # the same phonemes, whatever was spoken before
    scores = [folder / f"{number}.ges" for number in range(len(TEXTS))]
    spoken = [synthesize(text, VoiceSettings("en-us", WORDS_PER_MINUTE))[2] for text in TEXTS]
    tasks = [
        {"segments": segments_of(phones), "target": str(path)} for phones, path in zip(spoken, scores, strict=True)
    ]
    _run(python, {"scores": tasks}, folder / "scores.json", scores)
    return scores


def _run(python: str, job: Json, file: Path, products: list[Path]) -> None:
    """Let the library do a job, described in ``file``, in a process of its own."""
    write_json(file, job)
    command = [python, str(HERE / "judges_vocaltract_speak.py"), str(file)]
    # One thread a process: the processes share the cores.
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    file.unlink()
    if done.returncode != 0 or not all(path.is_file() for path in products):
        why = " ".join(done.stderr.split("Error:")[-1].split()) or f"exit code {done.returncode}"
        raise UserError(f"VocalTractLab could not do its part ({why[:300]}); try another --seed or version of it.")


def _speak(
    out: Path, python: str, seed: int, scores: list[Path], person: Person, said: list[int]
) -> list[dict[str, str]]:
    """Let one speaker say the chosen texts in a process; writes the files and returns the table's lines."""
    stems = [f"{person.name}_{number:02d}" for number in range(len(said))]
    lines = [
        {"file": f"{stem}.wav", "speaker": person.name, "sex": person.sex, "text": TEXTS[i]}
        for stem, i in zip(stems, said, strict=True)
    ]
    # The tracks are written behind the sound.
    if all((out / f"{stem}.npz").exists() for stem in stems):
        return lines
    raw = [out / f".{stem}.raw.npz" for stem in stems]
    utterances = []
    for stem, path, number in zip(stems, raw, said, strict=True):
        rng = generator(seed, "vocaltract", "token", stem)
        tempo = min(person.tempo * float(np.exp(rng.normal(0.0, 0.03))), 1.0)
        utterances.append(
            {"score": str(scores[number]), "tempo": tempo, "seed": int(rng.integers(2**31)), "target": str(path)}
        )
    _run(python, {"person": person.manner, "utterances": utterances}, out / f".{person.name}.json", raw)
    for stem, path in zip(stems, raw, strict=True):
        _finish(out / stem, path, generator(seed, "vocaltract", "noise", stem))
        path.unlink()
    return lines


def _finish(stem: Path, raw: Path, rng: np.random.Generator) -> None:
    """Bring the sound to its level over a faint noise, and write sound and tracks."""
    with np.load(raw) as data:
        wave, rate = data["audio"].astype(np.float64), int(data["rate"])
        tracks = {name: data[name] for name in ("fs", "upper_lip_mm", "lower_lip_mm", "jaw_mm")}
    wave *= 10 ** (LEVEL_DBFS / 20) / np.sqrt(np.mean(wave**2))
    wave += 10 ** (NOISE_DBFS / 20) * rng.standard_normal(len(wave))
    write_wav(stem.with_suffix(".wav"), np.clip(wave, -1.0, 1.0), rate)
    with atomic_path(stem.with_suffix(".npz")) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **tracks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    parser.add_argument("--python", default=os.environ.get(VARIABLE, sys.executable), help="has vocaltractlab-cython")
    parser.add_argument("--speakers", type=int, default=12)
    parser.add_argument("--texts", type=int, default=4, help=f"each speaker says so many of {len(TEXTS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="speakers that speak at a time")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data", help="folder of recordings")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    try:
        table = make(
            *(arguments.out, arguments.python, arguments.speakers, arguments.texts),
            *(arguments.seed, max(1, arguments.workers)),
        )
        seconds = time.perf_counter() - begun
        sys.path.insert(0, str(HERE))
        report = importlib.import_module("judges_report").report(arguments.out, arguments.data / "articulatory")
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    report = {"seconds to make": round(seconds, 1), "workers": arguments.workers, **report}
    write_json(arguments.out / "report.json", report)
    print(json.dumps(report, indent=1))
    print(f"wrote {table}")


if __name__ == "__main__":
    main()
