"""What the training loop itself costs: overhead of a step, time of a checkpoint, and a hundred kills.

    python benchmarks/trainer_loop.py [--kills 100] [--quick]

Overhead: the trainer with all it does in a step (seed, guard, clipping, schedule, monitor, console, logging), on
batches that are ready and a model of one number, beside the same forward, backward and optimiser step in a bare loop,
in turns.
Checkpoints: the default model (ECAPA-TDNN of 512 channels) and its optimiser are saved; an epoch is that of as many
recordings as speechocean's training speakers have, at the speed that this machine trains at. Kills: a tiny run that
writes a checkpoint after every step is killed (SIGKILL) at random moments and resumed until it ends; after each kill
all its files must be readable, and at the end its losses must be those of a run that was never killed. Prints tables
and writes benchmarks/results/trainer_loop.json. About ten minutes on two cores.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from rich.console import Console as Terminal
from rich.table import Table
from safetensors.torch import load_file
from torch import nn

from vivavoce.config import DataConfig, ExperimentConfig
from vivavoce.corpus.importers import finish
from vivavoce.corpus.split import split_by_speaker
from vivavoce.corpus.table import read_table
from vivavoce.experiment import Experiment
from vivavoce.features.batch import SpeakerBatch
from vivavoce.files import write_json
from vivavoce.objectives.multitask import SumConfig
from vivavoce.settings import load_settings
from vivavoce.simulate.alignment import AlignmentCache
from vivavoce.simulate.config import KindCounts, SimulationConfig
from vivavoce.simulate.dataset import simulate_dataset
from vivavoce.simulate.voices import make_voices
from vivavoce.training.checkpoint import load_state, save_weights
from vivavoce.training.config import TrainingConfig
from vivavoce.training.console import Console
from vivavoce.training.crops import Batches
from vivavoce.training.epoch_losses import NAMES
from vivavoce.training.run_folder import RunFolder
from vivavoce.training.step import KINDS, StepLoss
from vivavoce.training.trainer import Trainer

HERE = Path(__file__).resolve().parent
STEPS, ROUNDS = 1000, 5
MOST_OVERHEAD_MS, MOST_SAVE_SHARE = 0.5, 0.01
# Utterances of speechocean's training speakers with as many attacks again (see real_speech.py).
RECORDINGS = 1800
# A voice of each speaker, three recordings to each, is enough to be killed over.
SPEAKERS, SENTENCES = 8, 4
TINY = (
    "model.name=ecapa-lstm",
    "model.trunk={channels: 16, pooled_channels: 32, embedding_dim: 16, bottleneck: 8}",
    "model.head={channels: 16, groups: 4, hidden: 16, dilations: [1, 2]}",
    *("training.epochs=6", "training.liveness_batch=8", "training.speaker_batch=8", "training.workers=1"),
    *("training.liveness_crop_s=1.5", "training.speaker_crop_s=1.0", "training.checkpoint_every_s=0"),
    "training.average={decay: 0.9}",
)


class Nothing(nn.Module):
    """A model of one number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.head = nn.Module()
        self.head.needs_fit = False


class NoLoss(nn.Module):
    """Losses that cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.multitask = SumConfig().build()

    def forward(self, model: Nothing, batches: Batches, margin: float, progress: float, autocast: Any) -> StepLoss:
        """Square the number."""
        loss = model.weight.square()
        return StepLoss(*[loss] * len(NAMES), torch.zeros(2, len(KINDS)))


class Ready:
    """Batches that are there already."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.batches = Batches(SpeakerBatch(torch.zeros(32, 1, 1), torch.zeros(32, dtype=torch.int64)), None)

    def epoch(self, epoch: int) -> Iterator[Batches]:
        """Yield the same batch again and again."""
        for _ in range(self.steps):
            yield self.batches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--quick", action="store_true", help="few steps and 3 kills: only to see it run")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "trainer_loop.json")
    options = parser.parse_args()
    steps, rounds, kills = (100, 2, 3) if options.quick else (STEPS, ROUNDS, options.kills)
    with tempfile.TemporaryDirectory() as folder:
        config = tiny_config(Path(folder))
        rows = [overhead(Path(folder), steps, rounds), checkpoint(config, rounds)]
        rows.append(killed(Path(folder), config, kills, np.random.default_rng(options.seed)))
    show(rows)
    machine = {"cores": os.cpu_count(), "torch": torch.__version__}
    write_json(options.out, {"machine": machine, "quick": options.quick, "rows": rows})


