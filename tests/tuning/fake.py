"""Trainings that take no time: a function of the configuration stands for the validation metric."""

import json
import os
import signal
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vivavoce.config import ExperimentConfig
from vivavoce.training.guard import Diverged
from vivavoce.tuning.chance import Resampled
from vivavoce.tuning.metric import Metric
from vivavoce.tuning.space import SearchSpace, load_space
from vivavoce.tuning.tuner import Tuner, Watch

SPACE = """\
config: train.yaml
search:
  training.learning_rate: {low: 1.0e-4, high: 1.0e-1, log: true}
  training.weight_decay: {low: 0.0, high: 0.1}
metric: eer
trials: 20
pruner: none
epochs: 4
"""
Objective = Callable[[ExperimentConfig], float]


def bowl(config: ExperimentConfig) -> float:
    """Least, 0.1, at a learning rate of 0.003 and a weight decay of 0.02."""
    rate = np.log10(config.training.learning_rate / 0.003)
    return float(0.1 + 0.05 * rate**2 + 20 * (config.training.weight_decay - 0.02) ** 2)


class FakeRunner:
    """Reports the objective, falling over the epochs to its value; leaves the files that a run leaves.

    Args:
        objective: the metric of a configuration.
        noise: sd of the chance that a single validation speaker adds; 0: no resamples are known.
        die_at: how many epochs this process reports until it kills itself.
        die_early: it does so between writing the last of them to the run folder and reporting it.
    """

    def __init__(
        self,
        objective: Objective = bowl,
        noise: float = 0.0,
        speakers: int = 30,
        die_at: int = 0,
        die_early: bool = False,
    ) -> None:
        self.objective, self.noise, self.speakers, self.die_at = objective, noise, speakers, die_at
        self.die_early = die_early
        self.trained: list[tuple[str, bool, int]] = []  # folder, resumed, first epoch
        self.reported = 0

    def check(self, config: ExperimentConfig) -> None:
        pass

    def train(self, config: ExperimentConfig, folder: Path, resume: bool, watch: Watch) -> None:
        state = folder / "checkpoints" / "trainer.pt"
        done = int(state.read_text()) if state.exists() else 0
        assert (folder / "config.yaml").exists() == resume
        self.trained.append((folder.name, resume, done + 1))
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        (folder / "features").mkdir(exist_ok=True)
        (folder / "config.yaml").write_text("begun: true\n")
        for epoch in range(done + 1, config.training.epochs + 1):
            said = {"speaker_eer": self._value(config) + 0.1 * (config.training.epochs / epoch - 1)}
            with (folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps({"epoch": epoch, "split": "validation", **said}) + "\n")
            state.write_text(str(epoch))
            if self.reported + 1 == self.die_at and self.die_early:
                os.kill(os.getpid(), signal.SIGKILL)
            watch(epoch, said)
            self.reported += 1
            if self.reported == self.die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def resample(self, config: ExperimentConfig, folder: Path, metric: Metric) -> Resampled | None:
        if not self.noise:
            return None
        errors = self._errors(config)
        rng = np.random.default_rng(0)
        draws = rng.multinomial(self.speakers, np.full(self.speakers, 1 / self.speakers), size=200)
        return Resampled(self.speakers, (self.objective(config) + draws @ errors / self.speakers).tolist())

    def _errors(self, config: ExperimentConfig) -> np.ndarray:
        key = json.dumps([config.training.learning_rate, config.training.weight_decay])
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        return self.noise * rng.normal(size=self.speakers)

    def _value(self, config: ExperimentConfig) -> float:
        chance = self._errors(config).mean() if self.noise else 0.0
        return self.objective(config) + float(chance)


class Broken(FakeRunner):
    """Fails where the learning rate is above 0.01."""

    def train(self, config: ExperimentConfig, folder: Path, resume: bool, watch: Watch) -> None:
        if config.training.learning_rate > 0.01:
            raise Diverged("The loss is nan in step 3; lower training.learning_rate.")
        super().train(config, folder, resume, watch)


def write_space(folder: Path, text: str = SPACE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.yaml").write_text("data: {train: a.jsonl.gz, validation: b.jsonl.gz}\ntraining: {workers: 1}\n")
    (folder / "space.yaml").write_text(text)
    return folder / "space.yaml"


def make_space(folder: Path, text: str = SPACE) -> SearchSpace:
    return load_space(write_space(folder, text))


def make_tuner(folder: Path, runner: FakeRunner | None = None, text: str = SPACE, **options) -> Tuner:
    return Tuner(make_space(folder, text), folder / "out", runner or FakeRunner(), **options)
