"""Speaker verification from scratch: our recipe against SpeechBrain's, on the same data, for the same epochs.

    python benchmarks/speaker_scratch.py [--seeds 3] [--epochs 15] [--channels 256]

Trains an ECAPA-TDNN on the training speakers of speechocean (``../shared/data/speechocean_adult16k``, or ``--corpus``)
twice a seed: by this project's recipe (examples/speaker.yaml), and by the objective of SpeechBrain's VoxCeleb recipe
(recipes/VoxCeleb/SpeakerRec/hparams/train_ecapa_tdnn.yaml): their network (the preset, which `peer_parity.py` holds to
their code), AAM-softmax of margin 0.2 and scale 30 from the first step on, a rate that rises and falls linearly
between 1e-8 and 1e-3 (one cycle a run), weight decay 2e-6. Both see the same crops of 2 s, 32 a step, each at
one of three speeds; both keep the epoch that is best on the validation speakers, and are judged once on the test
speakers: enrolment of 3, single-utterance tests. Prints a table and writes benchmarks/results/speaker_scratch.json.
On two cores about a quarter of an hour.
"""

import argparse
import os
import statistics
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.table import Table

from vivavoce.config import DataConfig, ExperimentConfig
from vivavoce.corpus.manifest import read_rows, write_rows
from vivavoce.corpus.split import split_by_speaker
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.scoring.recordings import score_recordings
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.table import NONTARGET, TARGET
from vivavoce.experiment import Experiment
from vivavoce.features.front_end import FrontEndConfig
from vivavoce.features.offline import load_store, open_store
from vivavoce.features.spec import StoreSpec
from vivavoce.files import write_json
from vivavoce.models.ecapa_tdnn import EcapaConfig
from vivavoce.quickstart import gather
from vivavoce.training.run_folder import RunFolder
from vivavoce.verifier import load_run

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "examples" / "speaker.yaml"
CROPS = 32
OURS, THEIRS = "ours", "SpeechBrain's objective"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = HERE.parents[1] / "shared" / "data" / "speechocean_adult16k"
    parser.add_argument("--corpus", type=Path, default=shared)
    parser.add_argument("--out", type=Path, default=Path("runs/speaker_scratch"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--channels", type=int, default=256, help="of the blocks; three times as many are pooled")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "speaker_scratch.json")
    options = parser.parse_args()
    manifests, store = prepare(options)
    found: dict[str, list[dict[str, float]]] = {OURS: [], THEIRS: []}
    for seed in range(options.seeds):
        for who, runs in found.items():
            config = config_of(options, manifests, store, who, seed)
            runs.append(judge(train(options, config, who, seed), manifests["test"], store, options.workers))
    rows = [row(who, runs) for who, runs in found.items()]
    reached = rows[0]["EER"] <= rows[1]["EER"]
    show(rows, options, reached)
    machine = {"cores": os.cpu_count(), "torch": torch.__version__}
    what = {"epochs": options.epochs, "channels": options.channels, "seeds": options.seeds, "reached": reached}
    write_json(options.json, {"machine": machine, "corpus": options.corpus.name, **what, "rows": rows})


def prepare(options: argparse.Namespace) -> tuple[dict[str, Path], Path]:
    """Split by speaker; compute all features once."""
    splits = split_by_speaker(gather(options.out, options.corpus, seed=0), seed=0)
    manifests = {name: options.out / "splits" / f"{name}.jsonl.gz" for name in splits}
    for name, rows in splits.items():
        write_rows(rows, manifests[name])
    store = options.out / "features"
    open_store([row for rows in splits.values() for row in rows], FrontEndConfig(), store, options.workers)
    return manifests, store


def config_of(
    options: argparse.Namespace, manifests: dict[str, Path], store: Path, who: str, seed: int
) -> ExperimentConfig:
    """The configuration of one run; what is named here for both is alike, all else is each one's own."""
    size = {"channels": options.channels, "pooled_channels": 3 * options.channels}
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    training: dict[str, Any] = {"epochs": options.epochs, "speaker_batch": CROPS, "workers": options.workers}
    trunk: dict[str, Any] = size
    if who == OURS:
        training |= recipe["training"]
    else:
        trunk = {**EcapaConfig.preset("speechbrain").model_dump(), **size}
        triangle = "1e-5 + (1 - 1e-5) * (1 - abs(2 * share - 1))"
        training |= {
            "tasks": ("speaker",), "learning_rate": 1e-3, "weight_decay": 2e-6, "margin_warmup_share": 0.0,
            "schedule": {"type": "lambda", "expression": triangle}, "speaker_mask_mels": 0, "mask_frames": 0,
        }  # fmt: skip
    return ExperimentConfig.model_validate(
        {
            "seed": seed,
            "data": DataConfig(train=manifests["train"], validation=manifests["validation"]),
            "features": {"store": store},
            "model": {"name": "ecapa-fused", "trunk": trunk},
            "speaker": recipe["speaker"],
            "training": training,
        }
    )


def train(options: argparse.Namespace, config: ExperimentConfig, who: str, seed: int) -> RunFolder:
    """Train one run, or go on with one that was stopped."""
    name = f"{'ours' if who == OURS else 'theirs'}-{options.channels}-{options.epochs}epochs-seed{seed}"
    run = RunFolder(options.out / "runs" / name)
    if not run.calibration.exists():
        Experiment(config).train(run.path, resume=run.config.exists())
    return run


def judge(run: RunFolder, manifest: Path, store: Path, workers: int) -> dict[str, float]:
    """Equal error rates of the best epoch, on the test and on the validation speakers, and seconds an epoch."""
    rows = read_rows(manifest)
    features = load_store(rows, StoreSpec(FrontEndConfig()), store, workers).first_copies()
    scores = score_recordings(load_run(run.path).model, features, tasks=("speaker",))
    trials = make_trials(rows, enrol=3, seed=0)
    cosine = score_trials(trials, rows, scores.embeddings).scores
    labels = [trial.label for trial in trials]
    classes = [cosine[[label == wanted for label in labels]] for wanted in (TARGET, NONTARGET)]
    lines = run.read_metrics()
    seconds = [line["seconds"] for line in lines if line["split"] == "train"]
    validation = min(line["speaker_eer"] for line in lines if line["split"] == "validation")
    return {"EER": eer(*classes).rate, "validation EER": validation, "seconds": statistics.median(seconds)}


def row(who: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    """Mean and spread over the seeds."""
    values = [run["EER"] for run in runs]
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {
        "objective": who, "EER": statistics.mean(values), "EER sd": spread,
        "EER of each seed": values, "validation EER": statistics.mean(run["validation EER"] for run in runs),
        "seconds an epoch": statistics.median(run["seconds"] for run in runs),
    }  # fmt: skip


def show(rows: list[dict[str, Any]], options: argparse.Namespace, reached: bool) -> None:
    title = f"From scratch, {options.epochs} epochs, {options.seeds} seeds, {options.channels} channels"
    table = Table("Objective", "EER, unseen speakers", "validation", "s an epoch", title=title)
    for one in rows:
        spread = "" if one["EER sd"] is None else f" ± {100 * one['EER sd']:.2f}"
        table.add_row(
            one["objective"], f"{100 * one['EER']:.2f}{spread} %", f"{100 * one['validation EER']:.2f} %",
            f"{one['seconds an epoch']:.1f}",
        )  # fmt: skip
    Console().print(table)
    print("Ours is no worse: " + ("yes" if reached else "no"))


if __name__ == "__main__":
    main()
