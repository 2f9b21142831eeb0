"""Offline features: extracted once, kept as two flat float16 arrays with an index, refused when stale.

A recording is a slice of both arrays, so that a batch of random crops is one gather.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.features.front_end import FrontEnd, FrontEndConfig, batch_features, read_wave
from vivavoce.files import atomic_path
from vivavoce.progress import progress_bar
from vivavoce.signal.probe import ProbeQuality

# Recordings a worker takes at a time: enough to fill a batch, few enough to keep all workers busy to the end.
CHUNK = 16
# A tenth of a second holds no word; much less would not even hold a frame.
SHORTEST_S = 0.1
STORE_VERSION = 2


@dataclass(frozen=True)
class FeatureStore:
    """Features of a list of recordings, in its order."""

    voice: np.ndarray  # (all frames, mels) float16
    echo: np.ndarray  # (all frames, channels) float16
    starts: np.ndarray  # (recordings,) first frame
    frames: np.ndarray  # (recordings,) number of frames
    quality: list[ProbeQuality]

    def __len__(self) -> int:
        """Number of recordings."""
        return len(self.starts)

    def echo_of(self, item: int) -> torch.Tensor:
        """Echo features of one recording, ``(frames, channels)`` float32."""
        start = self.starts[item]
        return torch.from_numpy(self.echo[start : start + self.frames[item]].astype(np.float32))


def fingerprint(rows: list[Row], config: FrontEndConfig, workers: int = 2) -> str:
    """Hash of what the features depend on: the sound files' content, the spans, known probes, the front end.

    Raises:
        UserError: a sound file is gone.
    """
    paths = list(dict.fromkeys(row.path for row in rows))
    with ThreadPoolExecutor(workers) as pool:  # hashing releases the interpreter's lock
        content = dict(zip(paths, pool.map(_content, paths), strict=True))
    digest = hashlib.sha256(f"{STORE_VERSION}{config.model_dump_json()}".encode())
    for row in rows:
        digest.update(repr((content[row.path], row.channel, row.start_s, row.duration_s, row.meta.probe_hz)).encode())
    return digest.hexdigest()


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"The sound file {path} cannot be read ({error.strerror}); put it back.") from error


def open_store(rows: list[Row], config: FrontEndConfig, folder: Path, workers: int = 2) -> FeatureStore:
    """Read the features of ``rows`` from ``folder``; extract them first where they are missing, stale or damaged.

    Raises:
        UserError: there are no recordings, one of them cannot be used, or the disk is full.
    """
    if not rows:
        raise UserError(f"There are no recordings to extract features of into {folder}; check the manifest.")
    key = fingerprint(rows, config, workers)
    store = _load(folder, key)
    if store is None:
        _extract(rows, config, folder, key, workers)
        store = _load(folder, key)
    if store is None:
        raise UserError(f"The features just written to {folder} do not read back; check that disk and run again.")
    return store


def _load(folder: Path, key: str) -> FeatureStore | None:
    """Open the store with this fingerprint; None where there is none, or not a whole one."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        if index["fingerprint"] != key or index["check"] != _check(index):
            return None
        voice, echo = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("voice", "echo"))
        frames = np.array(index["frames"], dtype=np.int64)
        quality = [ProbeQuality(**quality) for quality in index["quality"]]
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    if not len(voice) == len(echo) == frames.sum():
        return None
    return FeatureStore(voice, echo, np.cumsum(frames) - frames, frames, quality)


def _check(index: dict[str, Any]) -> str:
    """Hash of what an index says, so that a damaged one is not believed."""
    said = (index["fingerprint"], index["frames"], index["quality"])
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _extract(rows: list[Row], config: FrontEndConfig, folder: Path, key: str, workers: int) -> None:
    """Extract all features and write the store, whole or not at all."""
    voices, echoes, qualities = [], [], []
    with progress_bar("Extracting features", len(rows)) as advance:
        for voice, echo, quality in extract_rows(rows, config, workers):
            voices.append(voice)
            echoes.append(echo)
            qualities.append(asdict(quality))
            advance(1)
    index = {"fingerprint": key, "frames": [len(voice) for voice in voices], "quality": qualities}
    shutil.rmtree(folder, ignore_errors=True)
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        _write_array(temporary / "voice.npy", voices)
        _write_array(temporary / "echo.npy", echoes)
        (temporary / "index.json").write_text(json.dumps({**index, "check": _check(index)}), encoding="utf-8")


def _write_array(path: Path, parts: list[np.ndarray]) -> None:
    """Write ``(frames, channels)`` parts as one array; `np.save` would need them joined, and hides a full disk."""
    header = np.lib.format.header_data_from_array_1_0(parts[0])
    header["shape"] = (sum(map(len, parts)), parts[0].shape[1])
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part).data)


def extract_rows(
    rows: list[Row], config: FrontEndConfig, workers: int = 2
) -> Iterator[tuple[np.ndarray, np.ndarray, ProbeQuality]]:
    """Yield (voice, echo, probe quality) of each recording in order, as float16 ``(frames, channels)``."""
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    if workers < 2 or len(chunks) < 2:
        front_end = config.build()
        for chunk in chunks:
            yield from _extract_chunk(front_end, chunk)
        return
    # Spawned, not forked: a forked copy of torch's thread pool can hang.
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (config.model_dump_json(),)) as pool:
        for results in pool.map(_work, chunks):
            yield from results


_front_end: FrontEnd | None = None


def _start_worker(config_json: str) -> None:
    global _front_end
    torch.set_num_threads(1)
    _front_end = FrontEndConfig.model_validate_json(config_json).build()


def _work(chunk: list[Row]) -> list[tuple[np.ndarray, np.ndarray, ProbeQuality]]:
    assert _front_end is not None
    return _extract_chunk(_front_end, chunk)


def _extract_chunk(front_end: FrontEnd, chunk: list[Row]) -> list[tuple[np.ndarray, np.ndarray, ProbeQuality]]:
    waves = [read_wave(row) for row in chunk]
    for row, wave in zip(chunk, waves, strict=True):
        seconds = len(wave.samples) / wave.rate
        if seconds < SHORTEST_S:
            raise UserError(
                f"The recording {row.id} ({row.path}) is {seconds:.3f} s long, and {SHORTEST_S:g} s is the least to "
                "learn or judge from; take it out of the manifest."
            )
    return [
        (voice.half().numpy(), echo.half().numpy(), wave.quality)
        for (voice, echo), wave in zip(batch_features(front_end, waves), waves, strict=True)
    ]
