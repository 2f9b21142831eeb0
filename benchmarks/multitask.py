"""Ways of joining the speaker and the correlation task, on the same budget, beside each task alone.

    python benchmarks/multitask.py [--seeds 3] [--epochs 8] [--speakers 40]

Trains the same model once a way and seed: same recordings, same steps, same batches of each task, the same first
weights. The voice-only row sees the very speaker batches of the joint rows, the liveness-only row their very recordings
and negatives. Rates are of speakers that were not trained on (the validation split; the test split is never read) and
of the last epoch, since the best one would be picked on the very speakers it is judged by. Needs
``../shared/data/speechocean_adult16k`` (or ``--corpus`` with speech of your own); its recordings with a probe are
simulated once, or taken from ``--recordings`` where `real_speech.py` left them, and their features are computed once
for all rows. What was trained stays in ``--out``, and a second call goes on where the first was stopped. Prints a table
and writes benchmarks/results/multitask.json. On two cores a row takes about six minutes a seed.
"""

import argparse
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from vivavoce.config import DataConfig, ExperimentConfig
from vivavoce.corpus.manifest import Row, read_rows, write_rows
from vivavoce.corpus.split import split_by_speaker
from vivavoce.experiment import Experiment
from vivavoce.features.front_end import FrontEndConfig
from vivavoce.features.offline import open_store
from vivavoce.files import write_json
from vivavoce.quickstart import gather
from vivavoce.quickstart_plan import plan_for
from vivavoce.simulate.alignment import AlignmentCache
from vivavoce.simulate.dataset import MANIFEST, simulate_dataset
from vivavoce.training.config import Task
from vivavoce.training.data import judgeable
from vivavoce.training.run_folder import RunFolder

HERE = Path(__file__).resolve().parent
SPLITS = ("train", "validation")
BOTH: tuple[Task, ...] = ("speaker", "liveness")
# The size at which two cores train a row in minutes.
MODEL = {"name": "ecapa-fused", "trunk": {"channels": 128, "pooled_channels": 384}}
SPEAKER_BATCH, LIVENESS_BATCH = 32, 32
VOICE_ONLY, LIVENESS_ONLY = "voice_only", "liveness_only"
WAYS: dict[str, dict[str, Any]] = {
    VOICE_ONLY: {"tasks": ("speaker",)},
    LIVENESS_ONLY: {"tasks": ("liveness",)},
    "sum": {"multitask": {"type": "sum"}},
    "weighted": {"multitask": {"type": "weighted", "speaker_share": 0.7}},
    "scale_matched": {"multitask": {"type": "scale_matched"}},
    "late_focus": {"multitask": {"type": "late_focus"}},
    "uncertainty": {"multitask": {"type": "uncertainty"}},
    "gradient_norm": {"multitask": {"type": "gradient_norm"}},
}
RATES = {"speaker EER": VOICE_ONLY, "liveness EER": LIVENESS_ONLY}
# Issue 5: joint training costs the speaker task no more than this, relative to the task alone.
COST = 0.05


@dataclass(frozen=True)
class Budget:
    """What every row is given."""

    out: Path
    epochs: int
    steps: int  # an epoch
    manifests: dict[str, Path]
    store: Path
    name: str  # of its run folders
    workers: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = HERE.parents[1] / "shared" / "data" / "speechocean_adult16k"
    parser.add_argument("--corpus", type=Path, default=shared)
    parser.add_argument("--recordings", type=Path, default=Path("runs/real_speech/recordings"))
    parser.add_argument("--out", type=Path, default=Path("runs/multitask"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--speakers", type=int, help="of each split; all where it is not given")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY", help="rows")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "multitask.json")
    options = parser.parse_args()
    budget = prepare(options)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in options.ways}
    for seed in range(options.seeds):  # seeds outside, so that a busy hour of the machine slows all ways alike
        for way in options.ways:
            found[way].append(train(budget, way, seed))
        rows = [row(way, runs, found) for way, runs in found.items()]
        show(rows, budget)
        write_json(options.json, {**described(options, budget), "seeds": seed + 1, "rows": rows})


def described(options: argparse.Namespace, budget: Budget) -> dict[str, Any]:
    """What all rows have in common."""
    machine = {"cores": os.cpu_count(), "torch": torch.__version__, "device": device_name()}
    size = {"epochs": budget.epochs, "steps an epoch": budget.steps, "speakers": options.speakers}
    batches = {"speaker batch": SPEAKER_BATCH, "liveness batch": LIVENESS_BATCH}
    return {"machine": machine, "corpus": options.corpus.name, "model": MODEL, **size, **batches, "asked": COST}


