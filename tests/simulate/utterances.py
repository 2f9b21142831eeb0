"""A small corpus for the simulator's tests: made sounds, and phones that open and close the mouth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Metadata
from vivavoce.simulate.phonemes import Phone

RATE = 16_000


def phones_of(seconds: float, seed: int = 0) -> list[Phone]:
    """Alternate labials and open vowels, with a pause at both ends."""
    rng = np.random.default_rng(seed)
    names = ("M", "AA", "B", "IY", "P", "OW", "W", "AE")
    phones, at = [Phone("SIL", 0.0, 0.15)], 0.15
    while at < seconds - 0.25:
        end = min(at + float(rng.uniform(0.07, 0.16)), seconds - 0.15)
        phones.append(Phone(names[int(rng.integers(len(names)))], at, end))
        at = end
    return [*phones, Phone("SIL", at, seconds)]


def voice_of(seconds: float, seed: int = 0) -> np.ndarray:
    """A harmonic voice with syllables and some noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = rng.uniform(100, 220)
    voice = sum(np.sin(2 * np.pi * pitch * h * time) / h for h in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time + rng.uniform(0, 6)), 0, None)
    return (0.1 * syllables * voice + 0.005 * rng.standard_normal(len(time))).astype(np.float32)


def write_corpus(
    folder: Path, speakers: Sequence[str] = ("ann", "ben"), each: int = 3, seconds: float = 1.2
) -> tuple[list[Row], dict[str, list[Phone]]]:
    """Write a corpus below ``folder``; returns its rows and their phones."""
    rows, phones = [], {}
    for speaker in speakers:
        for turn in range(each):
            name = f"{speaker}-{turn}"
            seed = sum(map(ord, name))
            long = seconds + 0.1 * turn
            path = folder / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, voice_of(long, seed), RATE)
            rows.append(Row(name, path, speaker, f"sentence {turn} of {speaker}", 0.0, long, RATE, 0, Metadata()))
            phones[name] = phones_of(long, seed)
    return rows, phones
