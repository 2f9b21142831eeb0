"""Sound files that features were made of: their content, and the signs by which an unchanged file is known."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.progress import track


def content_digest(path: Path) -> bytes:
    """SHA-256 of a file, 32 bytes.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise _unreadable(path, error) from error


def stamp(path: Path) -> tuple[int, int, int]:
    """Size in bytes, time of the last change of the content, and of the file's record (which no program can set), ns.

    Raises:
        UserError: the file is gone.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def stamps(rows: Sequence[Row]) -> np.ndarray:
    """Stamps of the rows' files, ``(rows, 3)``; a file of several rows is looked up once."""
    known = {path: stamp(path) for path in dict.fromkeys(row.path for row in rows)}
    return np.array([known[row.path] for row in rows], dtype=np.int64).reshape(-1, 3)


def first_changed(rows: Sequence[Row], content: np.ndarray, seen: np.ndarray, workers: int) -> int | None:
    """Number of the first row whose file no longer has its content, None where all have.

    Only files whose stamp differs from the one ``seen`` are read.

    Args:
        rows: the recordings.
        content: SHA-256 of each row's file when its features were made, ``(rows, 32)`` bytes.
        seen: stamps of the files then, ``(rows, 3)``.
        workers: threads that read files.
    """
    suspects: list[int] = np.flatnonzero((stamps(rows) != seen).any(axis=1)).tolist()
    paths = list(dict.fromkeys(rows[index].path for index in suspects))
    with ThreadPoolExecutor(workers) as pool:  # hashing releases the interpreter's lock
        digests = track(pool.map(content_digest, paths), "Comparing sound files with their features", len(paths))
        now = dict(zip(paths, digests, strict=True))
    changed = (index for index in suspects if now[rows[index].path] != content[index].tobytes())
    return next(changed, None)


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"The sound file {path} cannot be read ({error.strerror}); put it back.")
