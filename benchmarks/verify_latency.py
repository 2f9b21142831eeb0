"""How long one verification takes, warm, on one thread: a 3 s recording at 48 kHz from file to verdict.

Run from the repository root after ``vivavoce quickstart``: ``python benchmarks/verify_latency.py``. Prints the
figures and writes ``benchmarks/results/verify_latency.json``.
"""

import argparse
import platform
import time
from pathlib import Path

import numpy as np
import torch

from vivavoce.audio import read_audio, write_wav
from vivavoce.corpus.manifest import read_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.files import write_json
from vivavoce.verifier import Verifier

HERE = Path(__file__).resolve().parent
SECONDS, WARM_UP, REPEATS = 3.0, 5, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("quickstart/run"))
    parser.add_argument("--manifest", type=Path, default=Path("quickstart/recordings/test/manifest.jsonl.gz"))
    parser.add_argument("--json", type=Path, default=HERE / "results" / "verify_latency.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    live = [row for row in read_rows(arguments.manifest) if row.meta.kind is Kind.LIVE and row.duration_s >= SECONDS]
    samples, rate = read_audio(live[-1].path, duration_s=SECONDS)
    recording = arguments.run / "latency.wav"
    write_wav(recording, samples, rate)
    verifier = Verifier.load(arguments.run).enrol([row.path for row in live[:3]])
    times = {}
    for name, probe in (("probe known", live[-1].meta.probe_hz), ("probe detected", None)):
        for _ in range(WARM_UP):
            verifier.verify(recording, probe_hz=probe)
        times[name] = [timed(verifier, recording, probe) for _ in range(REPEATS)]
    recording.unlink()
    result = {"machine": platform.processor() or platform.machine(), "asked_ms": 150, "seconds": SECONDS}
    for name, values in times.items():
        median, worst = float(np.median(values)), float(np.percentile(values, 95))
        print(f"{name}: median {median:.0f} ms, 95 % within {worst:.0f} ms (asked: 150 ms)")
        result[name] = {"median_ms": median, "p95_ms": worst}
    write_json(arguments.json, result)


def timed(verifier: Verifier, recording: Path, probe: tuple[float, ...] | None) -> float:
    began = time.perf_counter()
    verifier.verify(recording, probe_hz=probe)
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
