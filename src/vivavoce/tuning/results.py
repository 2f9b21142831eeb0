"""What a tuning found: its trials, the best of them, and what chance has to do with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from vivavoce.tuning.chance import LEAST_SPEAKERS, Chance, judge
from vivavoce.tuning.metric import Metric, metric_of, shown
from vivavoce.tuning.study import EPOCHS, FAILURE, RESAMPLES, SAME_AS, SECONDS, counted, folder_number

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


@dataclass(frozen=True)
class TrialRecord:
    """One trial."""

    number: int
    folder: int  # number of its run folder
    state: str  # complete, pruned, failed, running
    params: dict[str, Any]
    value: float | None  # of the epoch that the run keeps, or the last before it was pruned
    epochs: int
    seconds: float | None
    failure: str
    same_as: int | None  # an earlier trial with the same parameters, whose value this is
    resamples: tuple[int, list[float]] | None  # speakers, and the metric on each draw of them

    @property
    def run(self) -> str:
        """Its run folder, relative to the tuning's."""
        return f"trials/{self.folder:04d}"

    def to_dict(self) -> dict[str, Any]:
        """Write it for JSON."""
        names = ("number", "state", "params", "value", "epochs", "seconds", "run")
        said = {name: getattr(self, name) for name in names}
        return said | ({"failure": self.failure} if self.failure else {})


@dataclass(frozen=True)
class TuningResult:
    """The study so far."""

    metric: Metric
    planned: int
    trials: list[TrialRecord]
    start: int | None  # the trial of the configuration as it was
    importance: dict[str, float]
    chance: Chance | None

    @property
    def best(self) -> TrialRecord | None:
        """The completed trial with the lowest value, the first of equals."""
        done = [trial for trial in self.trials if trial.state == "complete" and trial.value is not None]
        return min(done, key=lambda trial: (trial.value, trial.number), default=None)

    @property
    def all_failed(self) -> bool:
        """Whether there are trials, and none was trained."""
        return self.count("failed") == len(self.trials) > 0

    @property
    def verdict(self) -> str:
        """Whether the best trial is more than luck, for people."""
        if self.chance is not None:
            return self.chance.sentence(self.metric)
        speakers = {trial.resamples[0] for trial in self.trials if trial.resamples is not None}
        few = (
            f": {min(speakers)} validation speakers are too few" if speakers and min(speakers) < LEAST_SPEAKERS else ""
        )
        return (
            f"Nothing tells whether the best trial is more than luck{few}; it takes two trials that end well and "
            f"{LEAST_SPEAKERS} validation speakers."
        )

    def count(self, state: str) -> int:
        """How many trials ended so."""
        return sum(trial.state == state for trial in self.trials)

    def to_dict(self, out: Path) -> dict[str, Any]:
        """Write it for JSON."""
        best = self.best
        return {
            "metric": self.metric,
            "trials": {state: self.count(state) for state in _STATES.values()} | {"planned": self.planned},
            "best": None if best is None else best.to_dict() | {"run": str(out / best.run)},
            "importance": self.importance,
            "chance": None if self.chance is None else self.chance.to_dict(),
            "all": [trial.to_dict() for trial in self.trials],
        }


def collect(study: Study, metric: Metric, planned: int, seed: int, start: Mapping[str, Any] | None) -> TuningResult:
    """Read a study; ``start`` are the parameters of the configuration as it was, where the space holds it."""
    trials = [_record(trial, metric) for trial in counted(study)]
    first = next((t.number for t in trials if start is not None and t.params == start and t.same_as is None), None)
    return TuningResult(metric, planned, trials, first, _importance(study, seed), _chance(trials, first))


def epochs_of(trial: FrozenTrial) -> dict[int, dict[str, float]]:
    """The validation summaries of a trial's epochs."""
    said = json.loads(trial.user_attrs.get(EPOCHS, "{}"))
    return {int(epoch): summary for epoch, summary in said.items()}


def how_it_ended(study: Study, trial: FrozenTrial, metric: Metric) -> str:
    """Say how a trial ended, in one line."""
    params = ", ".join(
        f"{key.rpartition('.')[2]} {value:.4g}" if isinstance(value, float) else f"{key.rpartition('.')[2]} {value}"
        for key, value in trial.params.items()
    )
    head = f"Trial {trial.number} ({params}): "
    if trial.state == TrialState.FAIL:
        return f"{head}failed. {trial.user_attrs.get(FAILURE, '')}"
    if trial.state == TrialState.PRUNED:
        return f"{head}pruned in epoch {len(epochs_of(trial))}"
    assert trial.value is not None
    best = min(done.value or 0.0 for done in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    return f"{head}{metric} {shown(trial.value, metric)}, best so far {shown(best, metric)}"


def _record(trial: FrozenTrial, metric: Metric) -> TrialRecord:
    epochs = epochs_of(trial)
    value = trial.value if trial.state == TrialState.COMPLETE else None
    if trial.state == TrialState.PRUNED and epochs:
        value = metric_of(epochs[max(epochs)], metric)
    resamples = trial.user_attrs.get(RESAMPLES)
    return TrialRecord(
        number=trial.number,
        folder=folder_number(trial),
        state=_STATES[trial.state],
        params=trial.params,
        value=value,
        epochs=len(epochs),
        seconds=trial.user_attrs.get(SECONDS),
        failure=trial.user_attrs.get(FAILURE, ""),
        same_as=trial.user_attrs.get(SAME_AS),
        resamples=None if resamples is None else (int(resamples["speakers"]), json.loads(resamples["values"])),
    )


def _chance(trials: list[TrialRecord], start: int | None) -> Chance | None:
    told = [t for t in trials if t.state == "complete" and t.resamples is not None and t.value is not None]
    if len({(t.resamples or (0, []))[0] for t in told}) != 1:
        return None
    values = np.array([t.value for t in told], dtype=float)
    rows = [(t.resamples or (0, []))[1] for t in told]
    drawn = np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=float)
    return judge([t.number for t in told], values, drawn, (told[0].resamples or (0, []))[0], start)


def _importance(study: Study, seed: int) -> dict[str, float]:
    """Share of the metric's variance that each key explains (fANOVA: Hutter, Hoos & Leyton-Brown, ICML 2014)."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) < 4 or len({trial.value for trial in done}) < 2:
        return {}  # nothing to explain, or too little to explain it with
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    return {name: float(share) for name, share in found.items()}
