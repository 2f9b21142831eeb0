"""The validation metric of a finished run on resampled speakers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vivavoce.config import ExperimentConfig
from vivavoce.corpus.manifest import Row
from vivavoce.evaluation.trials.table import references
from vivavoce.experiment import build_model
from vivavoce.features.store import FeatureStore
from vivavoce.training.checkpoint import load_weights
from vivavoce.training.config import Task
from vivavoce.training.run_folder import RunFolder
from vivavoce.training.validation import Validation, ValidationScores
from vivavoce.training.validation_scores import TandemScores
from vivavoce.tuning.chance import Resampled
from vivavoce.tuning.metric import Metric

DRAWS = 200  # enough for a 95 % quantile (Efron & Tibshirani 1993, chapter 19); each computes the metric once

Counts = NDArray[np.intp]


def resample_run(
    config: ExperimentConfig, folder: Path, rows: Sequence[Row], store: FeatureStore, metric: Metric
) -> Resampled:
    """Score the validation recordings with a run's best weights, and judge them on ``DRAWS`` draws of the speakers."""
    model = build_model(config).to(config.training.torch_device())
    load_weights(model, RunFolder(folder).best_weights)
    tasks = config.training.tasks
    validation = Validation(list(rows), store, config.seed, tasks)
    scores = validation.score(model, config.training.validation_crop_s)
    drawn = SpeakerDraws(validation)
    rng = np.random.default_rng(0)  # the same draws for every run
    draws = rng.multinomial(drawn.speakers, np.full(drawn.speakers, 1 / drawn.speakers), size=DRAWS)
    return Resampled(drawn.speakers, [judge_draw(drawn.apply(scores, draw), metric, tasks) for draw in draws])


class SpeakerDraws:
    """Repeats the scores of a validation split as often as their speakers are drawn.

    A trial of two speakers comes as often as the product of their draws, as in `vivavoce.evaluation.intervals`.
    """

    def __init__(self, validation: Validation) -> None:
        names, self._speaker = np.unique([row.speaker for row in validation.rows], return_inverse=True)
        self.speakers = len(names)
        number = {name: index for index, name in enumerate(references(validation.rows))}
        tested = np.array([number[trial.test] for trial in validation.trials], dtype=np.intp)
        self._enrolled = (
            self._speaker[[number[trial.enrol[0]] for trial in validation.trials]] if len(tested) else tested
        )
        self._tested = self._speaker[tested] if len(tested) else tested
        usable = validation.store.usable
        self._live, self._attack = validation.is_live & usable, validation.is_attack & usable
        self._target, self._nontarget = validation.is_target, validation.is_nontarget
        self._answered = usable[tested] if len(tested) else np.empty(0, dtype=bool)

    def apply(self, scores: ValidationScores, draw: Counts) -> ValidationScores:
        """The scores of one draw, ``(speakers,)`` times each."""
        of_row = draw[self._speaker]
        same = self._enrolled == self._tested
        of_trial = draw[self._enrolled] * np.where(same, 1, draw[self._tested])
        changed = {}
        if len(scores.target):
            changed["target"] = np.repeat(scores.target, of_trial[self._target])
            changed["nontarget"] = np.repeat(scores.nontarget, of_trial[self._nontarget])
        if len(scores.live):
            changed["live"] = np.repeat(scores.live, of_row[self._live])
            changed["attack"] = np.repeat(scores.attack, of_row[self._attack])
            changed["attack_kinds"] = np.repeat(scores.attack_kinds, of_row[self._attack])
        if scores.tandem is not None:
            classes = (self._target, self._nontarget, ~self._target & ~self._nontarget)
            counts = [of_trial[which & self._answered] for which in classes]
            changed["tandem"] = TandemScores(
                *(np.repeat(part, count, axis=0) for part, count in zip(scores.tandem, counts, strict=True))
            )
        return replace(scores, **changed)


def judge_draw(scores: ValidationScores, metric: Metric, tasks: Sequence[Task]) -> float | None:
    """The metric of one draw; None where a class that it needs was not drawn at all."""
    classes = {"speaker": (scores.target, scores.nontarget), "liveness": (scores.live, scores.attack)}
    needed = [part for task in tasks for part in classes[task]]
    if metric == "a_dcf":
        needed += list(scores.tandem or [()])
    if not all(len(part) for part in needed):
        return None
    return scores.cost(metric) / (len(tasks) if metric == "eer" else 1)
