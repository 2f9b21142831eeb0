"""Several workers share a study; one that is killed leaves nothing undone."""

import sqlite3
import subprocess
import sys
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
ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import sys, time
from pathlib import Path
from tests.tuning.fake import FakeRunner, make_tuner
from tests.tuning.test_workers import TEXT
folder, storage, die_at, how = Path(sys.argv[1]), sys.argv[2] or None, int(sys.argv[3]), sys.argv[4]
runner = FakeRunner(die_at=die_at, die_early="early" in how)
if "together" in how:  # imports may take one seconds longer than the other, in which that would do all
    (folder / how).touch()
    while len(list(folder.glob("together*"))) < 2:
        time.sleep(0.01)
make_tuner(folder, runner, TEXT, storage=storage, resume="resume" in how).tune()
print(*[name for name, _, _ in runner.trained])
"""


def worker(folder: Path, storage: str = "", die_at: int = 0, how: str = "") -> subprocess.Popen[str]:
    words = [str(folder), storage, str(die_at), how]
    return subprocess.Popen([sys.executable, "-c", WORKER, *words], cwd=ROOT, text=True, stdout=subprocess.PIPE)


def told(result: TuningResult) -> list[tuple]:
    return [(trial.state, trial.params, trial.value, trial.epochs) for trial in result.trials]


@pytest.mark.parametrize(("die_at", "how"), [(27, ""), (20, "early"), (18, "early")])
def test_a_killed_search_goes_on_as_if_it_never_was(die_at: int, how: str, tmp_path: Path) -> None:
    whole = make_tuner(tmp_path / "whole", text=TEXT).tune()
    assert worker(tmp_path / "killed", die_at=die_at, how=how).wait(120) == -9
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
        assert worker(tmp_path, die_at=1, how="resume" if attempt else "").wait(120) == -9
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
    shares = [one.communicate(timeout=200)[0].split() for one in workers]
    assert [one.returncode for one in workers] == [0, 0]
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
