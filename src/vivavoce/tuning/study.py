"""The study in its database: opened, checked against the space, and rid of trials whose process died."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, OptunaError, StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from vivavoce.errors import UserError
from vivavoce.settings import differences

# A worker on another machine counts as dead when it has been silent for so long, s.
HEARTBEAT_S, SILENCE_S = 20, 120
TRIES = 5  # to open a database that others open, too
ATTEMPTS = 3  # a trial that kills its process each time is not tried for ever
# Attributes of a trial.
FAILURE, OWN_FAULT, SURPLUS, SAME_AS = "failure", "own_fault", "surplus", "same_as"
EPOCHS, RESAMPLES, SECONDS = "epochs", "resamples", "seconds"
FOLDER, ATTEMPT = "folder", "attempt"
RECORDINGS = "recordings"  # of what describes a study
_SPACE, _EXCUSED = "space", "excused"
# What Optuna and its database raise where that fails in the midst of a search.
DATABASE_ERRORS = (SQLAlchemyError, StorageInternalError)


def open_study(url: str, name: str, described: dict[str, Any], start: dict[str, Any] | None) -> Study:
    """Open the study ``name``, or begin it with the parameters ``start``.

    Raises:
        UserError: the database cannot be reached, or the study there is of another space or experiment.
    """
    try:
        storage = _storage(url)
        try:
            study = optuna.create_study(storage=storage, study_name=name, direction="minimize")
            study.set_user_attr(_SPACE, described)
            if start is not None:
                study.enqueue_trial(start)
            return study
        except DuplicatedStudyError:
            study = optuna.load_study(storage=storage, study_name=name)
        known = _described(study)
    except RuntimeError as error:
        reason = _reason(error).split(". ")[0]
        raise UserError(
            f"The database {_harmless(url)} cannot be used ({reason}); take the version of Optuna that made it, or "
            "begin anew with another --out or --storage."
        ) from error
    except (SQLAlchemyError, OptunaError, ImportError, ValueError, OSError) as error:
        raise UserError(
            f"The database {_harmless(url)} cannot be used ({_reason(error)}); give a URL such as sqlite:///study.db "
            "or postgresql://user@host/tuning, with its driver installed."
        ) from error
    _check_recordings(known, described, f"The study {name} in {_harmless(url)}")
    differs = differences(*({k: v for k, v in one.items() if k != RECORDINGS} for one in (known, described)))
    if differs:
        raise UserError(
            f"The study {name} in {_harmless(url)} is of another space or experiment: {differs[0]}; go back to that "
            "one, or begin anew with another --out or --study."
        )
    return study


def _check_recordings(known: dict[str, Any], described: dict[str, Any], study: str) -> None:
    """Refuse recordings that are others than those of the trials so far, under the same path."""
    here, there = described.get(RECORDINGS, {}), known.get(RECORDINGS, {})
    changed = [name for name in here if there.get(name) not in (None, here[name])]
    if changed:
        raise UserError(
            f"{study} was begun with other recordings in data.{changed[0]} than are there now, so that its values "
            "would not compare; put that manifest back, or begin anew with another --out or --study."
        )


def _storage(url: str) -> RDBStorage:
    options: dict[str, Any] = {"pool_pre_ping": True}
    if make_url(url).get_backend_name() == "sqlite":
        options = {"connect_args": {"timeout": 120}}  # s; several workers write to one file
    for attempt in range(TRIES):
        try:
            return RDBStorage(
                url,
                engine_kwargs=options,
                heartbeat_interval=HEARTBEAT_S,
                grace_period=SILENCE_S,
                heartbeat_stale_trial_callback=enqueue_again,
            )
        except (OperationalError, ProgrammingError, IntegrityError):  # another worker is making the tables just now
            if attempt == TRIES - 1:
                raise
            time.sleep(0.5)
    raise AssertionError("unreachable")


def _described(study: Study) -> dict[str, Any]:
    """What the worker that began the study wrote right after."""
    for _ in range(TRIES):
        known = study.user_attrs.get(_SPACE)
        if known is not None:
            return known
        time.sleep(0.5)
    raise ValueError("it holds a study that vivavoce did not begin")


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Say in one sentence that the database fails in the midst of a search."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # Optuna stumbles over its own error handling where it cannot write that a trial failed.
        found = next((one for one in _chain(error) if isinstance(one, DATABASE_ERRORS)), None)
        if found is None:
            raise
        raise UserError(
            f"The database {_harmless(url)} fails ({_reason(found)}); what was trained is kept, so mend it and go on "
            "with --resume."
        ) from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from or upon, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: BaseException) -> str:
    """What the database itself said, in one line."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ is not None else error
    return str(getattr(cause, "orig", None) or cause).splitlines()[0].rstrip(".")


