"""Short recordings with a probe, for tests of stores and online features."""

from pathlib import Path

import numpy as np

from vivavoce.audio import write_wav
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.signal.probe import draw_probe

PROBE = draw_probe(np.random.default_rng(3))


def record(path: Path, rate: int, seconds: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 0.02, round(rate * seconds))
    if rate > 40_000:
        samples += PROBE.waveform(rate, len(samples))
    write_wav(path, samples, rate)


def make_recordings(folder: Path, lengths: list[tuple[int, float]], speakers: int = 99) -> list[Row]:
    """One recording for each (rate in Hz, seconds); every second one is an attack."""
    rows = []
    for seed, (rate, seconds) in enumerate(lengths):
        path = folder / f"{seed}.wav"
        record(path, rate, seconds, seed)
        meta = Metadata(kind=Kind.REPLAY_STAND if seed % 2 else Kind.LIVE, probe_hz=None)
        name = f"s{seed // 2 % speakers}"
        rows.append(Row(f"r{seed}", path, name, None, 0.0, seconds, rate, 0, meta))
    return rows
