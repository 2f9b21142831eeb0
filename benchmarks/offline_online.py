"""Features kept (offline) or computed anew for each batch (online): time, disk and error rates on the same budget.

    python benchmarks/offline_online.py [--corpus ../shared/data/speechocean_adult16k] [--quick]

Simulates recordings of some speakers, then trains the same x-vector model twice for the same number of steps with the
same augmentation (noise, rooms, speed): on a store of three copies of each recording, and online. Prints tables and
writes benchmarks/results/offline_online.json. About ten minutes on two cores; ``--quick`` shows in two that it works.
Each figure of time is measured with nothing else running, so leave the machine alone.
"""

import argparse
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from vivavoce.assessment import evaluate
from vivavoce.config import ExperimentConfig
from vivavoce.corpus.importers import finish
from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.corpus.table import read_table
from vivavoce.experiment import Experiment, build_model
from vivavoce.features.batch import gather_wrapped, random_starts
from vivavoce.features.extract import extract_store
from vivavoce.features.offline import load_store
from vivavoce.files import write_json
from vivavoce.simulate.alignment import AlignmentCache
from vivavoce.simulate.config import KindCounts, SimulationConfig
from vivavoce.simulate.dataset import simulate_dataset
from vivavoce.simulate.posture import PostureShares
from vivavoce.training.data import TrainingData
from vivavoce.training.features import offline_features, online_features

HERE = Path(__file__).resolve().parent
WORKERS, COPIES, EPOCHS_OF_DATA = 2, 3, 3
CROP_FRAMES, CROP_BATCH, CROP_ROUNDS = 200, 64, 200
CROP_MS, TIMES_FASTER = 0.05, 10
AUGMENT = {"noise": {}, "rir": {}, "speed": {}}
NONE = dict.fromkeys(KindCounts().model_dump(), 0.0)
KINDS = KindCounts.model_validate(NONE | {"live": 2, "replay_stand": 0.5, "swapped_mouth": 0.5})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=HERE.parents[1] / "shared" / "data" / "speechocean_adult16k")
    parser.add_argument(
        "--speakers", type=int, default=48, help="of the corpus, a quarter of them each to choose by and to test"
    )
    parser.add_argument("--utterances", type=int, default=6, help="of each speaker")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="12 speakers, 5 utterances, 2 epochs: only to see it run")
    parser.add_argument("--work", type=Path, default=None, help="folder for recordings and runs; none: a temporary one")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "offline_online.json")
    options = parser.parse_args()
    if options.quick:
        options.speakers, options.utterances, options.epochs = 12, 5, 2
    with tempfile.TemporaryDirectory() as temporary:
        result = measure(options, options.work or Path(temporary))
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }
    write_json(options.out, {"machine": machine, "quick": options.quick, **result})


def measure(options: argparse.Namespace, work: Path) -> dict:
    began = time.monotonic()
    manifests = recordings(options, work)
    rows = read_rows(manifests["train"])
    hours = sum(row.duration_s for row in rows) / 3600
    prepared = time.monotonic() - began
    ways = []
    for mode in ("offline", "online"):
        config = experiment(mode, manifests, options, work)
        made = extraction(config, rows, work / "store") if mode == "offline" else {"extraction s": 0.0, "disk MB": 0.0}
        ways.append({"mode": mode, **made, "data s an epoch": data_alone(config, rows, work)})
        ways[-1] |= training(config, manifests["test"], work / f"run-{mode}")
    crops = crop_ms(experiment("offline", manifests, options, work), rows, work / "store")
    faster = ways[1]["data s an epoch"] / ways[0]["data s an epoch"]
    targets = [
        {"figure": "crop of 200×80 features, ms", "value": crops, "asked": f"≤ {CROP_MS}", "reached": crops <= CROP_MS},
        {
            "figure": "online / offline, an epoch of data",
            "value": faster,
            "asked": f"≥ {TIMES_FASTER}",
            "reached": faster >= TIMES_FASTER,
        },
    ]
    show(
        f"{len(rows)} training recordings, {hours:.2f} h, {options.epochs} epochs, xvector-lstm, {WORKERS} workers",
        ways,
    )
    show("Targets", targets)
    data = {"corpus": options.corpus.name, "recordings": len(rows), "hours": hours, "speakers": options.speakers}
    seconds = {"preparing": prepared, "all": time.monotonic() - began}
    return {
        "data": data,
        "epochs": options.epochs,
        "copies": COPIES,
        "ways": ways,
        "targets": targets,
        "seconds": seconds,
    }