def prepare(options: argparse.Namespace) -> Budget:
    """Find or simulate the recordings, choose speakers, compute all features once."""
    name = "all" if options.speakers is None else f"{options.speakers}speakers"
    manifests: dict[str, Path] = {}
    members: dict[str, list[Row]] = {}
    for split, manifest in recordings(options).items():
        rows = read_rows(manifest)
        chosen = set(sorted({row.speaker for row in rows})[: options.speakers])
        members[split] = [row for row in rows if row.speaker in chosen]
        manifests[split] = options.out / "manifests" / f"{split}-{name}.jsonl.gz"
        write_rows(members[split], manifests[split])
    folder = options.out / "features" / name
    store = open_store([*members["train"], *members["validation"]], FrontEndConfig(), folder, options.workers)
    heard = int(judgeable(members["train"], store.usable[: len(members["train"])]).sum())
    steps = max(1, heard // LIVENESS_BATCH)
    return Budget(options.out, options.epochs, steps, manifests, folder, name, options.workers)


def recordings(options: argparse.Namespace) -> dict[str, Path]:
    """Manifests of the training and the validation split; simulated as `real_speech.py` does where they are missing."""
    kept = {split: options.recordings / split / MANIFEST for split in SPLITS}
    if all(path.exists() for path in kept.values()):
        return kept
    rows = gather(options.out, options.corpus, seed=0)
    plan, splits = plan_for(rows, synthetic=False), split_by_speaker(rows, seed=0)
    spoken = [row for split in SPLITS for row in splits[split]]
    alignments = AlignmentCache(options.out / "alignments.jsonl").get_many(spoken, options.workers)
    made = {}
    for index, split in enumerate(SPLITS):  # each split has phones and rooms of its own
        config = plan.simulation.model_copy(update={"seed": index})
        folder = options.out / "recordings" / split
        made[split] = simulate_dataset(splits[split], folder, config, alignments, workers=options.workers)
    return made


def train(budget: Budget, way: str, seed: int) -> dict[str, float]:
    """Train one way with one seed, or read what was trained before."""
    out = budget.out / "runs" / f"{way}-{budget.name}-{budget.epochs}epochs-seed{seed}"
    run = RunFolder(out)
    if not run.calibration.exists():
        run = Experiment(config_of(budget, way, seed)).train(out, resume=run.config.exists())
    lines = run.read_metrics()
    last = {line["split"]: line for line in lines}
    seconds = [line["seconds"] / budget.steps for line in lines if line["split"] == "train"]
    rates = {name: last["validation"].get(name.replace(" ", "_").lower()) for name in RATES}
    return {"seconds a step": statistics.median(seconds), **{k: v for k, v in rates.items() if v is not None}}


def config_of(budget: Budget, way: str, seed: int) -> ExperimentConfig:
    """The configuration of one run: all of them alike but for the tasks and how these are joined."""
    changes = WAYS[way]
    return ExperimentConfig.model_validate(
        {
            "seed": seed,
            "data": DataConfig(train=budget.manifests["train"], validation=budget.manifests["validation"]),
            "features": {"store": budget.store},
            "model": MODEL,
            "multitask": changes.get("multitask", {"type": "sum"}),
            "training": {
                "tasks": changes.get("tasks", BOTH),
                "epochs": budget.epochs,
                "liveness_batch": LIVENESS_BATCH,
                "speaker_batch": SPEAKER_BATCH,
                # Beside the correlation task an epoch is one of its passes; alone the speaker task gets as many steps.
                "speaker_sampler": {"type": "speaker_balanced", "batches": budget.steps},
                # As in the speaker task's own recipe, so that it is held against its best.
                "speaker_mask_mels": 0,
                "mask_frames": 0,
                "workers": budget.workers,
            },
        }
    )


def row(way: str, runs: Sequence[dict[str, float]], found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Means over seeds, what they differ by, and how each rate compares with that of the task alone."""
    result: dict[str, Any] = {"way": way, "multitask": WAYS[way].get("multitask"), "seeds": len(runs)}
    for rate, alone in RATES.items():
        values = [run[rate] for run in runs if rate in run]
        if not values:
            continue
        reference = [run[rate] for run in found.get(alone, [])[: len(values)]]
        result[rate] = statistics.mean(values)
        result[f"{rate} sd"] = statistics.stdev(values) if len(values) > 1 else None
        result[f"{rate} of each seed"] = values
        whole = len(reference) == len(values) and sum(reference) > 0
        result[f"{rate}, cost"] = sum(values) / sum(reference) - 1 if whole and way != alone else None
    cost = result.get("speaker EER, cost")
    result["reached"] = None if cost is None else cost <= COST
    result["seconds a step"] = statistics.median(run["seconds a step"] for run in runs)
    return result


def show(rows: Sequence[dict[str, Any]], budget: Budget) -> None:
    title = f"Two tasks, {budget.epochs} epochs of {budget.steps} steps; cost: against the task alone"
    table = Table("Way", title=title)
    for name in (*(part for rate in RATES for part in (rate, "± sd", "cost")), "s/step"):
        table.add_column(name, justify="right")
    for one in rows:
        cells = [percent(one.get(f"{rate}{part}")) for rate in RATES for part in ("", " sd", ", cost")]
        table.add_row(one["way"], *cells, f"{one['seconds a step']:.3f}")
    Console(width=120).print(table)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
