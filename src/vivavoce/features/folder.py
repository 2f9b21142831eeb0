"""A store as a folder: the one place that knows its files.

    store.json              how the features are made, where shards begin, whether the store is whole
    recordings.index        ids of the recordings, what the manifest says of each one's sound
    shard-00000.index       of each slot: frames, speed; of each recording: probe quality, content and stamp of its file
    shard-00000.voice.f16   frames of both streams, nothing but float16; their checksums are in the shard's index
    shard-00000.echo.f16
    stamps.npy              newer stamps of the sound files, where these were moved and found to be the same

An index is an .npz followed by its SHA-256; store.json holds its own. A shard counts once its index is there, the store
once store.json says so, so that a kill leaves nothing half-believed.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vivavoce.errors import UserError
from vivavoce.features.store import Qualities
from vivavoce.files import atomic_path, write_text
from vivavoce.progress import track

FORMAT = 1
VALUE_BYTES = 2  # float16
STREAMS = ("voice", "echo")
SEAL_BYTES = 32  # of a SHA-256


class UnusableStore(UserError):
    """A store that must not be used: stale, damaged, or not whole."""


@dataclass(frozen=True)
class Record:
    """What store.json says."""

    key: str  # of everything but the sound itself
    spec: dict[str, Any]
    channels: tuple[int, int]  # of voice and echo
    edges: tuple[int, ...]  # first recording of each shard, and the number of all
    whole: bool  # every shard is there


@dataclass(frozen=True)
class ShardIndex:
    """What a shard's index says."""

    key: str  # of the store that it belongs to
    frames: np.ndarray  # (slots,)
    speeds: np.ndarray  # (slots,)
    quality: Qualities
    content: np.ndarray  # (recordings, 32) SHA-256 of each recording's file
    stamps: np.ndarray  # (recordings, 3)
    checksums: np.ndarray  # (2, 32) SHA-256 of the files of voice and echo


