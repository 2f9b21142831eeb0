"""Trial lists at scale: a million trials, made, written and read.

    python benchmarks/trial_lists.py [--speakers 1000] [--nontarget 36]

The manifest is invented, in memory: for each speaker 40 live recordings in four sessions, and four attacks of two
kinds; embeddings are normal noise. Half of the non-targets are of the same sex and a fifth the nearest by embedding.
Prints the seconds of each part beside what is asked of making and writing together, and writes
benchmarks/results/trial_lists.json.
"""

import argparse
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.evaluation.trials.files import read_trials, write_trials
from vivavoce.evaluation.trials.formats import ListFormat
from vivavoce.evaluation.trials.making import TrialPlan, draw_trials, make_trials
from vivavoce.evaluation.trials.table import DRAWN, references
from vivavoce.files import write_json

ASKED_S = 10.0  # to make a million trials
LIVE, SESSIONS, ATTACKS = 40, 4, 4
KINDS = (Kind.REPLAY_STAND, Kind.TTS)
DIM = 192


def synthetic_rows(speakers: int) -> list[Row]:
    rows = []
    for speaker in range(speakers):
        kinds = [Kind.LIVE] * LIVE + [kind for kind in KINDS for _ in range(ATTACKS)]
        for number, kind in enumerate(kinds):
            name = f"p{speaker:05d}-{number:03d}"
            meta = Metadata(session=f"s{number % SESSIONS}", kind=kind, sex="fm"[speaker % 2])
            path = Path(f"/corpus/p{speaker:05d}/{meta.session}/{name}.wav")
            rows.append(Row(name, path, f"p{speaker:05d}", None, 0.0, 3.0, 48_000, 0, meta))
    return rows


def timed(seconds: dict[str, float], name: str, part: Callable[..., Any], *arguments: Any) -> Any:
    began = time.perf_counter()
    result = part(*arguments)
    seconds[name] = round(time.perf_counter() - began, 2)
    return result


def measure(speakers: int, nontarget: int) -> dict:
    rows = synthetic_rows(speakers)
    known = references(rows)
    embeddings = np.random.default_rng(0).normal(size=(len(rows), DIM)).astype(np.float32)
    plan = TrialPlan(max_nontarget_per_target=nontarget, same_sex=0.5, hard=0.2, balance=True)
    seconds: dict[str, float] = {}
    plain = timed(seconds, "make, at random", make_trials, rows, plan.enrol, plan.seed, nontarget)
    trials = timed(seconds, "make, all three ways", draw_trials, rows, plan, embeddings)
    single = draw_trials(rows, plan.model_copy(update={"enrol": 1}), embeddings)
    lists = {"csv": trials, "asvspoof": trials, "voxceleb": single.take(single.is_target | single.is_nontarget)}
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, written in lists.items():
            path = Path(folder, f"{name}.txt")
            timed(seconds, f"write {name}", write_trials, written, path, ListFormat(name), known)
            read = timed(seconds, f"read {name}", read_trials, path, known)
            if read != written:
                raise AssertionError(f"{name} gives other trials back")
            sizes[name] = round(path.stat().st_size / 1e6, 1)
    return {
        "recordings": len(rows),
        "trials at random": len(plain),
        "trials": len(trials),
        "counts": trials.counts,
        "drawn": dict(zip(DRAWN[1:], np.bincount(trials.drawn, minlength=len(DRAWN)).tolist()[1:], strict=True)),
        "seconds": seconds,
        "MB on disk": sizes,
        "MiB, peak of the process": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def show(found: dict) -> None:
    table = Table("part", "seconds", title=f"{found['trials']:,} trials among {found['recordings']:,} recordings")
    for name, seconds in found["seconds"].items():
        table.add_row(name, f"{seconds:.2f}")
    table.add_section()
    table.add_row(f"make, all three ways, and write csv (asked: {ASKED_S:g})", f"{made_and_written(found):.2f}")
    Console(width=100).print(table)


def made_and_written(found: dict) -> float:
    return found["seconds"]["make, all three ways"] + found["seconds"]["write csv"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speakers", type=int, default=1000)
    parser.add_argument("--nontarget", type=int, default=36)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "trial_lists.json")
    options = parser.parse_args()
    found = measure(options.speakers, options.nontarget)
    found["asked / measured"] = round(ASKED_S / made_and_written(found), 2)
    show(found)
    machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    write_json(options.out, {"machine": machine, "asked_s": ASKED_S, **found})


if __name__ == "__main__":
    main()
