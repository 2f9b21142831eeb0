"""What can be refused before any feature is computed: of the model, the length of the run, and what manifests say."""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy

import numpy as np

from vivavoce.config import ExperimentConfig
from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.models.joint import JointModel
from vivavoce.training.config import TrainingConfig
from vivavoce.training.crops import Batches, Cutter, Step
from vivavoce.training.data import TrainingData, judgeable
from vivavoce.training.parameter_groups import freeze, parameter_groups
from vivavoce.training.schedules.base import stand_in
from vivavoce.training.step import trained_parameters
from vivavoce.training.validation import ValidationSplit


def check_early(
    config: ExperimentConfig, model: JointModel, train: Sequence[Row], validation: Sequence[Row], processes: int = 1
) -> None:
    """Refuse what would be refused after hours of computing features, as if the probe of each recording were heard.

    Args:
        config: of the run.
        model: untrained; it is not changed.
        train: recordings that training may use.
        validation: recordings that it is judged on.
        processes: that share each batch.

    Raises:
        UserError: a part of the model has no such name, the run is too short for its schedule, the recordings do not
            allow the tasks or the samplers, or batches are smaller than the number of processes.
    """
    training = config.training
    _check_frozen(deepcopy(model), training)
    parameter_groups(model, [], training.learning_rate, training.layer_rates)
    data = TrainingData(train, _all_heard(train), _Nothing(), training, config.front_end, config.seed)
    _check_shares(data, training, processes)
    updates = -(-data.steps // training.accumulate)
    training.schedule.build(stand_in(), training.epochs * updates, updates)
    ValidationSplit(validation, config.seed, training.tasks).check(_all_heard(validation), training.best_by)


def _check_frozen(model: JointModel, config: TrainingConfig) -> None:
    """Refuse to freeze what is not there, or all that the tasks train; in the first epoch most is frozen."""
    freeze(model, config.freeze, epoch=0)
    # The losses of the speaker task have weights of their own.
    if "speaker" not in config.tasks and not any(p.requires_grad for p in trained_parameters(model, config.tasks)):
        raise UserError(
            f"training.freeze.parts hold all still that the task {config.tasks[0]} trains (training.tasks), and "
            "nothing is left that learns; name less."
        )


def _check_shares(data: TrainingData, config: TrainingConfig, processes: int) -> None:
    """Refuse more processes than a batch has items for."""
    for task, most in (("speaker", config.speaker_batch), ("liveness", len(data.liveness_items))):
        batch = min(getattr(config, f"{task}_batch"), most)
        if task in config.tasks and batch < processes:
            raise UserError(
                f"{processes} processes are to share a batch of {batch} of the task {task}; start fewer, or raise "
                f"training.{task}_batch."
            )


def _all_heard(rows: Sequence[Row]) -> np.ndarray:
    return judgeable(rows, np.ones(len(rows), dtype=bool))


class _Nothing:
    """Stands for features that are not computed yet: no batches."""

    def batches(self, steps: Iterable[Step], cutter: Cutter) -> Iterator[Batches]:
        return iter(())

    def close(self) -> None:
        pass
