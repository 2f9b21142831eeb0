"""Ten trainings, nine of them spoilt on purpose, and what the diagnosis makes of each.

    python benchmarks/provoked_runs.py [--seed 7] [--work runs/provoked] [--only NAME ...]

Invents voices, simulates recordings, and trains a small ECAPA-TDNN with an LSTM head ten times: with a rate far too
high or too low, with hardly any data, with shuffled labels, with validation recordings that are copies of training
recordings under other names, with a frozen trunk, with ReLUs that are never active, without normalisation, with one
loss that dwarfs the other, and as it should be. Each run is then diagnosed as by `vivavoce diagnose`. Writes
benchmarks/results/provoked_runs.json and docs/diagnosis.svg. The thresholds of the diagnosis were set on other seeds.
About ten minutes on two cores.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from diagnosis_picture import draw
from vivavoce import experiment
from vivavoce.audio import read_audio, write_wav
from vivavoce.config import ExperimentConfig
from vivavoce.corpus.importers import finish
from vivavoce.corpus.manifest import read_rows, write_rows
from vivavoce.corpus.split import split_by_speaker
from vivavoce.corpus.table import read_table
from vivavoce.errors import UserError
from vivavoce.files import write_json
from vivavoce.inspection import inspect
from vivavoce.models.joint import JointModel
from vivavoce.settings import load_settings
from vivavoce.simulate.alignment import AlignmentCache
from vivavoce.simulate.config import KindCounts, SimulationConfig
from vivavoce.simulate.dataset import simulate_dataset
from vivavoce.simulate.posture import PostureShares
from vivavoce.simulate.voices import make_voices
from vivavoce.training.run_folder import RunFolder

HERE = Path(__file__).resolve().parent
SPEAKERS, SENTENCES, VALIDATING = 24, 7, 8
EPOCHS = 24
SMALL = (
    "model.name=ecapa-lstm",
    "model.trunk={channels: 48, pooled_channels: 96, embedding_dim: 48, bottleneck: 16}",
    "model.head={channels: 32, groups: 4, hidden: 24, dilations: [1, 2]}",
    f"training.epochs={EPOCHS}",
    *("training.liveness_batch=24", "training.speaker_batch=32", "training.liveness_crop_s=2.0"),
    *("training.speaker_crop_s=1.5", "training.speed_factors=[1.0]", "training.workers=2", "training.device=cpu"),
    *("training.held_out=[]", "training.precision=float32", "training.learning_rate=2e-3"),
)

Manifests = tuple[Path, Path]


@dataclass(frozen=True)
class Provoked:
    """One way to train, and which causes the diagnosis may name for it."""

    name: str
    how: str
    expected: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    manifests: Callable[[Manifests, Path], Manifests] = field(default=lambda manifests, _: manifests)
    spoil: Callable[[JointModel], None] | None = None


def tiny(manifests: Manifests, work: Path) -> Manifests:
    """Three speakers with three recordings of each kind."""
    rows = read_rows(manifests[0])
    speakers = sorted({row.speaker for row in rows})[:3]
    counts: dict[tuple[str, str], int] = {}
    kept = []
    for row in rows:
        key = (row.speaker, row.meta.kind.value)
        counts[key] = counts.get(key, 0) + 1
        if row.speaker in speakers and counts[key] <= 3:
            kept.append(row)
    write_rows(kept, work / "tiny.jsonl.gz")
    return work / "tiny.jsonl.gz", manifests[1]


def shuffled(manifests: Manifests, work: Path) -> Manifests:
    """Speakers and kinds dealt out anew among the training recordings."""
    rows = read_rows(manifests[0])
    order, kinds = (np.random.default_rng(seed).permutation(len(rows)) for seed in (1, 2))
    mixed = [
        replace(row, speaker=rows[one].speaker, meta=row.meta.model_copy(update={"kind": rows[other].meta.kind}))
        for row, one, other in zip(rows, order, kinds, strict=True)
    ]
    write_rows(mixed, work / "shuffled.jsonl.gz")
    return work / "shuffled.jsonl.gz", manifests[1]


def leaked(manifests: Manifests, work: Path) -> Manifests:
    """Copies of training recordings, a little quieter, under other names: no name tells that they leak."""
    rows = read_rows(manifests[0])
    chosen = sorted({row.speaker for row in rows})[:VALIDATING]
    folder = work / "copies"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    copies = []
    for number, row in enumerate(row for row in rows if row.speaker in chosen):
        samples, rate = read_audio(row.path)
        path = folder / f"copy-{number}.wav"
        write_wav(path, 0.9 * samples, rate)
        extra = dict.fromkeys(row.meta.model_extra or {})
        meta = row.meta.model_copy(update={"session": f"v-{row.meta.session}", **extra})
        copies.append(replace(row, id=f"copy-{number}", path=path, speaker=f"v-{row.speaker}", meta=meta))
    write_rows(copies, work / "copies.jsonl.gz")
    return manifests[0], work / "copies.jsonl.gz"


def kill_units(model: JointModel) -> None:
    """Biases so low that no ReLU behind the stem's convolutions is ever active."""
    with torch.no_grad():
        for name, bias in model.trunk.named_parameters():
            if name.endswith("conv.bias"):
                bias.fill_(-1000.0)


