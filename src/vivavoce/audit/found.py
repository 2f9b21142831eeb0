"""What checks give and take beside the tables: files of a finding, read from disk, and embeddings of rows."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, overload

import numpy as np


class FileRef(NamedTuple):
    """A recording that a finding names, with its own figure and the recording it goes with, where there are such."""

    id: str
    path: str
    value: float | str | None = None
    other: str | None = None


class Files(Sequence[FileRef]):
    """The recordings of a finding, kept on disk: a slice of the table ``found``."""

    def __init__(self, db: sqlite3.Connection, first: int, count: int) -> None:
        self._db, self._first, self._count = db, first, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> FileRef: ...
    @overload
    def __getitem__(self, index: slice) -> list[FileRef]: ...
    def __getitem__(self, index: int | slice) -> FileRef | list[FileRef]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._count)
            return list(self._read(start, stop))[::step] if step > 0 else list(self)[index]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return next(self._read(index % self._count, index % self._count + 1))

    def __iter__(self) -> Iterator[FileRef]:
        return self._read(0, self._count)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Files) and len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def _read(self, start: int, stop: int) -> Iterator[FileRef]:
        rows = self._db.execute(
            "SELECT r.id, r.path, f.value, o.id FROM found f JOIN rows r ON r.number = f.number"
            " LEFT JOIN rows o ON o.number = f.other WHERE f.place >= ? AND f.place < ? ORDER BY f.place",
            (self._first + start, self._first + stop),
        )
        return map(FileRef._make, rows)


@dataclass(frozen=True)
class Found:
    """What a check function found: the files, one sentence, and its figures."""

    files: Files
    what: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Embeddings:
    """Embeddings ``vectors`` ``(rows, dimensions)`` of the rows of these ``numbers`` ``(rows,)``, in order of id."""

    numbers: np.ndarray
    speakers: np.ndarray
    vectors: np.ndarray