def _harmless(url: str) -> str:
    """The URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "that was given"


def is_void(trial: FrozenTrial) -> bool:
    """Whether a trial does not count: its process died (it is taken up again), or there were enough without it."""
    return trial.state == TrialState.FAIL and FAILURE not in trial.user_attrs


def counted(study: Study) -> list[FrozenTrial]:
    """The trials that count, in their order; those that only wait are not among them."""
    excused = _excused(study)
    trials = study.get_trials(deepcopy=False)
    known = [trial for trial in trials if not is_void(trial) and trial.state != TrialState.WAITING]
    return [trial for trial in known if trial.number not in excused]


def place_of(study: Study, number: int) -> int:
    """How many trials that count, wait to be taken up or are excused come before trial ``number``.

    It seeds what is drawn, so that what failed in an excused trial is not drawn again.
    """
    earlier = study.get_trials(deepcopy=False)[:number]
    return sum(not is_void(trial) for trial in earlier)


def turn_of(study: Study, number: int) -> int:
    """How many trials that count, or wait to be taken up, come before trial ``number``."""
    return place_of(study, number) - sum(excused < number for excused in _excused(study))


def last_failures(study: Study) -> list[int]:
    """Numbers of the trials that failed at the end of the study, one after the other, by no fault of their own."""
    ended = [trial for trial in counted(study) if trial.state != TrialState.RUNNING]
    streak = itertools.takewhile(lambda trial: trial.state == TrialState.FAIL, reversed(ended))
    return [trial.number for trial in streak if OWN_FAULT not in trial.user_attrs]


def excuse(study: Study, failures: list[int], start: dict[str, Any] | None) -> None:
    """Let failures count no more, and try ``start`` again where it was among them."""
    study.set_user_attr(_EXCUSED, sorted({*_excused(study), *failures}))
    tried = [trial.params for trial in study.get_trials(deepcopy=False) if trial.number in failures]
    if start is not None and start in tried:
        study.enqueue_trial(start)


def _excused(study: Study) -> set[int]:
    return set(study.user_attrs.get(_EXCUSED, ()))


def folder_number(trial: FrozenTrial | optuna.Trial) -> int:
    """Number of the trial's run folder: of its first attempt."""
    return int(trial.user_attrs.get(FOLDER, trial.number))


def enqueue_again(study: Study, trial: FrozenTrial) -> None:
    """Let the next free worker go on with a trial whose process died, in the same run folder."""
    attempt = int(trial.user_attrs.get(ATTEMPT, 1))
    if attempt < ATTEMPTS and trial.params:
        attributes = {FOLDER: folder_number(trial), ATTEMPT: attempt + 1}
        study.enqueue_trial(trial.params, user_attrs=attributes)


def free_dead_trials(study: Study, is_dead: Callable[[int], bool]) -> int:
    """Fail the running trials whose worker is known to be dead, and enqueue them again; returns how many.

    Optuna's heartbeat finds the others, on machines whose files are not here, once they have been silent long enough.
    """
    freed = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not is_dead(folder_number(trial)):
            continue
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except (ValueError, OptunaError):  # another worker was faster
            continue
        enqueue_again(study, trial)
        freed += 1
    return freed


def twin_of(study: optuna.Study, trial: optuna.Trial) -> FrozenTrial | None:
    """An earlier trial with the same parameters that ended, whose training would only be repeated."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return next((other for other in ended if other.params == trial.params), None)


def end_as(twin: FrozenTrial, trial: optuna.Trial) -> float:
    """End a trial as its twin did."""
    trial.set_user_attr(EPOCHS, twin.user_attrs.get(EPOCHS, "{}"))
    trial.set_user_attr(SAME_AS, twin.user_attrs.get(SAME_AS, twin.number))
    for epoch, value in twin.intermediate_values.items():
        trial.report(value, epoch)
    if twin.state == TrialState.PRUNED:
        raise optuna.TrialPruned
    assert twin.value is not None
    return twin.value


class TrialLocks:
    """Which trials a living process of this folder works on; the system frees a lock however its process ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, number: int) -> Path:
        return self._folder / f".{number:04d}.lock"

    @contextmanager
    def hold(self, number: int) -> Iterator[None]:
        """Mark a trial as worked on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(number)
        begun = path.with_suffix(".begun")
        with begun.open("wb") as file:
            _try_lock(file)
            begun.replace(path)  # it appears locked: nobody sees it without its lock
            try:
                yield
            except DATABASE_ERRORS:
                raise  # for the study the trial still runs: what is left behind says that nobody works on it
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            path.unlink(missing_ok=True)

    def is_dead(self, number: int) -> bool:
        """Whether a process of this folder worked on the trial and is no more."""
        path = self._path(number)
        try:
            with path.open("r+b") as file:
                # A worker that ends well deletes its file before the lock is free: a lock without a file is no death.
                return _try_lock(file) and path.exists()
        except FileNotFoundError:
            return False


def _try_lock(file: Any) -> bool:
    """Take the lock of an open file; False where another process has it, or nothing can be locked here."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
