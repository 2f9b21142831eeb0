"""Memory over a long epoch of online training data: main process and two workers, slope by least squares.

    python benchmarks/memory.py [--steps 1500] [--quick]

Writes tiny recordings with a probe, then draws the batches of one epoch with augmentation (noise, rooms, speed) in two
worker processes and trains a tiny model on each. Resident memory is read from /proc after every twentieth batch; the
first batches, in which caches fill, do not count. Prints a table and writes benchmarks/results/memory.json. About two
minutes on two cores.
"""

import argparse
import os
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from vivavoce.audio import write_wav
from vivavoce.config import ExperimentConfig
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.experiment import build_model
from vivavoce.features.extractor import hear
from vivavoce.features.front_end import Probe
from vivavoce.features.survey import Survey
from vivavoce.files import write_json
from vivavoce.signal.probe import draw_probe
from vivavoce.training.data import TrainingData, judgeable
from vivavoce.training.memory import keep_freed_memory
from vivavoce.training.step import JointLoss
from vivavoce.training.supply import WorkerSupply

HERE = Path(__file__).resolve().parent
RATE, FILES, SPEAKERS, WORKERS, BATCH = 48_000, 24, 8, 2, 4
EVERY = 20  # batches between two readings
SLOPE_MIB = 1.0  # per 1000 batches
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500, help="batches of the epoch")
    parser.add_argument("--warm-up", type=int, default=300, help="batches at the beginning that do not count")
    parser.add_argument("--quick", action="store_true", help="150 batches: only to see it run")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "memory.json")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.warm_up = 150, 50
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        batches, memory = epoch(Path(folder), options.steps)
        seconds = time.monotonic() - began
    rows = [summary(name, batches, values, options.warm_up) for name, values in memory.items()]
    show(f"Resident memory over {options.steps} batches, {WORKERS} workers", rows)
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
    result = {"machine": machine, "quick": options.quick, "steps": options.steps, "warm_up": options.warm_up}
    readings = {"batches": batches, **{name: [round(value, 2) for value in values] for name, values in memory.items()}}
    write_json(options.out, {**result, "seconds": seconds, "rows": rows, "readings MiB": readings})


def epoch(folder: Path, steps: int) -> tuple[list[int], dict[str, list[float]]]:
    """Train through one epoch; returns after how many batches memory was read, and the readings in MiB."""
    config = ExperimentConfig.model_validate(
        {
            "data": {"train": "a.jsonl", "validation": "b.jsonl"},
            "features": {"mode": "online", "augment": {"noise": {}, "rir": {}, "speed": {}}},
            "model": {
                **{"name": "xvector-lstm", "trunk": {"channels": 16, "pooled_channels": 32, "embedding_dim": 16}},
                "head": {"channels": 16, "groups": 4, "hidden": 16, "dilations": [1, 2]},
            },
            "training": {
                **{"liveness_batch": BATCH, "speaker_batch": BATCH, "liveness_crop_s": 1.0, "speaker_crop_s": 0.5},
                **{"speed_factors": [1.0], "workers": WORKERS, "device": "cpu"},
            },
        }
    )
    rows, survey = recordings(folder, steps * BATCH)
    how = config.features
    supply = WorkerSupply(rows, survey, config.front_end, how.augment, WORKERS, how.prefetch)
    speeds = how.augment.build().speed_factors
    heard = judgeable(rows, survey.quality.usable)
    data = TrainingData(rows, heard, supply, config.training, config.front_end, 0, speeds)
    torch.manual_seed(0)
    model = build_model(config)
    loss = JointLoss(config.speaker.build(16, data.classes), config.correlation)
    optimiser = torch.optim.AdamW([*model.parameters(), *loss.parameters()], 1e-3)
    keep_freed_memory()
    batches: list[int] = []
    memory: dict[str, list[float]] = {"main": [], "workers": [], "all": []}
    for number, batches_of_step in enumerate(data.epoch(0), start=1):
        optimiser.zero_grad(set_to_none=True)
        loss(model, batches_of_step, 1.0, 0.0, None).total.backward()
        optimiser.step()
        if number % EVERY == 0:
            workers = sum(resident(process.pid) for process in children())
            batches.append(number)
            for name, value in (("main", resident(os.getpid())), ("workers", workers)):
                memory[name].append(value / MIB)
            memory["all"].append(memory["main"][-1] + memory["workers"][-1])
    data.close()
    return batches, memory


def recordings(folder: Path, count: int) -> tuple[list[Row], Survey]:
    """Rows enough for the epoch, all of a few files."""
    rng = np.random.default_rng(0)
    rows, probes = [], []
    for number in range(FILES):
        probe, samples = draw_probe(rng), int(RATE * rng.uniform(0.8, 1.2))
        path = folder / f"{number}.wav"
        write_wav(path, rng.normal(0, 0.02, samples) + probe.waveform(RATE, samples), RATE)
        meta = Metadata(kind=Kind.REPLAY_STAND if number % 2 else Kind.LIVE, probe_hz=tuple(probe.tones_hz))
        rows.append(Row(f"r{number}", path, f"s{number // 2 % SPEAKERS}", None, 0.0, samples / RATE, RATE, 0, meta))
        wave = hear(rows[-1])
        probes.append(Probe(wave.tones_hz, wave.quality))
    many = [replace(rows[index % FILES], id=f"r{index}") for index in range(count)]
    return many, Survey.collect([probes[index % FILES] for index in range(count)])


def children() -> list:
    import multiprocessing

    return multiprocessing.active_children()


def resident(process: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def summary(name: str, batches: list[int], values: list[float], warm_up: int) -> dict:
    counted = [(number, value) for number, value in zip(batches, values, strict=True) if number > warm_up]
    numbers, sizes = (np.array(column) for column in zip(*counted, strict=True))
    slope = float(np.polyfit(numbers / 1000, sizes, 1)[0])
    row = {
        "process": name,
        "MiB at first": float(sizes[0]),
        "MiB at last": float(sizes[-1]),
        "MiB / 1000 batches": slope,
    }
    return {**row, "asked": f"≤ {SLOPE_MIB:g}", "reached": slope <= SLOPE_MIB}


def show(title: str, rows: list[dict]) -> None:
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, justify="left" if isinstance(rows[0][name], (str, bool)) else "right")
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
