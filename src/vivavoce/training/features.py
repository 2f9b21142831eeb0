"""The features of a run's training recordings, as its config has them: kept or computed anew."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vivavoce.corpus.manifest import Row
from vivavoce.features.config import FeaturesConfig
from vivavoce.features.extract import make_all
from vivavoce.features.front_end import FrontEndConfig, Probe
from vivavoce.features.offline import load_store, open_store
from vivavoce.features.spec import StoreSpec
from vivavoce.features.survey import Survey, keep_survey, read_survey
from vivavoce.models.joint import JointModel
from vivavoce.progress import track
from vivavoce.training.config import TrainingConfig
from vivavoce.training.data import judgeable
from vivavoce.training.supply import DeviceSupply, OfflineSupply, Supply, WorkerSupply


@dataclass(frozen=True)
class TrainingFeatures:
    """Where training takes its features from, and what is known of the recordings."""

    supply: Supply
    heard: np.ndarray  # (rows,) which recordings the correlation task may use
    speeds: tuple[float, ...]  # at which recordings may be played


def offline_features(
    rows: Sequence[Row], how: FeaturesConfig, spec: StoreSpec, folder: Path, workers: int, model: JointModel
) -> TrainingFeatures:
    """Open the user's store, or the run's own in ``folder``, and fit the model's statistics on the first copies.

    Raises:
        UserError: the user's store cannot be used, or features cannot be made.
    """
    if how.store is not None:
        store = load_store(rows, spec, how.store, workers)
    else:
        store = open_store(rows, spec, folder, workers)
    heard = judgeable(rows, store.usable)
    model.fit_statistics(store.originals(np.flatnonzero(heard).tolist()))
    return TrainingFeatures(OfflineSupply(store), heard, spec.speeds)


def online_features(
    rows: Sequence[Row],
    how: FeaturesConfig,
    front_end: FrontEndConfig,
    training: TrainingConfig,
    survey: Path,
    model: JointModel,
    fitted: bool,
) -> TrainingFeatures:
    """Hear all recordings once, which says whose probe is usable and fits the model's statistics; then compute anew.

    Args:
        rows: the training recordings.
        how: augmentation and where it happens.
        front_end: what the features are.
        training: workers and device.
        survey: file that keeps what was heard.
        model: whose statistics are fitted.
        fitted: the statistics come from a checkpoint, so that a survey that was kept is enough.

    Raises:
        UserError: a recording cannot be used.
    """
    known = read_survey(rows, survey) if fitted else None
    if known is None:
        known = _hear_all(rows, front_end, training.workers, model)
        keep_survey(known, rows, survey)
    augment = how.augment
    workers, device = training.workers, training.torch_device()
    supply: Supply = (
        WorkerSupply(rows, known, front_end, augment, workers, how.prefetch)
        if how.where == "workers"
        else DeviceSupply(rows, known, front_end, augment, workers, device, how.prefetch)
    )
    return TrainingFeatures(supply, judgeable(rows, known.quality.usable), augment.build().load().speed_factors)


def _hear_all(rows: Sequence[Row], front_end: FrontEndConfig, workers: int, model: JointModel) -> Survey:
    """Find all probes; the features of the recordings that may be judged fit the model's statistics on the way."""
    probes: list[Probe] = []

    def features() -> Iterator[tuple[Tensor, Tensor]]:
        for row, made in zip(track(rows, "Hearing the training recordings"), results, strict=True):
            (original,) = made.versions
            probes.append(original.probe)
            if original.probe.quality.usable and row.meta.kind.readable:
                yield torch.from_numpy(original.voice).float(), torch.from_numpy(original.echo).float()

    with closing(make_all(rows, StoreSpec(front_end), workers)) as results:
        heard = features()
        model.fit_statistics(heard)
        for _ in heard:  # where the model needs no statistics, nobody has listened yet
            pass
    return Survey.collect(probes)
