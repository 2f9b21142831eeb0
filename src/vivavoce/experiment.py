"""An experiment: from a configuration to a trained run."""

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path

import torch

from vivavoce.config import ExperimentConfig
from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.features.offline import holds, load_store, open_store
from vivavoce.features.store import FeatureStore
from vivavoce.files import write_json
from vivavoce.leakcheck import check_training
from vivavoce.models.heads.base import StreamsConfig
from vivavoce.models.joint import JointModel
from vivavoce.training.data import TrainingData
from vivavoce.training.features import TrainingFeatures, offline_features, online_features
from vivavoce.training.run_folder import RunFolder
from vivavoce.training.step import JointLoss
from vivavoce.training.trainer import Trainer
from vivavoce.training.validation import Validation


class Experiment:
    """A configuration that can be trained."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config

    def train(self, out: Path | str, resume: bool = False, allow_leak: bool = False) -> RunFolder:
        """Train into the run folder ``out``; ``resume`` continues one that was stopped.

        With ``allow_leak`` what training and validation share is written to the run's `leaks.json` instead of refused.

        Raises:
            UserError: ``out`` already holds a run and ``resume`` is not set, training and validation recordings share
                something, or the data do not allow training. A run that ends so before its first epoch leaves no
                folder behind.
        """
        config = self.config
        config.training.torch_device()
        rows, validation_rows = (read_rows(path) for path in config.data.manifests())
        leaks = check_training(rows, validation_rows, config.data, allow_leak)
        rows, validation_rows = (_without(part, config.training.held_out) for part in (rows, validation_rows))
        _check_gate(config, rows)
        torch.manual_seed(config.seed)
        model = build_model(config)
        run = (RunFolder.reopen if resume else RunFolder.create)(Path(out), config)
        try:
            if leaks:
                write_json(run.leaks, [leak.to_dict() for leak in leaks])
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
        write_json(run.fingerprints, {str(path): _sha256(path) for path in config.data.manifests()})
        features = self._training_features(run, model, rows, fitted=resume and run.state.exists())
        data = TrainingData(
            rows, features.heard, features.supply, config.training, config.front_end, config.seed, features.speeds,
            taught=_taught(config),
        )  # fmt: skip
        try:
            store = self._validation_store(run, validation_rows)
            tasks = config.training.tasks
            validation = Validation(validation_rows, store, config.seed, tasks)
            speaker_loss = config.speaker.build(model.trunk.embedding_dim, data.classes) if "speaker" in tasks else None
            head = config.model.head
            streams = head.channels if isinstance(head, StreamsConfig) else 0
            joined = config.multitask.build()
            loss = JointLoss(speaker_loss, config.correlation, streams, data.motion.channels, joined)
            trainer = Trainer(config.training, config.seed, model, loss, data, validation, run)
            if resume:
                trainer.resume()
            trainer.fit()
        finally:
            data.close()

    def _training_features(self, run: RunFolder, model: JointModel, rows: list[Row], fitted: bool) -> TrainingFeatures:
        config = self.config
        if config.features.mode == "online":
            survey = run.features / "survey.npz"
            return online_features(rows, config.features, config.front_end, config.training, survey, model, fitted)
        folder, workers = run.features / "train", config.training.workers
        return offline_features(rows, config.features, config.store_spec(), folder, workers, model)

    def _validation_store(self, run: RunFolder, rows: list[Row]) -> FeatureStore:
        """Features of the validation recordings as they are: of the user's store where it holds them, or our own."""
        config, workers = self.config, self.config.training.workers
        kept = config.features.store
        if kept is not None and holds(kept, rows):
            return load_store(rows, config.store_spec(), kept, workers).first_copies()
        return open_store(rows, config.front_end, run.features / "validation", workers)


def build_model(config: ExperimentConfig) -> JointModel:
    """Make the untrained model of a configuration."""
    front_end = config.front_end.build()
    return config.model.build(front_end.voice_channels, front_end.echo_channels)


def train(config: ExperimentConfig, out: Path | str, resume: bool = False, allow_leak: bool = False) -> RunFolder:
    """Train ``config`` into the run folder ``out``."""
    return Experiment(config).train(out, resume, allow_leak)


def _taught(config: ExperimentConfig) -> bool:
    """Whether the mouth's motion has anybody to teach: a head whose streams are trained."""
    learns = isinstance(config.model.head, StreamsConfig) and "liveness" in config.training.tasks
    return learns and config.correlation.teacher_weight > 0


def _check_gate(config: ExperimentConfig, rows: list[Row]) -> None:
    """Refuse to teach a level gate where nothing stands still."""
    if config.correlation.gate_weight and not any(row.meta.kind.is_still for row in rows):
        raise UserError(
            f"correlation.gate_weight needs recordings of the kind {Kind.REPLAY_STAND}, in which nothing moves, and "
            f"{config.data.manifests()[0]} has none that training may use; set it to 0."
        )


def _without(rows: list[Row], held_out: Collection[Kind]) -> list[Row]:
    return [row for row in rows if row.meta.kind not in held_out]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
