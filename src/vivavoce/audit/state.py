"""The audit's state on disk: an SQLite file of measurements, reused by the next audit and whole after a kill."""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vivavoce.audit import fingerprint
from vivavoce.audit.measure import COLUMNS, VERSION, Measurement
from vivavoce.errors import UserError

APPLICATION_ID = 0x76766175  # "vvau"; keeps us from writing into somebody else's database
# Whatever changes what a measurement says; another version is measured anew.
_MAKING = (VERSION, COLUMNS, *(value for name, value in sorted(vars(fingerprint).items()) if name.isupper()))
SCHEMA_VERSION = zlib.crc32(repr(_MAKING).encode()) & 0x7FFF_FFFF
BUSY_S = 60.0  # another audit that shares the state holds it for a fraction of a second at a time
# SQLite's own cache, in KiB: what bounds the memory of an audit, whatever the size of the corpus.
CACHE_KIB = 65_536

NUMBERS = tuple(name for name in COLUMNS if name != "fingerprint")
KEY = ("path", "channel", "start_s", "duration_s", "probe")
_SCHEMA = f"""
CREATE TABLE measurement (
  id INTEGER PRIMARY KEY, path TEXT NOT NULL, channel INTEGER NOT NULL, start_s REAL NOT NULL,
  duration_s REAL NOT NULL, probe TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  {", ".join(NUMBERS)}, UNIQUE ({", ".join(KEY)})
);
CREATE TABLE fingerprint (measurement INTEGER PRIMARY KEY, hashes BLOB NOT NULL);
CREATE TABLE embedding (measurement INTEGER, model TEXT, vector BLOB NOT NULL, PRIMARY KEY (measurement, model))
  WITHOUT ROWID;
"""

SpanKey = tuple[str, int, float, float, str]
Measured = tuple[SpanKey, tuple[int, int], Measurement]  # what was measured, (size, mtime_ns) of its file, the numbers


def default_state(manifest: Path) -> Path:
    """Return where the state of a manifest's audit lies unless told otherwise: beside it."""
    return manifest.with_name(manifest.name.removesuffix(".gz").removesuffix(".jsonl") + ".audit.sqlite")


@contextmanager
def open_state(path: Path | None) -> Iterator[sqlite3.Connection]:
    """Open the state, made where it is missing; None: nothing is kept.

    Raises:
        UserError: the file cannot be written, is no audit's state or is damaged, the disk is full, or another audit
            holds it for long.
    """
    if path is not None:
        _make_folder(path)
    with _explained(path):
        db = sqlite3.connect(str(path) if path else "", timeout=BUSY_S)
        try:
            _prepare(db, path)
            yield db
        finally:
            db.close()


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The audit's state {path} cannot be written ({error.strerror}); name a file in another folder with "
            "--state."
        ) from error


def _prepare(db: sqlite3.Connection, path: Path | None) -> None:
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    db.execute("PRAGMA temp_store = FILE")
    ours = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    if tables and not ours:
        raise UserError(f"{path} is a database, but not the state of an audit; name another file with --state.")
    if ours and db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
        return
    drops = "".join(f"DROP TABLE {name};" for name in tables)  # numbers of an older version: measured anew
    db.executescript(
        f"BEGIN IMMEDIATE; {drops} {_SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
        f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )


@contextmanager
def _explained(path: Path | None) -> Iterator[None]:
    """Turn what SQLite refuses into one sentence for the user."""
    name = f"The audit's state {path}" if path else "The audit's temporary database"
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        if "full" in text:
            reason = f"The disk is full while writing {path or 'temporary files'}; free some space and run again."
        elif "locked" in text:
            reason = f"{name} is held by another audit; wait for it, or name another file with --state."
        elif any(word in text for word in ("unable to open", "readonly", "read-only")):
            reason = f"{name} cannot be written; name a file in another folder with --state."
        elif any(word in text for word in ("not a database", "malformed", "disk I/O")):
            reason = f"{name} is damaged ({text}); delete it, or name another file with --state."
        else:
            raise
        raise UserError(reason) from error


def save_measurements(db: sqlite3.Connection, measured: Iterable[Measured]) -> None:
    """Write measurements, each replacing an older one of the same span, in one transaction."""
    measured = list(measured)
    names = [*KEY, "size", "mtime_ns", *NUMBERS]
    updates = ", ".join(f"{name} = excluded.{name}" for name in names[len(KEY) :])
    with db:
        db.executemany(
            f"INSERT INTO measurement ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
            f" ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET {updates}",
            [(*key, *stat, *(getattr(numbers, name) for name in NUMBERS)) for key, stat, numbers in measured],
        )
        where = " AND ".join(f"{name} = ?" for name in KEY)
        for table in ("fingerprint", "embedding"):
            db.executemany(
                f"DELETE FROM {table} WHERE measurement = (SELECT id FROM measurement WHERE {where})",
                [key for key, _, _ in measured],
            )
        db.executemany(
            f"INSERT INTO fingerprint SELECT id, ? FROM measurement WHERE {where}",
            [(numbers.fingerprint, *key) for key, _, numbers in measured if numbers.fingerprint is not None],
        )
