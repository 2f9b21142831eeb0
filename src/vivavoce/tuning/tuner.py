"""Tuning: trials are drawn, trained, pruned and compared until there are enough."""

import json
import shutil
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import optuna
import yaml
from optuna.exceptions import ExperimentalWarning
from optuna.storages import fail_stale_trials
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL

from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.files import write_text
from vivavoce.training.guard import Diverged
from vivavoce.training.run_folder import RunFolder
from vivavoce.tuning.chance import Resampled
from vivavoce.tuning.metric import Metric, best_epoch, metric_of
from vivavoce.tuning.recordings import fingerprints
from vivavoce.tuning.report import write_report
from vivavoce.tuning.results import TrialRecord, TuningResult, collect, how_it_ended
from vivavoce.tuning.sampling import PerTrialSampler, make_pruner, quieten
from vivavoce.tuning.space import SearchSpace
from vivavoce.tuning.study import (
    EPOCHS,
    FAILURE,
    OWN_FAULT,
    RECORDINGS,
    RESAMPLES,
    SECONDS,
    SURPLUS,
    TrialLocks,
    counted,
    end_as,
    enqueue_again,
    excuse,
    explained,
    folder_number,
    free_dead_trials,
    last_failures,
    open_study,
    place_of,
    turn_of,
    twin_of,
)

Watch = Callable[[int, dict[str, float]], None]

# So many failures one after the other are no matter of parameters but of a full disk, a GPU that is gone, or the like.
HOPELESS = 5


class TooLarge(UserError):
    """A trial that does not fit into the GPU's memory."""


class Runner(Protocol):
    """What trains a trial."""

    def check(self, config: ExperimentConfig) -> None:
        """Refuse what no trial could be trained with, before anything is written."""
        ...

    def train(self, config: ExperimentConfig, folder: Path, resume: bool, watch: Watch) -> None:
        """Train into a run folder; ``watch`` gets each epoch's validation summary and may raise."""
        ...

    def resample(self, config: ExperimentConfig, folder: Path, metric: Metric) -> Resampled | None:
        """Judge a finished run on resampled speakers; None where that is not known."""
        ...