RUNS = (
    Provoked("healthy", "as it should be", ("none",)),
    Provoked("rate_too_high", "learning rate 0.5", ("rate_too_high",), ("training.learning_rate=0.5",)),
    Provoked("rate_too_low", "learning rate 2e-6", ("rate_too_low",), ("training.learning_rate=2e-6",)),
    Provoked("tiny_data", "3 speakers, 3 recordings of each kind", ("tiny_data",), manifests=tiny),
    Provoked("shuffled_labels", "speakers and kinds dealt out anew", ("labels",), manifests=shuffled),
    Provoked("leaked_validation", "validated on copies of training recordings", ("leak",), manifests=leaked),
    Provoked("frozen_trunk", "the trunk does not learn", ("frozen",), ("training.freeze=[{parts: [trunk]}]",)),
    Provoked("dead_relu", "biases of −1000 before the trunk's ReLUs", ("dead_units",), spoil=kill_units),
    Provoked(
        "wrong_normalisation", "features as they are", ("normalisation",),
        ("model.voice_norm.type=none", "model.echo_norm.type=none"),
    ),
    Provoked(
        "exploding_joint_loss", "the correlation task counts 10,000 times", ("joint_loss",),
        ("correlation.weight=10000",),
    ),
)  # fmt: skip


def recordings(work: Path, seed: int) -> Manifests:
    """Invent voices and simulate both splits; a second call finds them."""
    found = tuple(work / name / "manifest.jsonl.gz" for name in ("train", "validation"))
    if all(path.is_file() for path in found):
        return found[0], found[1]
    table = make_voices(work / "voices", speakers=SPEAKERS, sentences=SENTENCES, seed=seed)
    rows = finish(read_table(table), table.parent).rows
    cache = AlignmentCache(work / "alignments.jsonl")
    cache.add_file(rows, table.parent / "phones.jsonl")
    alignments = cache.get_many(rows, 2)
    splits = split_by_speaker(rows, (0.62, 0.33, 0.05), seed=seed)
    kinds = KindCounts.model_validate(
        {**dict.fromkeys(KindCounts.model_fields, 0.0), "live": 1.0, "replay_stand": 0.5, "swapped_mouth": 0.5}
    )
    config = SimulationConfig(kinds=kinds, postures=PostureShares(stand=1, table=0, handheld=0, ear=0))
    made = []
    for number, name in enumerate(("train", "validation")):
        own = config.model_copy(update={"seed": 2 * seed + number})
        made.append(simulate_dataset(splits[name], work / name, own, alignments, workers=2))
    return made[0], made[1]


def train(provoked: Provoked, manifests: Manifests, work: Path, seed: int) -> tuple[RunFolder, str]:
    """Train one run, anew; returns it, and how it ended where it did not end well."""
    folder = work / "runs" / provoked.name
    shutil.rmtree(folder, ignore_errors=True)
    train_on, validate_on = provoked.manifests(manifests, work)
    data = (f"data.train={train_on}", f"data.validation={validate_on}", f"seed={seed}")
    config = load_settings(ExperimentConfig, None, (*data, *SMALL, *provoked.overrides))
    original = experiment.build_model

    def spoilt(config: ExperimentConfig) -> JointModel:
        model = original(config)
        if provoked.spoil is not None:
            provoked.spoil(model)
        return model

    with patch.object(experiment, "build_model", spoilt):
        try:
            return experiment.Experiment(config).train(folder), ""
        except UserError as error:
            return RunFolder(folder), str(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, help="of voices, recordings and trainings")
    parser.add_argument("--work", type=Path, default=Path("runs/provoked"))
    parser.add_argument("--only", nargs="+", choices=[run.name for run in RUNS], help="these runs alone, no picture")
    parser.add_argument("--diagnose-only", action="store_true", help="train nothing, diagnose the runs of --out anew")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "provoked_runs.json")
    parser.add_argument("--picture", type=Path, default=HERE.parent / "docs" / "diagnosis.svg")
    options = parser.parse_args()
    manifests = recordings(options.work, options.seed)
    before = {run["name"]: run for run in json.loads(options.out.read_text())["runs"]} if options.diagnose_only else {}
    results = []
    for provoked in RUNS:
        if options.only and provoked.name not in options.only:
            continue
        began = time.monotonic()
        if options.diagnose_only:
            run, ended = RunFolder.open(options.work / "runs" / provoked.name), before[provoked.name]["ended"]
        else:
            run, ended = train(provoked, manifests, options.work, options.seed)
        trained = before[provoked.name]["seconds"] if options.diagnose_only else time.monotonic() - began
        found = inspect(run)
        results.append(
            {
                **{"name": provoked.name, "how": provoked.how, "expected": list(provoked.expected), "ended": ended},
                **{"seconds": round(trained, 1), "cause": found.cause, "right": found.cause in provoked.expected},
                **{"diagnosis": found.to_dict(), "metrics": [_kept(line) for line in run.read_metrics()]},
            }
        )
        print(f"{provoked.name}: {found.cause} ({trained:.0f} s) — {found.headline}", flush=True)
    show(results)
    if not options.only:
        write_json(options.out, {"seed": options.seed, "epochs": EPOCHS, "runs": results})
        draw(results, options.picture)


def _kept(line: dict) -> dict:
    """What the picture shows of a line of the metrics."""
    names = ("epoch", "split", "loss", "loss_speaker", "loss_liveness", "speaker_eer", "liveness_eer")
    kept = {name: line[name] for name in names if name in line}
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in kept.items()}


def show(results: list[dict]) -> None:
    table = Table(title=f"{sum(row['right'] for row in results)} of {len(results)} causes named")
    for column in ("run", "expected", "found", "speaker", "liveness", "seconds"):
        table.add_column(column)
    for row in results:
        states = {task["task"]: task["state"] for task in row["diagnosis"]["tasks"]}
        own = (states.get("speaker", "–"), states.get("liveness", "–"), f"{row['seconds']:.0f}")
        table.add_row(row["name"], "/".join(row["expected"]), row["cause"], *own)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
