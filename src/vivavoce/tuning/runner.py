"""Trials as real trainings, which share the features that they have in common."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from vivavoce.config import ExperimentConfig
from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.experiment import Experiment
from vivavoce.features.offline import holds, load_store, open_store
from vivavoce.features.store import FeatureStore
from vivavoce.files import append_to
from vivavoce.leakcheck import check_training
from vivavoce.tuning.chance import Resampled
from vivavoce.tuning.metric import Metric
from vivavoce.tuning.resample import resample_run
from vivavoce.tuning.space import SearchSpace
from vivavoce.tuning.tuner import TooLarge, Watch

# What the features of a store depend on.
_SECTIONS = ("front_end", "features", "seed")


class ExperimentRunner:
    """Trains trials; their features lie in ``out/features``, one store for all trials with the same front end.

    Where a range over the features is searched, each trial extracts its own, which go when the trial has ended.
    """

    def __init__(self, space: SearchSpace, out: Path, allow_leak: bool = False) -> None:
        self._features = out / "features"
        self._shares = not space.has_range_in(*_SECTIONS)
        self._allow_leak = allow_leak
        self._open: set[Path] = set()

    def check(self, config: ExperimentConfig) -> None:
        """Refuse recordings that no trial could be trained on, before anything is written."""
        config.training.torch_device()
        rows, validation_rows = (read_rows(path) for path in config.data.manifests())
        check_training(rows, validation_rows, config.data, self._allow_leak)

    def train(self, config: ExperimentConfig, folder: Path, resume: bool, watch: Watch) -> None:
        """Train a trial into its run folder."""
        try:
            Experiment(self._with_store(config)).train(folder, resume, self._allow_leak, watch)
        except torch.OutOfMemoryError as error:
            raise TooLarge("The GPU's memory is too small for this trial; search smaller batches.") from error

    def resample(self, config: ExperimentConfig, folder: Path, metric: Metric) -> Resampled | None:
        """Judge a finished run on resampled validation speakers."""
        _, rows = _rows(config)
        store = self._with_store(config).features.store
        workers = config.training.workers
        if store is not None and holds(store, rows):
            found: FeatureStore = load_store(rows, config.store_spec(), store, workers).first_copies()
        else:
            found = open_store(rows, config.front_end, folder / "features" / "validation", workers)
        return resample_run(config, folder, rows, found, metric)

    def _with_store(self, config: ExperimentConfig) -> ExperimentConfig:
        """The configuration with the shared store, which is extracted by the first who needs it."""
        features = config.features
        rows = [row for part in _rows(config) for row in part]
        if not self._shares or features.mode == "online" or features.store is not None:
            return config
        if len({row.id for row in rows}) < len(rows):  # one store cannot hold two recordings of one name
            return config
        spec = config.store_spec()
        key = hashlib.sha256(json.dumps(spec.described(), sort_keys=True).encode()).hexdigest()[:12]
        place = self._features / key
        if place not in self._open:
            with _alone(place.with_suffix(".lock")):
                open_store(rows, spec, place, config.training.workers)
            self._open.add(place)
        return config.model_copy(update={"features": features.model_copy(update={"store": place})})


def _rows(config: ExperimentConfig) -> tuple[list[Row], list[Row]]:
    """The training and the validation recordings that are used."""
    train, validation = (_used(read_rows(path), config) for path in config.data.manifests())
    return train, validation


def _used(rows: Sequence[Row], config: ExperimentConfig) -> list[Row]:
    return [row for row in rows if row.meta.kind not in config.training.held_out]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process of this machine extracts."""
    with append_to(lock) as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except (ImportError, OSError):  # this system, or this disk, has no such locks
            pass
        yield
