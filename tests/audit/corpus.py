"""A small clean corpus: invented voices with a probe, full metadata, nothing to complain of."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.signal

from vivavoce.audio import audio_info, write_wav
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.manifest import write_rows
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.signal.probe import draw_probe

RATE = 48_000
SECONDS = 1.6
PROBE = draw_probe(np.random.default_rng(99), level_dbfs=-22.0)
Change = Callable[[np.ndarray], np.ndarray]


@lru_cache(64)
def voice(seed: int, seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """Syllables of changing pitch and colour over a quiet floor, silent for 0.15 s at both ends, ``(samples,)``."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * rate)
    time_s = np.arange(samples) / rate
    knots = np.linspace(0, seconds, 12)
    pitch = np.interp(time_s, knots, rng.uniform(90, 230, len(knots)))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    wave = np.zeros(samples)
    for harmonic in range(1, 21):
        wave += np.interp(time_s, knots, rng.uniform(0.05, 1, len(knots)) / harmonic**0.7) * np.sin(harmonic * phase)
    wave *= np.interp(time_s, knots, np.where(np.arange(12) % 2, 1.0, rng.uniform(0.1, 0.8, 12)))
    wave[(time_s < 0.15) | (time_s > seconds - 0.15)] = 0
    wave = 0.2 * wave / np.abs(wave).max() + 2e-4 * rng.normal(size=samples)
    wave.flags.writeable = False  # it is remembered
    return wave


def recording(seed: int, seconds: float = SECONDS) -> np.ndarray:
    """A voice and the probe, ``(samples,)`` at 48 kHz."""
    wave = voice(seed, seconds)
    return wave + PROBE.waveform(RATE, len(wave))


def row_of(path: Path, number: int, **meta: object) -> Row:
    """A row with full metadata for a sound file."""
    info = audio_info(path)
    values = {
        "session": "s1",
        "kind": (Kind.LIVE, Kind.REPLAY_STAND)[number // 2 % 2],
        "phrase": f"p{number % 3}",
        "device": "phone",
        "sex": "fm"[number % 2],
        "posture": "stand",
        "distance_cm": 10.0,
        "probe_hz": PROBE.tones_hz,
    }
    return Row(
        id=path.stem,
        path=path,
        speaker=f"speaker{number % 4}",
        text=f"phrase {number % 3}",
        start_s=0.0,
        duration_s=info.duration_s,
        sample_rate=info.sample_rate,
        channel=0,
        meta=Metadata.model_validate(values | meta),
        file_samples=info.samples,
        file_channels=info.channels,
    )


def clean_rows(folder: Path, count: int, seed: int = 0) -> list[Row]:
    """Write ``count`` clean recordings and return their rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        path = folder / f"clean{seed + number:03d}.wav"
        write_wav(path, recording(seed + number), RATE)
        rows.append(row_of(path, number))
    return rows


def manifest_of(rows: Sequence[Row], path: Path) -> Path:
    """Write a manifest."""
    write_rows(rows, path)
    return path


def low_passed(wave: np.ndarray, cutoff_hz: float) -> np.ndarray:
    """Cut off what is above ``cutoff_hz``, as a codec does."""
    return scipy.signal.sosfiltfilt(scipy.signal.butter(8, cutoff_hz, fs=RATE, output="sos"), wave)


def changed(row: Row, **values: object) -> Row:
    """Another row; metadata by the names of their fields."""
    fields = {name: value for name, value in values.items() if name in Row.__dataclass_fields__}
    meta = {name: value for name, value in values.items() if name not in fields}
    return replace(row, **fields, meta=Metadata.model_validate(row.meta.model_dump() | meta))  # pyright: ignore