class Tuner:
    """A search in a folder: `study.db`, unless another database is given, and a run folder for each trial.

    Args:
        space: what is searched.
        out: the folder.
        runner: what trains a trial.
        storage: URL of a database that several workers share; None: one in ``out``.
        name: of the study in the database.
        resume: go on with the study in ``out``.
        say: told of each trial that ended.
    """

    def __init__(
        self,
        space: SearchSpace,
        out: Path,
        runner: Runner,
        *,
        storage: str | None = None,
        name: str = "tuning",
        resume: bool = False,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.space, self.out, self.runner, self.say = space, out, runner, say
        self.metric: Metric = space.space.metric
        self.best_config, self.report = out / "best.yaml", out / "tuning.html"
        self.folder = out / "trials"
        self.locks = TrialLocks(self.folder)
        self.planned = space.space.trials
        self._storage, self._name, self._resume = storage, name, resume

    def tune(self, trials: int | None = None, minutes: float | None = None) -> TuningResult:
        """Search until the study has ``trials`` trials, or for so many minutes; then write the best configuration.

        Raises:
            UserError: ``out`` holds something else, the database cannot be used or fails, or too many trials failed
                one after the other; what was found until then is written.
        """
        quieten()
        self.planned = trials or self.planned
        failures: list[str] = []
        with warnings.catch_warnings(), explained(self._url):
            warnings.simplefilter("ignore", ExperimentalWarning)
            study = self._open()
            self._tidy_study(study)
            if not self._enough(study):
                study.optimize(
                    partial(self._trial, study),
                    timeout=None if minutes is None else 60 * minutes,
                    callbacks=[partial(self._after, failures=failures)],
                    catch=(UserError,),
                )
            result = self.result(study)
        self._write(result)
        if len(failures) >= HOPELESS or result.all_failed:
            raise UserError(self._hopeless(result, failures))
        return result

    def _tidy_study(self, study: optuna.Study) -> None:
        """Take up again what dead workers left, and let failures of something that may be mended count no more."""
        free_dead_trials(study, self.locks.is_dead)
        fail_stale_trials(study)
        failures = last_failures(study)
        # Fewer are excused only where resuming would else do nothing.
        if len(failures) >= HOPELESS or (failures and self._resume and self._enough(study)):
            excuse(study, failures, self.space.base_params())

    def _write(self, result: TuningResult) -> None:
        """Write the best configuration and the report, where any trial has ended well."""
        if result.all_failed:
            return
        best = "" if result.best is None else to_yaml(self.config_of(result.best))
        if best:
            write_text(self.best_config, best)
        write_report(result, self.report, best, self.space.logarithmic())

    def _hopeless(self, result: TuningResult, failures: list[str]) -> str:
        """Say why a search ended before its time."""
        sentence = failures[-1] if failures else [trial.failure for trial in result.trials if trial.failure][-1]
        mend = f"the last failed so: {sentence.rstrip('.')}. Mend it and go on with --resume."
        if result.all_failed:
            return f"No trial of {self.out} could be trained; {mend}"
        return f"{len(failures)} trials of {self.out} failed one after the other; {mend}"

    def result(self, study: optuna.Study) -> TuningResult:
        """What was found so far."""
        return collect(study, self.metric, self.planned, self.space.space.seed, self.space.base_params())

    def config_of(self, trial: TrialRecord) -> ExperimentConfig:
        """The configuration that a trial trained."""
        fixed = optuna.trial.FixedTrial(trial.params)
        return self.space.config_of(self.space.suggest(fixed))  # pyright: ignore[reportArgumentType]

    @property
    def _url(self) -> str:
        return self._storage or URL.create("sqlite", database=str(self.out / "study.db")).render_as_string()

    def _open(self) -> optuna.Study:
        database = self.out / "study.db"
        if self._storage is None and database.exists() and not self._resume:
            raise UserError(f"{self.out} already holds a tuning; go on with it by --resume, or choose another --out.")
        if self._storage is None and self._resume and not database.exists():
            raise UserError(f"{self.out} holds no tuning to go on with; leave --resume out to begin one.")
        if self.out.exists() and not self.out.is_dir():
            raise UserError(f"{self.out} is a file; choose another --out.")
        self.runner.check(self.space.base)
        if self._storage is None:
            self.out.mkdir(parents=True, exist_ok=True)
        described = self.space.described() | {RECORDINGS: fingerprints(self.space.base.data)}
        study = open_study(self._url, self._name, described, self.space.base_params())
        settings = self.space.space
        study.sampler = PerTrialSampler(settings.sampler, settings.seed, partial(place_of, study))
        study.pruner = make_pruner(settings, self.space.longest())
        return study

    def _enough(self, study: optuna.Study) -> bool:
        return len(counted(study)) >= self.planned

    def _trial(self, study: optuna.Study, trial: optuna.Trial) -> float:
        """Train one trial; returns its value."""
        if turn_of(study, trial.number) >= self.planned:  # workers that ask at once may ask for one too many
            trial.set_user_attr(SURPLUS, True)
            raise UserError("There are enough trials.")
        number = folder_number(trial)
        began = time.monotonic()
        try:
            values = self.space.suggest(trial)
            twin = twin_of(study, trial)
            if twin is not None:
                return end_as(twin, trial)
            with self.locks.hold(number):
                return self._train(trial, self.space.config_of(values), self.folder / f"{number:04d}")
        except UserError as error:
            trial.set_user_attr(FAILURE, str(error))
            if isinstance(error, (Diverged, TooLarge)):
                trial.set_user_attr(OWN_FAULT, True)
            raise
        except KeyboardInterrupt:
            enqueue_again(study, study.get_trials(deepcopy=False)[trial.number])
            raise
        finally:
            trial.set_user_attr(SECONDS, round(time.monotonic() - began, 1))

    def _train(self, trial: optuna.Trial, config: ExperimentConfig, folder: Path) -> float:
        run = RunFolder(folder)
        resume = run.config.exists()
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)  # what a process left that died before it began
        try:
            epochs = self._known(trial, run)
            self.runner.train(config, folder, resume, partial(self._watch, trial, epochs))
            value = metric_of(epochs[best_epoch(epochs, config.training.best_by)], self.metric)
            found = self.runner.resample(config, folder, self.metric)
        except (UserError, optuna.TrialPruned):
            _tidy(folder, "features", "checkpoints")
            raise
        if found is not None:
            rounded = [None if number is None else round(number, 6) for number in found.values]
            trial.set_user_attr(RESAMPLES, {"speakers": found.speakers, "values": json.dumps(rounded)})
        _tidy(folder, "features")
        return value

    def _known(self, trial: optuna.Trial, run: RunFolder) -> dict[int, dict[str, float]]:
        """Report again the epochs of a trial that a dead process began."""
        if not run.config.exists():
            return {}
        epochs: dict[int, dict[str, float]] = {}
        for line in run.read_metrics():
            if line["split"] == "validation":
                said = {name: value for name, value in line.items() if name not in ("epoch", "split")}
                self._watch(trial, epochs, int(line["epoch"]), said)
        return epochs

    def _watch(
        self, trial: optuna.Trial, epochs: dict[int, dict[str, float]], epoch: int, said: dict[str, float]
    ) -> None:
        if epoch not in epochs:  # else it was begun by a dead process, and comes to the same
            trial.report(metric_of(said, self.metric), epoch)
        epochs[epoch] = dict(said)
        trial.set_user_attr(EPOCHS, json.dumps(epochs))
        if trial.should_prune():
            raise optuna.TrialPruned

    def _after(self, study: optuna.Study, trial: FrozenTrial, failures: list[str]) -> None:
        """Say how a trial ended, and stop where there are enough."""
        if SURPLUS not in trial.user_attrs:
            self.say(how_it_ended(study, trial, self.metric))
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        # A trial that fails by its own parameters tells nothing of the others, once any could be trained.
        if FAILURE in trial.user_attrs and not (done and OWN_FAULT in trial.user_attrs):
            failures.append(trial.user_attrs[FAILURE])
        else:
            failures.clear()
        if self._enough(study) or len(failures) >= HOPELESS:
            study.stop()


def to_yaml(config: ExperimentConfig) -> str:
    """Write a configuration as `vivavoce train` takes it."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _tidy(folder: Path, *names: str) -> None:
    """Delete what a trial that ended needs no more; its configuration and figures stay."""
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
