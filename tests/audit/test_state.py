"""What is measured is kept: reused, renewed where a file changed, whole after a kill, the same by any way."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf

from vivavoce.audio import write_wav
from vivavoce.audit import scan
from vivavoce.audit.audit import audit
from vivavoce.audit.state import default_state, open_state
from vivavoce.corpus.cuts import Row
from vivavoce.errors import UserError

from ..conftest import SmallDisk
from .corpus import RATE, changed, manifest_of, recording


def findings(manifest: Path, **options: Any) -> tuple[int, list[dict[str, Any]]]:
    with audit(manifest, **options) as result:
        document = result.to_dict()
        return document["measured"], document["findings"]


def measurements(state: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(state) as db:
        columns = [
            name for _, name, *_ in db.execute("PRAGMA table_info(measurement)") if name not in ("id", "mtime_ns")
        ]
        rows = db.execute(
            f"SELECT {', '.join(columns)}, hashes FROM measurement m LEFT JOIN fingerprint f ON f.measurement = m.id"
            " ORDER BY path, channel, start_s"
        ).fetchall()
    db.close()
    return rows


@pytest.fixture
def corpus(tmp_path: Path, clean: tuple[Path, list[Row]]) -> tuple[Path, list[Row]]:
    rows = [replace(row, path=Path(shutil.copy(row.path, tmp_path))) for row in clean[1][:8]]
    return manifest_of(rows, tmp_path / "m.jsonl.gz"), rows


def test_a_second_audit_measures_nothing_and_says_the_same(corpus: tuple[Path, list[Row]]) -> None:
    first = findings(corpus[0])
    assert first[0] == 8
    assert default_state(corpus[0]).is_file()
    assert findings(corpus[0]) == (0, first[1])


def test_a_changed_file_is_measured_anew(corpus: tuple[Path, list[Row]]) -> None:
    manifest, rows = corpus
    findings(manifest)
    write_wav(rows[3].path, 0 * recording(3), RATE)
    stat = rows[3].path.stat()
    os.utime(rows[3].path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))  # where the clock of the disk is coarse
    measured, found = findings(manifest)
    assert measured == 1
    assert [file["id"] for one in found if one["check"] == "silent" for file in one["files"]] == [rows[3].id]
    rows[3].path.unlink()
    measured, found = findings(manifest)
    assert measured == 1
    assert [file["id"] for one in found if one["check"] == "missing_file" for file in one["files"]] == [rows[3].id]


def test_another_declared_probe_is_measured_anew(corpus: tuple[Path, list[Row]]) -> None:
    manifest, rows = corpus
    findings(manifest)
    manifest_of([changed(row, probe_hz=(18_111.0,)) if row is rows[0] else row for row in rows], manifest)
    measured, found = findings(manifest)
    assert measured == 1
    assert [file["id"] for one in found if one["check"] == "probe_missing" for file in one["files"]] == [rows[0].id]


def test_neither_workers_nor_order_change_the_result(
    corpus: tuple[Path, list[Row]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, rows = corpus
    write_wav(rows[5].path, recording(2), RATE)
    write_wav(rows[6].path, recording(6)[:50_000], RATE)
    sf.write(rows[7].path, 30 * recording(7), RATE, subtype="PCM_16")
    one = findings(manifest, state=tmp_path / "one.sqlite", workers=1)
    backwards = manifest_of(rows[::-1], tmp_path / "backwards.jsonl.gz")
    assert findings(backwards, state=tmp_path / "back.sqlite", workers=1) == one
    monkeypatch.setattr(scan, "ALONE_S", 0.0)
    monkeypatch.setattr(scan, "CHUNK_SPANS", 3)
    assert findings(manifest, state=tmp_path / "two.sqlite", workers=2) == one
    assert {item["check"] for item in one[1]} >= {"exact_duplicates", "wrong_duration", "clipped"}
    first = measurements(tmp_path / "one.sqlite")
    assert first == measurements(tmp_path / "two.sqlite") == measurements(tmp_path / "back.sqlite")


KILLED = """
import os, sys
from pathlib import Path
from vivavoce.audit import scan
from vivavoce.audit.audit import audit

scan.SAVE_EVERY_S, scan.CHUNK_SPANS = 0.0, 2
measure, done = scan.measure_file, 0
def slow(path, spans):
    global done
    done += 1
    if done == 6:
        os.kill(os.getpid(), 9)
    return measure(path, spans)
