"""An experiment: from a configuration to a trained run."""

import hashlib
import shutil
from pathlib import Path

import torch

from vivavoce.config import ExperimentConfig
from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.errors import UserError
from vivavoce.features.store import FeatureStore, open_store
from vivavoce.files import write_json
from vivavoce.models.joint import JointModel
from vivavoce.training.data import TrainingData
from vivavoce.training.run_folder import RunFolder
from vivavoce.training.step import JointLoss
from vivavoce.training.trainer import Trainer
from vivavoce.training.validation import Validation


class Experiment:
    """A configuration that can be trained."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config

    def train(self, out: Path | str, resume: bool = False) -> RunFolder:
        """Train into the run folder ``out``; ``resume`` continues one that was stopped.

        Raises:
            UserError: ``out`` already holds a run and ``resume`` is not set, or the data do not allow training. A run
                that ends so before its first epoch leaves no folder behind.
        """
        config = self.config
        config.training.torch_device()
        rows, validation_rows = read_rows(config.data.train), read_rows(config.data.validation)
        _refuse_shared_speakers(rows, validation_rows)
        torch.manual_seed(config.seed)
        model = build_model(config)
        run = (RunFolder.reopen if resume else RunFolder.create)(Path(out), config)
        try:
            self._fit(run, model, rows, validation_rows, resume)
        except UserError:
            if not resume and not run.state.exists():
                shutil.rmtree(run.path, ignore_errors=True)
            raise
        return run

    def _fit(
        self, run: RunFolder, model: JointModel, rows: list[Row], validation_rows: list[Row], resume: bool
    ) -> None:
        config = self.config
        write_json(run.fingerprints, {str(path): _sha256(path) for path in (config.data.train, config.data.validation)})
        store = self._store("train", rows, run)
        data = TrainingData(rows, store, config.training, config.front_end.voice)
        validation = Validation(validation_rows, self._store("validation", validation_rows, run), config.seed)
        model.fit_echo(store.echo_of(int(item)) for item in data.liveness_items)
        speaker_loss = config.speaker.build(model.trunk.embedding_dim, data.classes)
        loss = JointLoss(speaker_loss, config.correlation, config.training.swaps, config.training.replacements)
        trainer = Trainer(config.training, config.seed, model, loss, data, validation, run)
        if resume:
            trainer.resume()
        trainer.fit()

    def _store(self, name: str, rows: list[Row], run: RunFolder) -> FeatureStore:
        return open_store(rows, self.config.front_end, run.features / name, self.config.training.workers)


def build_model(config: ExperimentConfig) -> JointModel:
    """Make the untrained model of a configuration."""
    front_end = config.front_end.build()
    return config.model.build(front_end.mels, front_end.echo_channels)


def train(config: ExperimentConfig, out: Path | str, resume: bool = False) -> RunFolder:
    """Train ``config`` into the run folder ``out``."""
    return Experiment(config).train(out, resume)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _refuse_shared_speakers(rows: list[Row], validation_rows: list[Row]) -> None:
    shared = sorted({row.speaker for row in rows} & {row.speaker for row in validation_rows})
    if shared:
        raise UserError(
            f"{len(shared)} speakers are in both the training and the validation manifest, {shared[0]} among them; "
            "split by speaker (vivavoce split), or thresholds would be set on known voices."
        )
