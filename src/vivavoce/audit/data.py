"""What checks read: the rows of one or two manifests and their measurements, as tables of SQLite's, on disk."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from vivavoce.audit.found import Embeddings, Files, Found
from vivavoce.audit.state import NUMBERS
from vivavoce.corpus.manifest import Row, iterate_rows
from vivavoce.errors import UserError

MAIN, OTHER = 0, 1
BATCH = 2000  # rows between two calls of SQLite: large enough that Python's part does not matter
# Metadata of a row that may be missing, by the columns of ``rows``.
OPTIONAL = ("session", "phrase", "device", "sex", "posture", "distance_cm", "text", "probe_hz")
_TABLES = f"""
CREATE TEMP TABLE rows (
  number INTEGER PRIMARY KEY, side INTEGER, id TEXT, path TEXT, speaker TEXT, kind TEXT, session TEXT, phrase TEXT,
  device TEXT, sex TEXT, posture TEXT, distance_cm REAL, text TEXT, probe_hz TEXT, source TEXT, start_s REAL,
  duration_s REAL, sample_rate INTEGER, channel INTEGER, listed_file_s REAL, measured INTEGER, content INTEGER
);
CREATE TEMP TABLE found (place INTEGER PRIMARY KEY, number INTEGER, value, other INTEGER);
CREATE TEMP TABLE content (id INTEGER PRIMARY KEY, hash BLOB UNIQUE, measured INTEGER);
CREATE TEMP TABLE near (first INTEGER, second INTEGER, similarity REAL, across INTEGER);
CREATE TEMP VIEW listed AS SELECT * FROM rows WHERE side = {MAIN};
CREATE TEMP VIEW heard AS SELECT r.*, {", ".join("m." + name for name in NUMBERS if name != "content")}
  FROM rows AS r JOIN main.measurement AS m ON m.id = r.measured WHERE r.side = {MAIN};
CREATE TEMP VIEW sound AS SELECT * FROM heard WHERE problem IS NULL;
"""


class Data:
    """The tables of one audit; ``rows`` (both manifests), ``listed`` (the audited one), ``heard`` and ``sound``.

    ``heard`` joins each audited row with its measurement, ``sound`` leaves out those that could not be measured.
    """

    def __init__(self, db: sqlite3.Connection, manifest: Path, against: Path | None = None) -> None:
        self.db, self.manifest, self.against = db, manifest, against
        self.embeddings: Embeddings | None = None
        db.executescript(_TABLES)
        self._load(manifest, MAIN)
        if against is not None:
            self._load(against, OTHER)
        db.executescript(
            "CREATE INDEX temp.rows_speaker ON rows (speaker, session);"
            "CREATE INDEX temp.rows_path ON rows (path, channel, start_s, duration_s, probe_hz);"
        )

    def one(self, sql: str, *parameters: Any) -> Any:
        """Return the first row of a query; its only column where it has one."""
        row = self.db.execute(sql, parameters).fetchone()
        return row[0] if row is not None and len(row) == 1 else row

    def all(self, sql: str, *parameters: Any) -> list[Any]:
        """Return all rows of a query that gives few."""
        return self.db.execute(sql, parameters).fetchall()

    def files(self, sql: str, *parameters: Any) -> Files:
        """Keep the rows of a query as the files of a finding; it selects number, value, number of the other file."""
        first = self._next_place()
        self.db.execute(f"INSERT INTO found (number, value, other) {sql}", parameters)
        return Files(self.db, first, self._next_place() - first)

    def files_of(self, found: Iterable[tuple[int, float | str | None, int | None]]) -> Files:
        """Keep rows by number, value and number of the other file as the files of a finding."""
        first = self._next_place()
        self.db.executemany("INSERT INTO found (number, value, other) VALUES (?, ?, ?)", found)
        return Files(self.db, first, self._next_place() - first)

    def no_files(self) -> Files:
        """Return the files of a finding that concerns the corpus as a whole."""
        return Files(self.db, 0, 0)

    def flag(
        self, condition: str, *limits: float, figure: str, what: str, table: str = "sound", lowest: bool = False
    ) -> Iterator[Found]:
        """Yield one finding over the recordings where ``condition`` holds, the worst first.

        Args:
            condition: SQL over ``table``, with a question mark for each limit.
            limits: thresholds.
            figure: SQL of a recording's figure.
            what: the sentence before the number of recordings; it may use ``{worst}`` and ``{limit}``, the first one.
            table: ``sound``, ``heard`` or ``listed``.
            lowest: the lowest figure is the worst, not the highest.
        """
        direction = "ASC" if lowest else "DESC"
        files = self.files(
            f"SELECT number, {figure} AS figure, NULL FROM {table} WHERE {condition}"
            f" ORDER BY figure {direction}, id, path",
            *limits,
        )
        if files:
            worst, limit = files[0].value, limits[0] if limits else None
            values = {"recordings": len(files), "worst": worst} | ({} if limit is None else {"limit": limit})
            yield Found(files, f"{what.format(worst=worst, limit=limit)}: {recordings(len(files))}.", values)

    def _next_place(self) -> int:
        return self.one("SELECT coalesce(max(place), 0) + 1 FROM found")

    def _load(self, manifest: Path, side: int) -> None:
        rows = map(_columns, iterate_rows(manifest))
        insert = f"INSERT INTO rows VALUES (NULL, {side}, {', '.join('?' * 18)}, NULL, NULL)"
        empty = True
        while batch := list(islice(rows, BATCH)):
            self.db.executemany(insert, batch)
            empty = False
        if empty:
            raise UserError(f"The manifest {manifest} is empty; import the recordings again.")


def counted(count: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def recordings(count: int) -> str:
    """Write a number of recordings with its noun."""
    return counted(count, "recording")


def joined(names: Iterable[Any], most: int = 5) -> str:
    """Write the first few names with commas, and how many there are beside them."""
    names = [str(name) for name in names]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def probe_text(probe_hz: tuple[float, ...] | None) -> str:
    """Write declared tones as a key; empty: unknown."""
    return "" if probe_hz is None else json.dumps(list(probe_hz))


def probe_of(text: str) -> tuple[float, ...] | None:
    """Read what `probe_text` wrote."""
    return None if not text else tuple(json.loads(text))


def _columns(row: Row) -> tuple[Any, ...]:
    meta = row.meta
    source = (meta.model_extra or {}).get("source")
    return (
        row.id,
        str(row.path),
        row.speaker,
        meta.kind.value,
        meta.session,
        meta.phrase,
        meta.device,
        meta.sex,
        meta.posture,
        meta.distance_cm,
        row.text,
        probe_text(meta.probe_hz),
        None if source is None else str(source),
        row.start_s,
        row.duration_s,
        row.sample_rate,
        row.channel,
        None if row.file_samples is None else row.file_samples / row.sample_rate,
    )