def recordings(options: argparse.Namespace, work: Path) -> dict[str, Path]:
    """Simulate recordings of the first speakers of the corpus, each split with phones and rooms of its own."""
    table = options.corpus / "index.csv"
    rows = finish(read_table(table), table.parent).rows
    speakers = sorted({row.speaker for row in rows})[: options.speakers]
    quarter = max(2, len(speakers) // 4)
    splits = {
        "train": speakers[2 * quarter :],
        "validation": speakers[:quarter],
        "test": speakers[quarter : 2 * quarter],
    }
    manifests = {}
    for seed, (name, members) in enumerate(splits.items()):
        chosen = [row for speaker in members for row in of_speaker(rows, speaker)[: options.utterances]]
        alignments = AlignmentCache(work / "alignments.jsonl").get_many(chosen, WORKERS)
        config = SimulationConfig(seed=seed, kinds=KINDS, postures=PostureShares.only("stand"))
        manifests[name] = simulate_dataset(chosen, work / "recordings" / name, config, alignments, workers=WORKERS)
    return manifests


def of_speaker(rows: list[Row], speaker: str) -> list[Row]:
    return [row for row in rows if row.speaker == speaker]


def experiment(mode: str, manifests: dict[str, Path], options: argparse.Namespace, work: Path) -> ExperimentConfig:
    offline = {"store": work / "store", "copies": COPIES} if mode == "offline" else {}
    return ExperimentConfig.model_validate(
        {
            "data": {"train": manifests["train"], "validation": manifests["validation"]},
            "features": {"mode": mode, "augment": AUGMENT, **offline},
            "model": {"name": "xvector-lstm", "trunk": {"channels": 128, "pooled_channels": 384}},
            "training": {
                **{"epochs": options.epochs, "workers": WORKERS, "speaker_batch": 32, "liveness_batch": 32},
                **{"speed_factors": [1.0], "device": "cpu"},
            },
        }
    )


def extraction(config: ExperimentConfig, rows: list[Row], store: Path) -> dict[str, float]:
    shutil.rmtree(store, ignore_errors=True)
    began = time.monotonic()
    extract_store(rows, config.store_spec(), store, WORKERS)
    seconds = time.monotonic() - began
    return {"extraction s": seconds, "disk MB": sum(path.stat().st_size for path in store.iterdir()) / 1e6}


def data_alone(config: ExperimentConfig, rows: list[Row], work: Path) -> float:
    """Seconds of the fastest of some epochs of batches that nobody trains on; the first starts the workers."""
    model, how = build_model(config), config.features
    if how.mode == "offline":
        features = offline_features(rows, how, config.store_spec(), work / "unused", WORKERS, model)
    else:
        survey = work / "survey.npz"
        features = online_features(rows, how, config.front_end, config.training, survey, model, fitted=False)
    data = TrainingData(rows, features.heard, features.supply, config.training, config.front_end, 0, features.speeds)
    times = []
    for epoch in range(1 + EPOCHS_OF_DATA):
        began = time.perf_counter()
        for _ in data.epoch(epoch):
            pass
        times.append(time.perf_counter() - began)
    data.close()
    return min(times[1:])


def training(config: ExperimentConfig, test: Path, out: Path) -> dict[str, float]:
    shutil.rmtree(out, ignore_errors=True)
    torch.set_num_threads(os.cpu_count() or 1)
    began = time.monotonic()
    run = Experiment(config).train(out)
    whole = time.monotonic() - began
    torch.set_num_threads(1)
    epochs = [line["seconds"] for line in run.read_metrics() if line["split"] == "train"]
    result, _ = evaluate(run.path, test)
    assert result.speaker is not None
    assert result.liveness_pooled is not None
    return {
        "training s an epoch": float(np.median(epochs)),
        "training s in all": whole,
        "speaker EER": result.speaker.eer.value,
        "liveness EER": result.liveness_pooled.eer.value,
    }


def crop_ms(config: ExperimentConfig, rows: list[Row], store: Path) -> float:
    """Milliseconds of one random crop of the voice features, in batches, the pages of the store in memory."""
    features = load_store(rows, config.store_spec(), store)
    rng = np.random.default_rng(0)
    times = []
    for _ in range(CROP_ROUNDS):
        slots = rng.integers(len(features.starts), size=CROP_BATCH)
        began = time.perf_counter()
        starts = random_starts(features, slots, CROP_FRAMES, rng)
        crops = gather_wrapped(features.voice, features, slots, starts, CROP_FRAMES)
        times.append((time.perf_counter() - began) / CROP_BATCH)
        assert crops.shape == (CROP_BATCH, CROP_FRAMES, 80)
    return 1000 * float(np.median(times))


def show(title: str, rows: list[dict]) -> None:
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, justify="left" if isinstance(rows[0][name], (str, bool)) else "right")
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
