"""Sounds and a stand-in run for the tests of the stress test: no training, no files but those that a test writes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr

from vivavoce.audio import write_wav
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind, Metadata

RATE = 48_000
TONES_HZ = (18_200.0, 18_800.0, 19_400.0)


def speech_like(seconds: float = 2.0, rate: int = RATE, seed: int = 0, probe: bool = True) -> np.ndarray:
    """A voiced sound with syllables and some breath, ``(samples,)`` float32, with tones above it."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * rate)) / rate
    f0 = 100 + 80 * rng.random()
    voice = sum(np.sin(2 * np.pi * f0 * k * time_s + rng.uniform(0, 6)) / k for k in range(1, 30))
    envelope = np.clip(np.sin(2 * np.pi * 3 * time_s + rng.uniform(0, 6)) + 0.6, 0.02, None)
    breath = np.resize(soxr.resample(rng.standard_normal(round(seconds * 16_000)), 16_000, rate), len(time_s))
    wave = 0.08 * envelope * (np.asarray(voice) + 0.1 * breath)
    if probe:
        echo = 0.02 * (1 + 0.05 * np.sin(2 * np.pi * 4 * time_s))  # as if something moved
        wave = wave + echo * sum(np.sin(2 * np.pi * hertz * time_s) for hertz in TONES_HZ)
    return wave.astype(np.float32)


def write_rows_of(folder: Path, speakers: Sequence[str], kinds: Sequence[Kind], utterances: int) -> list[Row]:
    """Recordings on disk, every kind of every utterance of every speaker, with metadata to group by."""
    rows = []
    for number, speaker in enumerate(speakers):
        for utterance in range(utterances):
            for kind in kinds:
                name = f"{speaker}-{utterance}-{kind.value}"
                absent = kind is Kind.PROBE_ABSENT
                samples = speech_like(
                    1.6, probe=not absent, seed=1000 * number + 10 * utterance + list(kinds).index(kind)
                )
                path = folder / f"{name}.wav"
                write_wav(path, samples, RATE)
                meta = Metadata(
                    kind=kind,
                    session=f"s{utterance % 2}",
                    posture=("stand", "handheld")[utterance % 2],
                    distance_cm=(5.0, 10.0, 30.0)[utterance % 3],
                    probe_hz=() if absent else TONES_HZ,
                )
                seconds = len(samples) / RATE
                rows.append(Row(name, path, speaker, None, 0.0, seconds, RATE, 0, meta, len(samples), 1))
    return rows