def overhead(folder: Path, steps: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of a step beyond those of a bare loop, median of the rounds."""
    torch.set_num_threads(1)
    config = TrainingConfig(tasks=("speaker",), epochs=2 * rounds, precision="float32", device="cpu")
    run = RunFolder.create(folder / "nothing", config)
    trainer = Trainer(config, 0, Nothing(), NoLoss(), Ready(steps), None, run)  # type: ignore
    extra, bare = [], []
    with trainer._events() as events, Console(config, steps) as console:
        for _ in range(rounds):
            began = time.perf_counter()
            trainer._train_epoch(console, events)
            with_loop = time.perf_counter() - began
            trainer.progress.epoch += 1
            trainer.progress.steps = 0
            began = time.perf_counter()
            bare_loop(steps, config)
            bare.append(1e3 * (time.perf_counter() - began) / steps)
            extra.append(1e3 * with_loop / steps - bare[-1])
    found = statistics.median(extra)
    reached = found <= MOST_OVERHEAD_MS
    return {
        "what": "overhead of a step, ms", "value": found, "asked": MOST_OVERHEAD_MS, "reached": reached,
        "bare loop, ms": statistics.median(bare), "steps": steps, "rounds": rounds,
    }  # fmt: skip


def bare_loop(steps: int, config: TrainingConfig) -> None:
    """The forward and backward pass and the optimiser's step, and nothing else."""
    model, loss, data = Nothing(), NoLoss(), Ready(steps)
    optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    for batches in data.epoch(0):
        loss(model, batches, 1.0, 0.0, None).total.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


class Spent(NamedTuple):
    """Seconds."""

    step: float
    save: float


def checkpoint(config: ExperimentConfig, rounds: int) -> dict[str, Any]:
    """Share of an epoch that its checkpoint takes, with the default model."""
    torch.set_num_threads(os.cpu_count() or 1)
    default = ExperimentConfig(data=config.data)
    with Experiment(default).prepared() as trainer:
        spent = [save_and_step(trainer) for _ in range(rounds)]
        size = sum(path.stat().st_size for path in trainer.run.state.parent.iterdir())
        recordings = default.training.liveness_batch
    step, save = (statistics.median(values) for values in zip(*spent, strict=True))
    epoch = step * RECORDINGS / recordings
    share = save / epoch
    return {
        "what": "checkpoint, share of an epoch", "value": share, "asked": MOST_SAVE_SHARE,
        "reached": share <= MOST_SAVE_SHARE, "save, s": save, "epoch, s": epoch, "size, MB": size / 1e6,
    }  # fmt: skip


def save_and_step(trainer: Trainer) -> Spent:
    """Time one step and one checkpoint with the best weights."""
    batches = next(iter(trainer.data.epoch(0)))
    began = time.perf_counter()
    trainer.learner.learn(trainer.learner.losses(batches, 0))
    stepped = time.perf_counter()
    save_weights(trainer.learner.judged, trainer.run.best_weights)
    trainer._save()
    return Spent(stepped - began, time.perf_counter() - stepped)


def killed(folder: Path, config: ExperimentConfig, kills: int, rng: np.random.Generator) -> dict[str, Any]:
    """Kill a run again and again; count files that cannot be read and losses that differ."""
    torch.set_num_threads(1)
    began = time.monotonic()
    whole = Experiment(config).train(folder / "whole").read_metrics()
    longest = time.monotonic() - began
    damaged = differing = ended = done = 0
    while done < kills:
        run = RunFolder(folder / f"killed{ended}")
        finished = False
        while not finished and done < kills:
            finished = train_until_killed(config, run, float(rng.uniform(0.05, longest)))
            done += not finished
            damaged += not readable(run)
        if not finished:
            finished = train_until_killed(config, run, None)
        ended += 1
        differing += plain(run.read_metrics()) != plain(whole)
    return {
        "what": f"{kills} kills: damaged or differing", "value": damaged + differing, "asked": 0,
        "reached": not damaged + differing, "damaged files": damaged, "runs": ended, "runs that differ": differing,
    }  # fmt: skip


def train_until_killed(config: ExperimentConfig, run: RunFolder, seconds: float | None) -> bool:
    """Train in another process, which is killed after some seconds; returns whether it had ended before."""
    process = os.fork()
    if not process:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        Experiment(config).train(run.path, resume=run.config.exists())
        os._exit(0)
    waited_until = time.monotonic() + (seconds if seconds is not None else 600)
    while time.monotonic() < waited_until:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            if status:
                raise RuntimeError(f"training ended with status {status}")
            return True
        time.sleep(0.005)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return False


def readable(run: RunFolder) -> bool:
    """Whether every file of a run that is there can be read."""
    try:
        if run.state.exists():
            load_state(run.state)
        if run.best_weights.exists():
            load_file(run.best_weights)
        run.read_metrics()
        for path in (run.diagnosis, run.fingerprints):
            if path.exists():
                json.loads(path.read_text())
    except Exception as error:
        print(f"{run.path}: {error}", file=sys.stderr)
        return False
    return True


def plain(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Metrics without times."""
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def tiny_config(folder: Path) -> ExperimentConfig:
    """Invented voices, simulated recordings, a tiny model."""
    table = make_voices(folder / "voices", speakers=SPEAKERS, sentences=SENTENCES)
    rows = finish(read_table(table), table.parent).rows
    cache = AlignmentCache(folder / "alignments.jsonl")
    cache.add_file(rows, folder / "voices" / "phones.jsonl")
    splits = split_by_speaker(rows, (0.5, 0.25, 0.25))
    simulation = SimulationConfig(kinds=KindCounts(live=1, replay_stand=1))
    made = {
        name: simulate_dataset(members, folder / name, simulation, cache.get_many(members, 1), workers=2)
        for name, members in splits.items()
        if name != "test"
    }
    data = DataConfig(train=made["train"], validation=made["validation"])
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump({"data": data.model_dump(mode="json", exclude_none=True)}, file)
        file.flush()
        return load_settings(ExperimentConfig, file.name, TINY)


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("", "measured", "asked at most", "reached")
    for row in rows:
        table.add_row(row["what"], f"{row['value']:.4g}", f"{row['asked']:g}", "yes" if row["reached"] else "no")
    Terminal().print(table)


if __name__ == "__main__":
    main()