class StoreFolder:
    """Reads and writes the files of a store; knows nothing of how features are made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = path / "store.json"
        self.recordings = path / "recordings.index"
        self.stamps = path / "stamps.npy"

    def index(self, shard: int) -> Path:
        """The file that makes a shard count."""
        return self.path / f"shard-{shard:05d}.index"

    def frames(self, shard: int, stream: str) -> Path:
        """The file of one stream of a shard."""
        return self.path / f"shard-{shard:05d}.{stream}.f16"

    def files(self, shard: int) -> list[Path]:
        """All files of a shard."""
        return [self.index(shard), *(self.frames(shard, stream) for stream in STREAMS)]

    def write_record(self, record: Record) -> None:
        """Write store.json, with a checksum of itself."""
        said = {"format": FORMAT, **vars(record)}
        write_text(self.record, json.dumps({**said, "check": _check(said)}, indent=1) + "\n")

    def read_record(self) -> Record:
        """Read store.json.

        Raises:
            UnusableStore: there is none, or it is damaged or of another version of the format.
        """
        if not self.record.is_file():
            raise UnusableStore(f"{self.path} holds no store of features; make one with `vivavoce extract`.")
        try:
            said = json.loads(self.record.read_text(encoding="utf-8"))
            check = said.pop("check")
            if check != _check(said):
                raise self.damaged(self.record)
            if said.pop("format") != FORMAT:
                raise UnusableStore(f"{self.path} was made by another version of vivavoce; extract the features again.")
            return Record(said["key"], said["spec"], tuple(said["channels"]), tuple(said["edges"]), said["whole"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self.damaged(self.record) from error

    def write_index(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        """Write arrays atomically, their checksum behind them."""
        buffer = io.BytesIO()  # written by Python, since the libraries' own writers hide a full disk
        np.savez(buffer, allow_pickle=False, **arrays)
        content = buffer.getvalue()
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            file.write(content)
            file.write(hashlib.sha256(content).digest())

    def read_index(self, path: Path) -> dict[str, np.ndarray]:
        """Read what `write_index` wrote.

        Raises:
            UnusableStore: it is missing or damaged.
        """
        try:
            sealed = path.read_bytes()
            content, seal = sealed[:-SEAL_BYTES], sealed[-SEAL_BYTES:]
            if hashlib.sha256(content).digest() != seal:
                raise self.damaged(path)
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise self.damaged(path) from error

    def write_recordings(self, ids: Sequence[str], spans: np.ndarray) -> None:
        """Write which recordings the store is of."""
        self.write_index(self.recordings, {"ids": _packed(ids), "spans": spans})

    def read_recordings(self) -> tuple[list[str], np.ndarray]:
        """Ids of the recordings, and what the manifest said of each one's sound ``(recordings, 16)``.

        Raises:
            UnusableStore: the file is missing or damaged.
        """
        arrays = self.read_index(self.recordings)
        return arrays["ids"].tobytes().decode().split("\0"), arrays["spans"]

    def write_shard(self, shard: int, index: ShardIndex) -> None:
        """Write a shard's index, after which the shard counts."""
        quality = index.quality
        arrays = {
            "key": np.array(index.key),
            **{"frames": index.frames, "speeds": index.speeds, "content": index.content, "stamps": index.stamps},
            **{"present": quality.present, "level_dbfs": quality.level_dbfs, "snr_db": quality.snr_db},
            **{"reason": quality.reason, "reasons": np.array(quality.reasons), "checksums": index.checksums},
        }
        self.write_index(self.index(shard), arrays)

    def read_shard(self, shard: int) -> ShardIndex:
        """Read a shard's index.

        Raises:
            UnusableStore: it is missing or damaged.
        """
        a = self.read_index(self.index(shard))
        try:
            quality = Qualities(a["present"], a["level_dbfs"], a["snr_db"], a["reason"], a["reasons"].tolist())
            rest = (a["content"], a["stamps"], a["checksums"])
            return ShardIndex(str(a["key"]), a["frames"], a["speeds"], quality, *rest)
        except KeyError as error:
            raise self.damaged(self.index(shard)) from error

    def verify(self, indices: Iterable[tuple[int, ShardIndex]], channels: tuple[int, int], workers: int) -> None:
        """Compare the frames on disk with their checksums, every byte.

        Raises:
            UnusableStore: a file is missing, of the wrong length, or differs in a byte.
        """
        jobs = [
            (self.frames(shard, stream), int(index.frames.sum()) * width * VALUE_BYTES, index.checksums[number])
            for shard, index in indices
            for number, (stream, width) in enumerate(zip(STREAMS, channels, strict=True))
        ]
        with ThreadPoolExecutor(workers) as pool:  # hashing releases the interpreter's lock
            whole = pool.map(lambda job: _is_whole(*job), jobs)
            for (path, _, _), fine in zip(jobs, track(whole, "Verifying the store", len(jobs)), strict=True):
                if not fine:
                    raise self.damaged(path)

    def map_frames(self, shard: int, stream: str, channels: int) -> np.ndarray:
        """The frames of one stream of a shard, ``(frames, channels)`` float16, mapped from the file."""
        path = self.frames(shard, stream)
        if path.stat().st_size == 0:
            return np.zeros((0, channels), dtype=np.float16)
        # As a plain array: slices of `np.memmap` are ten times slower to make.
        return np.asarray(np.memmap(path, dtype=np.float16, mode="r")).reshape(-1, channels)

    def read_stamps(self, recordings: int) -> np.ndarray | None:
        """Newer stamps than the shards', if any are kept."""
        with suppress(OSError, ValueError, EOFError):
            kept = np.load(self.stamps, allow_pickle=False)
            if kept.shape == (recordings, 3) and kept.dtype == np.int64:
                return kept
        return None

    def keep_stamps(self, stamps: np.ndarray) -> None:
        """Keep newer stamps, so that moved files need not be read again next time; only a convenience."""
        with suppress(UserError), atomic_path(self.stamps) as temporary, temporary.open("wb") as file:
            np.save(file, stamps)

    def damaged(self, path: Path) -> UnusableStore:
        """The error for a file of the store that is not as it was written."""
        return UnusableStore(
            f"{path} is damaged or missing; run the same extraction again, which makes only the damaged part anew."
        )


def _check(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _packed(ids: Sequence[str]) -> np.ndarray:
    """Ids as one array of bytes: as text a million of them would take as much room as the longest does each."""
    return np.frombuffer("\0".join(ids).encode(), dtype=np.uint8)


def _is_whole(path: Path, size: int, checksum: np.ndarray) -> bool:
    try:
        if path.stat().st_size != size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest() == checksum.tobytes()
    except OSError:
        return False
