"""Several workers share a study; one that is killed leaves nothing undone."""

import multiprocessing
import signal
import sqlite3
import time
from pathlib import Path
from typing import BinaryIO

import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from vivavoce.errors import UserError
from vivavoce.tuning import study as study_module
from vivavoce.tuning.results import TuningResult
from vivavoce.tuning.study import TrialLocks

from .fake import SPACE, FakeRunner, make_tuner

TEXT = SPACE.replace("trials: 20", "trials: 14").replace("pruner: none", "pruner: median")
# Workers are forked from a process that has imported everything once; each would take seconds for that.
WORKERS = multiprocessing.get_context("forkserver")
WORKERS.set_forkserver_preload([__name__])
KILLED = -signal.SIGKILL


def worker(folder: Path, storage: str = "", die_at: int = 0, how: str = "") -> multiprocessing.process.BaseProcess:
    """Start a process that takes part in the search."""
    process = WORKERS.Process(target=work, args=(folder, storage or None, die_at, how))
    process.start()
    return process


def work(folder: Path, storage: str | None, die_at: int, how: str) -> None:
    """What a worker does; one that begins together with another leaves the names of what it trained."""
    runner = FakeRunner(die_at=die_at, die_early="early" in how)
    if "together" in how:  # the one that is there first would do all
        (folder / how).touch()
        while len(list(folder.glob("together*"))) < 2:
            time.sleep(0.01)
    make_tuner(folder, runner, TEXT, storage=storage, resume="resume" in how).tune()
    if "together" in how:
        (folder / how).write_text(" ".join(name for name, _, _ in runner.trained))


def ended(process: multiprocessing.process.BaseProcess) -> int | None:
    """The exit code of a worker; None where it does not end."""
    process.join(200)
    return process.exitcode


def told(result: TuningResult) -> list[tuple]:
    return [(trial.state, trial.params, trial.value, trial.epochs) for trial in result.trials]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TuningResult:
    """A search that nothing happened to."""
    return make_tuner(tmp_path_factory.mktemp("whole"), text=TEXT).tune()


@pytest.mark.parametrize(("die_at", "how"), [(27, ""), (20, "early"), (18, "early")])
def test_a_killed_search_goes_on_as_if_it_never_was(die_at: int, how: str, whole: TuningResult, tmp_path: Path) -> None:
    assert ended(worker(tmp_path / "killed", die_at=die_at, how=how)) == KILLED
    runner = FakeRunner()
    result = make_tuner(tmp_path / "killed", runner, TEXT, resume=True).tune()
    folder, resumed, first = runner.trained[0]
    assert resumed
    assert first > 1  # its training went on, too
    assert int(folder) > 2
    assert told(result) == told(whole)
    assert len({trial.run for trial in result.trials}) == len(result.trials) == 14


def test_a_trial_that_always_kills_its_process_is_given_up(tmp_path: Path) -> None:
    for attempt in range(3):
        assert ended(worker(tmp_path, die_at=1, how="resume" if attempt else "")) == KILLED
    runner = FakeRunner()
    result = make_tuner(tmp_path, runner, TEXT, resume=True).tune(trials=2)
    assert [name for name, _, _ in runner.trained] == ["0003", "0004"]
    assert len(result.trials) == 2


def test_interrupted_is_not_failed(tmp_path: Path) -> None:
    class Interrupted(FakeRunner):
        def train(self, config, folder, resume, watch) -> None:
            if len(self.trained) == 3:
                self.trained.append((folder.name, resume, 0))
                raise KeyboardInterrupt
            super().train(config, folder, resume, watch)

    with pytest.raises(KeyboardInterrupt):
        make_tuner(tmp_path, Interrupted(), TEXT).tune()
    runner = FakeRunner()
    result = make_tuner(tmp_path, runner, TEXT, resume=True).tune(trials=5)
    assert [name for name, _, _ in runner.trained] == ["0003", "0005"]
    assert result.count("complete") == 5


def test_two_workers_share_the_trials(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    workers = [worker(tmp_path, url, how=f"together{number}") for number in range(2)]
    assert [ended(one) for one in workers] == [0, 0]
    shares = [(tmp_path / f"together{number}").read_text().split() for number in range(2)]
    assert all(shares)
    assert sorted([*shares[0], *shares[1]]) == sorted({*shares[0], *shares[1]})
    result = make_tuner(tmp_path, text=TEXT, storage=url).tune()
    assert len(result.trials) == 14
    assert result.count("running") == result.count("failed") == 0
    assert len({tuple(trial.params.values()) for trial in result.trials}) == 14


def test_what_a_worker_elsewhere_left_is_taken_up_where_there_would_be_enough(tmp_path: Path) -> None:
    """Its files are not here; it has been silent for long, and its trial counted as one under way."""
    url = f"sqlite:///{tmp_path}/shared.db"
    tuner = make_tuner(tmp_path, text=TEXT, storage=url)
    study = tuner._open()
    trial = study.ask()
    tuner.space.suggest(trial)
    study._storage.record_heartbeat(trial._trial_id)
    with sqlite3.connect(tmp_path / "shared.db") as db:
        db.execute("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'")
    runner = FakeRunner()
    result = make_tuner(tmp_path, runner, TEXT, storage=url).tune(trials=1)
    assert [name for name, _, _ in runner.trained] == ["0000"]
    assert [one.state for one in result.trials] == ["complete"]


def test_a_trial_whose_database_failed_goes_on_when_the_search_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise StorageInternalError("The database is gone.")

    class Gone(FakeRunner):
        def train(self, config, folder, resume, watch) -> None:
            if len(self.trained) == 1:
                monkeypatch.setattr(RDBStorage, "set_trial_state_values", fails)
                monkeypatch.setattr(RDBStorage, "set_trial_user_attr", fails)
            super().train(config, folder, resume, watch)

    with pytest.raises(UserError, match="The database is gone"):
        make_tuner(tmp_path, Gone(), TEXT).tune(trials=3)
    monkeypatch.undo()
    runner = FakeRunner()
    result = make_tuner(tmp_path, runner, TEXT, resume=True).tune(trials=3)
    assert runner.trained[0][:2] == ("0001", True)
    assert [one.state for one in result.trials] == ["complete"] * 3


def test_a_trial_that_ends_while_it_is_looked_at_is_not_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock becomes free between the look at the file and the attempt to lock it."""
    locks = TrialLocks(tmp_path)
    worked = locks.hold(3)
    worked.__enter__()
    lock = study_module._try_lock

    def ends_first(file: BinaryIO) -> bool:
        worked.__exit__(None, None, None)
        return lock(file)

    monkeypatch.setattr(study_module, "_try_lock", ends_first)
    assert not locks.is_dead(3)
    assert not list(tmp_path.iterdir())


def test_a_worker_that_lives_keeps_its_trial(tmp_path: Path) -> None:
    """While one trains a trial, another that joins must not take it for dead."""
    url = f"sqlite:///{tmp_path}/shared.db"
    seen: list[TuningResult] = []

    class Watching(FakeRunner):
        def train(self, config, folder, resume, watch) -> None:
            if not seen:
                seen.append(make_tuner(tmp_path, text=TEXT, storage=url).tune(trials=3))
            super().train(config, folder, resume, watch)

    result = make_tuner(tmp_path, Watching(), TEXT, storage=url).tune(trials=3)
    assert [trial.state for trial in seen[0].trials] == ["running", "complete", "complete"]
    assert [trial.state for trial in result.trials] == ["complete"] * 3
