"""The audit at scale: metadata checks of many rows in seconds and MiB, and sound in times real time on one core.

    python benchmarks/audit_scale.py [--rows 100000] [--data ../shared/data] [--files N]

Prints both beside what is asked of them and writes benchmarks/results/audit_scale.json. The metadata audit runs in a
process of its own, start included, so that its peak memory is its own. The sound is measured by one worker with one
thread, each corpus twice from an empty state, of which the faster counts; the second audit of the same files, which
decodes nothing, is timed too. --files takes the first N recordings of each corpus.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from rich.console import Console
from rich.table import Table

from vivavoce.audit.audit import audit
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.importers import finish
from vivavoce.corpus.manifest import write_rows
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.corpus.table import read_table
from vivavoce.files import write_json

TARGETS = {"seconds": 20.0, "MiB": 1024.0, "x real time": 200.0}
CORPORA = ("speechocean_adult16k", "ravdess48k")
REPEATS = 2
AUDIT = """
import resource, sys, time
began = time.perf_counter()
from pathlib import Path
from vivavoce.audit.audit import audit
with audit(Path(sys.argv[1]), metadata_only=True) as result:
    findings = [finding.check for finding in result.findings]
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, *findings)
"""


def synthetic_rows(count: int, folder: Path) -> Iterator[Row]:
    """Rows as a large collection has them: 80 recordings a speaker, in four sessions, live and three attacks."""
    rng = np.random.default_rng(0)
    kinds = [Kind.LIVE, Kind.REPLAY_STAND, Kind.REPLAY_HANDHELD, Kind.TTS]
    for number in range(count):
        speaker, turn = divmod(number, 80)
        tones = tuple(float(f) for f in 18_000 + np.sort(rng.choice(19, 8, replace=False)) * 100)
        meta = Metadata(
            session=f"s{turn // 20}",
            kind=kinds[int(rng.integers(len(kinds)))],
            phrase=f"p{number % 50}",
            device=None if rng.random() < 0.01 else f"phone {speaker % 40}",
            sex="fm"[speaker % 2],
            posture="stand",
            distance_cm=10.0,
            probe_hz=tones,
        )
        seconds = round(float(rng.uniform(1, 6)), 3)
        path = folder / f"{speaker}" / f"{number}.wav"
        samples = round(seconds * 48_000)
        yield Row(f"u{number:08d}", path, f"p{speaker:05d}", "a text", 0.0, seconds, 48_000, 0, meta, samples, 1)


def metadata(count: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder, "synthetic.jsonl.gz")
        write_rows(synthetic_rows(count, Path(folder)), manifest)
        printed = subprocess.run(
            [sys.executable, "-c", AUDIT, str(manifest)], check=True, capture_output=True, text=True
        ).stdout.split()
        megabytes = manifest.stat().st_size / 1e6
    return {
        "rows": count,
        "manifest MB": round(megabytes, 2),
        "seconds": round(float(printed[0]), 2),
        "MiB": round(float(printed[1]), 1),
        "findings": printed[2:],
    }


def sound(folder: Path, files: int | None) -> dict:
    imported = finish(read_table(folder / "index.csv")[:files], folder).rows
    with tempfile.TemporaryDirectory() as working:
        manifest = Path(working, "m.jsonl.gz")
        write_rows(imported, manifest)
        audit(manifest, state=Path(working, "warm.sqlite"), workers=1).close()  # page cache, caches of Fourier plans
        times = []
        for repeat in range(REPEATS):
            began = time.perf_counter()
            with audit(manifest, state=Path(working, f"{repeat}.sqlite"), workers=1) as result:
                times.append(time.perf_counter() - began)
                hours, findings = result.hours, [finding.check for finding in result.findings]
        began = time.perf_counter()
        audit(manifest, state=Path(working, "0.sqlite"), workers=1).close()
        again = time.perf_counter() - began
        state = Path(working, "0.sqlite").stat().st_size
    return {
        "corpus": folder.name,
        "recordings": len(imported),
        "hours": round(hours, 3),
        "seconds": round(min(times), 2),
        "x real time": round(3600 * hours / min(times)),
        "seconds again": round(again, 2),
        "state, bytes a recording": round(state / len(imported)),
        "findings": findings,
    }


def show(title: str, rows: list[dict]) -> None:
    table = Table(title=title)
    names = [name for name in rows[0] if name != "findings"]
    for name in names:
        table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    Console(width=130).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--files", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "audit_scale.json")
    options = parser.parse_args()
    rows = [metadata(options.rows)]
    heard = [sound(options.data / name, options.files) for name in CORPORA if (options.data / name).is_dir()]
    rows[0] |= {f"{name}, asked / measured": round(TARGETS[name] / rows[0][name], 2) for name in ("seconds", "MiB")}
    for row in heard:
        row["measured / asked"] = round(row["x real time"] / TARGETS["x real time"], 2)
    show(f"Metadata checks (asked: {TARGETS['seconds']:g} s and {TARGETS['MiB']:g} MiB for 100 000 rows)", rows)
    if heard:
        show(f"Whole audit on one core (asked: {TARGETS['x real time']:g} x real time)", heard)
    machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    write_json(options.out, {"machine": machine, "targets": TARGETS, "metadata": rows[0], "sound": heard})


if __name__ == "__main__":
    main()
