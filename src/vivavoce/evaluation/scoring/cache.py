"""Embeddings kept on disk, so that a recording is embedded once by each encoder.

A recording is known by the content of its sound file and the span that is read of it, an encoder by its fingerprint.
What does not fit or is not whole is computed anew.
"""

import hashlib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vivavoce.corpus.manifest import Row
from vivavoce.features.sources import content_digest
from vivavoce.files import atomic_path
from vivavoce.progress import track

# Raise it whenever the same file and fingerprint would give another embedding.
VERSION = 1
DIGEST_BYTES = 32
_READERS = 4  # threads; hashing releases the interpreter's lock


def recording_keys(rows: Sequence[Row]) -> list[bytes]:
    """Name what each row sounds like: SHA-256 of its file's bytes, its channel and its span.

    Raises:
        UserError: a file cannot be read.
    """
    paths = list(dict.fromkeys(row.path for row in rows))
    with ThreadPoolExecutor(_READERS) as pool:
        digests = dict(zip(paths, track(pool.map(content_digest, paths), "Reading files", len(paths)), strict=True))
    spans = (f"{row.channel} {row.start_s!r} {row.duration_s!r}" for row in rows)
    return [hashlib.sha256(digests[row.path] + span.encode()).digest() for row, span in zip(rows, spans, strict=True)]


class EmbeddingCache:
    """The embeddings of one encoder in one folder: a safetensors file that holds the keys beside the vectors.

    Args:
        folder: of the caches of all encoders.
        name: the encoder, for people.
        fingerprint: the encoder, for us.
    """

    def __init__(self, folder: Path | str, name: str, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.path = Path(folder) / f"{re.sub(r'[^A-Za-z0-9.]+', '-', name)[:60]}-{fingerprint[:16]}.safetensors"
        self._vectors: dict[bytes, NDArray[np.float32]] = {}
        with suppress(SafetensorError, OSError, KeyError, ValueError, TypeError):
            self._vectors = self._read()

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """The embedding of a recording, ``(dimensions,)``; None: it is not here."""
        return self._vectors.get(key)

    def add(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Keep embeddings ``(recordings, dimensions)``, and write all that are kept.

        Raises:
            UserError: the disk is full, or the folder cannot be written.
        """
        self._vectors.update(zip(keys, vectors, strict=True))
        names = np.frombuffer(b"".join(self._vectors), np.uint8).reshape(-1, DIGEST_BYTES)
        stacked = np.stack(list(self._vectors.values()))
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(
                save({"keys": names, "vectors": stacked}, self._signs() | {"sha256": _digest(names, stacked)})
            )

    def _read(self) -> dict[bytes, NDArray[np.float32]]:
        """What an earlier run kept; nothing where the file is another's or does not hold what it was written with."""
        with safe_open(self.path, framework="np") as file:
            signs = dict(file.metadata() or {})
            keys, vectors = file.get_tensor("keys"), file.get_tensor("vectors")
        if signs != self._signs() | {"sha256": _digest(keys, vectors)}:
            return {}
        return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}

    def _signs(self) -> dict[str, str]:
        return {"fingerprint": self.fingerprint, "version": str(VERSION)}


def _digest(keys: NDArray[np.uint8], vectors: NDArray[np.float32]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(keys).data)
    digest.update(str((keys.shape, vectors.shape, vectors.dtype.str)).encode())
    digest.update(np.ascontiguousarray(vectors).data)
    return digest.hexdigest()
