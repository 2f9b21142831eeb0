"""An experiment: from a configuration to a trained run."""

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from vivavoce.config import ExperimentConfig
from vivavoce.corpus.leaks import Leak
from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.features.offline import holds, load_store, open_store
from vivavoce.features.store import FeatureStore
from vivavoce.files import write_json
from vivavoce.leakcheck import check_training
from vivavoce.models.heads.base import StreamsConfig
from vivavoce.models.joint import JointModel
from vivavoce.models.weights.pretrained import load_pretrained
from vivavoce.training.data import TrainingData
from vivavoce.training.distributed import Share, joined
from vivavoce.training.early import check_early
from vivavoce.training.features import TrainingFeatures, offline_features, online_features
from vivavoce.training.guard import Diverged
from vivavoce.training.run_folder import RunFolder
from vivavoce.training.step import JointLoss
from vivavoce.training.trainer import Trainer, Watch
from vivavoce.training.validation import Validation


class Recordings(NamedTuple):
    """What a run learns from, and what it is judged on while it does."""

    train: list[Row]
    validation: list[Row]


class Experiment:
    """A configuration that can be trained."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config

    def train(
        self, out: Path | str, resume: bool = False, allow_leak: bool = False, watch: Watch | None = None
    ) -> RunFolder:
        """Train into the run folder ``out``; ``resume`` continues one that was stopped.

        With ``allow_leak`` what training and validation share is written to the run's `leaks.json` instead of refused.
        ``watch`` is called after each epoch with its number and what validation gave; what it raises ends the run,
        which can be resumed.

        Raises:
            UserError: ``out`` already holds a run and ``resume`` is not set, training and validation recordings share
                something, or the data do not allow training. A run that ends so before its first epoch leaves
                nothing behind but the features that are whole, unless it diverged.
        """
        with joined(self.config.training.torch_device()) as share:
            return self._train(share, Path(out), resume, allow_leak, watch)

    def _train(self, share: Share, path: Path, resume: bool, allow_leak: bool, watch: Watch | None) -> RunFolder:
        model, recordings, leaks = self._begin(allow_leak, share.size)
        begin = RunFolder.reopen if resume else RunFolder.create
        first = share.from_main(lambda: str(begin(path, self.config).path))
        if first != str(path):
            raise UserError(
                f"One process of this job trains {first} and another {path}; give all the same command, and search "
                "(vivavoce tune) without torchrun, with as many workers as you like."
            )
        run = RunFolder(path)
        try:
            if leaks and share.main:
                write_json(run.leaks, [leak.to_dict() for leak in leaks])
            with self._trainer(run, model, recordings, resume, share) as trainer:
                trainer.fit(watch)
        except UserError as error:
            if share.main and not resume and not run.state.exists() and not isinstance(error, Diverged):
                run.forget()
            raise
        return run

    @contextmanager
    def prepared(self, allow_leak: bool = False) -> Iterator[Trainer]:
        """Give an untrained trainer, with a run folder that is removed afterwards.

        Raises:
            UserError: as of `train`.
        """
        model, recordings, _ = self._begin(allow_leak)
        with TemporaryDirectory(prefix="vivavoce-") as folder:
            run = RunFolder.create(Path(folder) / "run", self.config)
            with self._trainer(run, model, recordings, False, Share()) as trainer:
                yield trainer

    def _begin(self, allow_leak: bool, processes: int = 1) -> tuple[JointModel, Recordings, list[Leak]]:
        """Make the untrained model, read the manifests, and refuse what needs no features to be seen."""
        recordings, leaks = self._recordings(allow_leak)
        torch.manual_seed(self.config.seed)
        model = build_model(self.config)
        check_early(self.config, model, recordings.train, recordings.validation, processes)
        return model, recordings, leaks

    def _recordings(self, allow_leak: bool) -> tuple[Recordings, list[Leak]]:
        """Read both manifests, less the kinds that are held out, and what they share."""
        config = self.config
        config.training.torch_device()
        rows, validation_rows = (read_rows(path) for path in config.data.manifests())
        leaks = check_training(rows, validation_rows, config.data, allow_leak)
        kept = Recordings(*(_without(part, config.training.held_out) for part in (rows, validation_rows)))
        _check_gate(config, kept.train)
        return kept, leaks

    @contextmanager
    def _trainer(
        self, run: RunFolder, model: JointModel, recordings: Recordings, resume: bool, share: Share
    ) -> Iterator[Trainer]:
        config, rows = self.config, recordings.train
        if share.main:
            write_json(run.fingerprints, {str(path): _sha256(path) for path in config.data.manifests()})
        begun = resume and run.state.exists()
        if config.model.pretrained is not None and not begun:
            load_pretrained(model, config.model.pretrained, config.front_end)
        if share.size > 1:  # the first process makes what all of them then find
            share.from_main(lambda: self._make_features(run, model, recordings, begun))
        features = self._training_features(run, model, rows, begun)
        data = TrainingData(
            rows, features.heard, features.supply, config.training, config.front_end, config.seed, features.speeds,
            taught=_taught(config),
        )  # fmt: skip
        try:
            store = self._validation_store(run, recordings.validation)
            tasks = config.training.tasks
            validation = Validation(recordings.validation, store, config.seed, tasks, config.training.best_by)
            speaker_loss = config.speaker.build(model.trunk.embedding_dim, data.classes) if "speaker" in tasks else None
            head = config.model.head
            streams = head.channels if isinstance(head, StreamsConfig) else 0
            loss = JointLoss(speaker_loss, config.correlation, streams, data.motion.channels, config.multitask.build())
            trainer = Trainer(config.training, config.seed, model, loss, data, validation, run, share)
            if resume:
                trainer.resume()
            yield trainer
        finally:
            data.close()

    def _make_features(self, run: RunFolder, model: JointModel, recordings: Recordings, begun: bool) -> None:
        """Compute what the run folder is to hold of features."""
        self._training_features(run, deepcopy(model), recordings.train, begun).supply.close()
        self._validation_store(run, recordings.validation)

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