scan.measure_file = slow
audit(Path(sys.argv[1]), workers=1)
"""


def test_a_kill_loses_nothing_that_was_saved(corpus: tuple[Path, list[Row]], tmp_path: Path) -> None:
    manifest, _ = corpus
    killed = subprocess.run([sys.executable, "-c", KILLED, str(manifest)], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    measured, found = findings(manifest)
    assert measured == 4  # two chunks of two were saved
    assert found == findings(manifest, state=tmp_path / "never-killed.sqlite")[1]
    assert measurements(default_state(manifest)) == measurements(tmp_path / "never-killed.sqlite")


def test_a_state_serves_two_manifests(corpus: tuple[Path, list[Row]], tmp_path: Path) -> None:
    manifest, rows = corpus
    other = manifest_of(rows[:3], tmp_path / "other.jsonl.gz")
    state = tmp_path / "both.sqlite"
    assert findings(manifest, state=state)[0] == 8
    assert findings(other, state=state)[0] == 0


def test_measurements_of_another_version_are_thrown_away(corpus: tuple[Path, list[Row]]) -> None:
    manifest, _ = corpus
    findings(manifest)
    with sqlite3.connect(default_state(manifest)) as db:
        db.execute("PRAGMA user_version = 1")
    db.close()
    assert findings(manifest)[0] == 8


def refused(corpus: tuple[Path, list[Row]], state: Path, *words: str) -> None:
    with pytest.raises(UserError) as refusal:
        audit(corpus[0], state=state)
    for word in (str(state), *words):
        assert word in str(refusal.value)
    assert str(refusal.value).count(". ") == 0


def test_a_state_that_is_something_else_is_left_alone(corpus: tuple[Path, list[Row]], tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("precious notes " * 100)
    refused(corpus, text, "--state")
    assert text.read_text() == "precious notes " * 100
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE measurement (x)")
    db.close()
    before = foreign.read_bytes()
    refused(corpus, foreign, "not the state of an audit", "--state")
    assert foreign.read_bytes() == before


def test_a_damaged_state_is_named(corpus: tuple[Path, list[Row]]) -> None:
    state = default_state(corpus[0])
    findings(corpus[0])
    whole = state.read_bytes()
    state.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    refused(corpus, state, "damaged", "delete it")


def test_a_state_that_cannot_be_written_is_named(corpus: tuple[Path, list[Row]], tmp_path: Path) -> None:
    refused(corpus, tmp_path / "m.jsonl.gz" / "s.sqlite", "--state")
    refused(corpus, tmp_path, "--state")


def test_a_full_disk_is_named(corpus: tuple[Path, list[Row]], small_disk: SmallDisk) -> None:
    folder = small_disk(16)
    refused(corpus, folder / "s.sqlite", "disk is full")


def test_a_state_held_by_another_audit_is_named(
    corpus: tuple[Path, list[Row]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vivavoce.audit.state.BUSY_S", 0.05)
    state = tmp_path / "held.sqlite"
    with open_state(state) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        refused(corpus, state, "another audit")


def test_an_open_result_does_not_hold_the_state(
    corpus: tuple[Path, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vivavoce.audit.state.BUSY_S", 0.05)
    manifest, rows = corpus
    with audit(manifest) as first:
        rows[0].path.touch()
        os.utime(rows[0].path, ns=(time.time_ns(), time.time_ns() + 10**9))
        assert findings(manifest)[0] == 1
        assert first.recordings == 8


def test_a_dead_worker_ends_in_one_sentence(corpus: tuple[Path, list[Row]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "ALONE_S", 0.0)
    monkeypatch.setattr(scan, "_measure", _die)
    with pytest.raises(UserError, match=r"worker that measures recordings died.*fewer workers"):
        audit(corpus[0], workers=2)


def _die(chunk: object) -> None:
    os._exit(1)


ORPHANED = """
import multiprocessing, os
from vivavoce.audit import scan

def chunks():
    for number in range(99):
        if number == 6:
            print(*(child.pid for child in multiprocessing.active_children()), flush=True)
            os.kill(os.getpid(), 9)
        yield [(f"none-{number}.wav", scan.MISSING, [(f"none-{number}.wav", 0, 0.0, 1.0, "")])]

if __name__ == "__main__":
    for _ in scan._in_parallel(chunks(), 1):
        pass
"""


def test_workers_end_when_the_audit_is_killed(tmp_path: Path) -> None:
    (tmp_path / "killed.py").write_text(ORPHANED)
    killed = subprocess.run([sys.executable, tmp_path / "killed.py"], check=False, stdout=subprocess.PIPE, text=True)
    assert killed.returncode == -9
    (worker,) = map(int, killed.stdout.split())
    until = time.monotonic() + 30
    while _runs(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # ended, and nobody has asked yet how
