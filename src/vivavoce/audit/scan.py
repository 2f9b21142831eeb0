"""The measuring pass: every sound file of the manifests decoded once, by several processes, into the state on disk."""

import os
import sqlite3
import time
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from threadpoolctl import threadpool_limits

from vivavoce.audit.data import BATCH, Data, probe_of
from vivavoce.audit.measure import Measurement, Span, measure_file
from vivavoce.audit.state import KEY, Measured, SpanKey, save_measurements
from vivavoce.pool import ordered, spawn_pool
from vivavoce.progress import progress_bar

# What a worker takes at a time: a fraction of a second of work, so that all are busy to the end and little is lost by a
# kill, and enough that handing it over costs nothing.
CHUNK_S, CHUNK_SPANS = 120.0, 128
# Chunks on their way at once for each worker: a bound on memory.
AHEAD = 3
# Less than this is measured before a second process has started.
ALONE_S = 600.0
SAVE_EVERY_S = 2.0

Job = tuple[str, tuple[int, int], list[SpanKey]]  # path, (size, mtime_ns), spans
MISSING = (-1, -1)


def measure_all(data: Data, workers: int) -> int:
    """Bring the state up to date for all rows of both manifests; returns how many spans had to be measured.

    A span is measured anew where its file's size or time of change differ from what the state says.

    Raises:
        UserError: the disk is full, or a worker process died.
    """
    db = data.db
    _note_files(db)
    same = " AND ".join(f"m.{name} = r.{name if name != 'probe' else 'probe_hz'}" for name in KEY)
    db.execute(
        f"CREATE TEMP TABLE todo AS SELECT DISTINCT r.path, r.channel, r.start_s, r.duration_s, r.probe_hz AS probe,"
        f" f.size, f.mtime_ns FROM rows r JOIN file f ON f.path = r.path LEFT JOIN main.measurement m ON {same}"
        " WHERE m.id IS NULL OR m.size <> f.size OR m.mtime_ns <> f.mtime_ns"
        " ORDER BY r.path, r.start_s, r.duration_s, r.channel, r.probe_hz"
    )
    db.commit()
    count, seconds = db.execute("SELECT count(*), coalesce(sum(duration_s), 0) FROM todo").fetchone()
    chunks = _chunks(_jobs(db))
    alone = workers < 2 or seconds < ALONE_S
    with progress_bar("Measuring recordings", count) as advance:
        pending: list[Measured] = []
        saved = time.monotonic()
        for measured in map(_measure, chunks) if alone else _in_parallel(chunks, workers):
            pending += measured
            if time.monotonic() - saved > SAVE_EVERY_S:
                save_measurements(db, pending)
                pending, saved = [], time.monotonic()
            advance(len(measured))
        save_measurements(db, pending)
    _link(db, same)
    return count


def _note_files(db: sqlite3.Connection) -> None:
    """Size and time of change of every sound file, into the table ``file``."""
    db.execute("CREATE TEMP TABLE file (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER) WITHOUT ROWID")
    paths = db.execute("SELECT DISTINCT path FROM rows ORDER BY path")
    while batch := paths.fetchmany(BATCH):
        db.executemany("INSERT INTO file VALUES (?, ?, ?)", [(path, *_stat(path)) for (path,) in batch])


def _stat(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)  # noqa: PTH116 - faster on a million files
    except (OSError, ValueError):
        return MISSING
    return stat.st_size, stat.st_mtime_ns


def _jobs(db: sqlite3.Connection) -> Iterator[Job]:
    """One job a file, with all spans of it that are wanted."""
    rows = db.execute("SELECT * FROM todo ORDER BY rowid")
    for (path, *stat), group in groupby(rows, key=itemgetter(0, 5, 6)):
        yield path, (stat[0], stat[1]), [row[: len(KEY)] for row in group]


def _chunks(jobs: Iterator[Job]) -> Iterator[list[Job]]:
    chunk: list[Job] = []
    seconds, spans = 0.0, 0
    for job in jobs:
        chunk.append(job)
        seconds += sum(key[3] for key in job[2])
        spans += len(job[2])
        if seconds >= CHUNK_S or spans >= CHUNK_SPANS:
            yield chunk
            chunk, seconds, spans = [], 0.0, 0
    if chunk:
        yield chunk


def _in_parallel(chunks: Iterator[list[Job]], workers: int) -> Iterator[list[Measured]]:
    """Yield the measurements of each chunk in order, with a bounded number of them on their way."""
    pool = spawn_pool(workers)
    try:
        for _, measured in ordered(pool, _measure, chunks, AHEAD * workers, "worker that measures recordings"):
            yield measured
    finally:
        pool.shutdown(cancel_futures=True)


def _measure(chunk: list[Job]) -> list[Measured]:
    with threadpool_limits(1):  # one core a worker: threads of small matrix products wait for each other
        return [measured for job in chunk for measured in _measure_job(*job)]


def _measure_job(path: str, stat: tuple[int, int], keys: list[SpanKey]) -> list[Measured]:
    if stat == MISSING:
        numbers = [Measurement(problem="missing", message="")] * len(keys)
    else:
        spans = [Span(channel, start, length, probe_of(probe)) for _, channel, start, length, probe in keys]
        numbers = measure_file(path, spans)
    return [(key, stat, number) for key, number in zip(keys, numbers, strict=True)]


def _link(db: sqlite3.Connection, same: str) -> None:
    """Let each row know its measurement, and its content: rows of one content hold the same samples."""
    where = same.replace("r.", "rows.")
    db.execute(f"UPDATE rows SET measured = (SELECT m.id FROM main.measurement m WHERE {where})")
    db.execute(
        "INSERT OR IGNORE INTO content (hash, measured) SELECT m.content, m.id FROM rows r"
        " JOIN main.measurement m ON m.id = r.measured WHERE m.content IS NOT NULL ORDER BY m.content, m.id"
    )
    db.execute(
        "UPDATE rows SET content = (SELECT c.id FROM content c JOIN main.measurement m ON c.hash = m.content"
        " WHERE m.id = rows.measured)"
    )
    db.execute("CREATE INDEX temp.rows_content ON rows (content)")
    db.commit()
