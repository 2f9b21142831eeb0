"""A tuning finds the optimum, prunes, outlives failures, and writes the best configuration."""

import contextlib
import json
import sqlite3
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from vivavoce.config import ExperimentConfig
from vivavoce.corpus.manifest import write_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.settings import load_settings
from vivavoce.training.guard import Diverged
from vivavoce.tuning.space import load_space
from vivavoce.tuning.tuner import TooLarge, Tuner

from ..synthetic import make_rows
from .fake import SPACE, Broken, FakeRunner, make_tuner, write_space

SHORT = SPACE.replace("trials: 20", "trials: 6")


def test_the_optimum_is_found_and_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runner = FakeRunner()
    tuner = make_tuner(tmp_path, runner)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = tuner.tune()
    best = result.best
    assert best is not None
    assert best.value is not None
    assert 0.1 <= best.value < 0.11
    assert best.value < (result.trials[0].value or 0)
    assert result.start == 0
    assert result.trials[0].params == {"training.learning_rate": 0.002, "training.weight_decay": 0.05}
    assert [name for name, _, _ in runner.trained] == [f"{number:04d}" for number in range(20)]
    assert sum(result.importance.values()) == pytest.approx(1)
    config = load_settings(ExperimentConfig, tmp_path / "out" / "best.yaml")
    assert config == tuner.config_of(best)
    assert config.training.learning_rate == best.params["training.learning_rate"]
    assert config.training.epochs == 4
    assert capfd.readouterr() == ("", "")  # Optuna stays quiet


def test_the_same_seed_tries_the_same(tmp_path: Path) -> None:
    first, second = (make_tuner(tmp_path / name, text=SHORT).tune() for name in "ab")
    assert [t.params for t in first.trials] == [t.params for t in second.trials]
    other = make_tuner(tmp_path / "c", text=SHORT + "seed: 1\n").tune()
    assert other.trials[1].params != first.trials[1].params


@pytest.mark.parametrize("pruner", ["median", "hyperband", "asha"])
def test_bad_trials_end_early_and_leave_no_checkpoints(pruner: str, tmp_path: Path) -> None:
    text = SPACE.replace("pruner: none", f"pruner: {pruner}").replace("epochs: 4", "epochs: 6")
    result = make_tuner(tmp_path, text=text).tune()
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.epochs < 6 for trial in pruned)
    assert result.best is not None
    assert all((trial.value or 0) >= (result.best.value or 1) for trial in pruned)
    for trial in result.trials:
        kept = {path.name for path in (tmp_path / "out" / trial.run).iterdir()}
        assert kept == {"config.yaml", "metrics.jsonl"} | ({"checkpoints"} if trial.state == "complete" else set())


def test_a_trial_is_worth_what_its_kept_epoch_is(tmp_path: Path) -> None:
    """The run keeps the epoch of least cost, so a lucky metric of another epoch does not count."""

    class Wavering(FakeRunner):
        def train(self, config, folder, resume, watch) -> None:
            for epoch, (eer, loss) in enumerate([(0.3, 0.5), (0.2, 0.1), (0.05, 0.4)], start=1):
                watch(epoch, {"speaker_eer": eer, "liveness_eer": eer, "loss_speaker": loss})

    (tmp_path / "out").mkdir()
    space = load_space(write_space(tmp_path, SHORT), ["training.best_by=loss"])
    result = Tuner(space, tmp_path / "out", Wavering()).tune(trials=2)
    assert [trial.value for trial in result.trials] == [0.2, 0.2]


def test_a_trial_that_fails_is_told_and_the_others_go_on(drawn: None, tmp_path: Path) -> None:
    said: list[str] = []
    result = make_tuner(tmp_path, Broken(), say=said.append).tune()
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert 0 < len(failed) < 15
    assert len(result.trials) == 20
    assert all(trial.params["training.learning_rate"] > 0.01 for trial in failed)
    assert sum("The loss is nan in step 3" in line for line in said) == len(failed)
    assert "The loss is nan in step 3" in (tmp_path / "out" / "tuning.html").read_text()


def test_nothing_but_failures_end_in_one_sentence(tmp_path: Path) -> None:
    class Hopeless(FakeRunner):
        def train(self, config, folder, resume, watch) -> None:
            self.trained.append((folder.name, resume, 1))
            raise UserError("There is no such file as a.jsonl.gz; check the path.")

    runner = Hopeless()
    with pytest.raises(UserError, match=r"No trial .* could be trained.* a\.jsonl\.gz; check the path\. Mend it"):
        make_tuner(tmp_path, runner).tune()
    assert len(runner.trained) == 5  # it needs no twenty to see that
    assert not (tmp_path / "out" / "best.yaml").exists()
    mended = make_tuner(tmp_path, resume=True).tune(trials=8)
    assert mended.count("complete") == len(mended.trials) == 8
    assert mended.start is not None  # what the search has to beat is tried again


class FullDisk(FakeRunner):
    """From its fourth trial on nothing can be written."""

    def train(self, config, folder, resume, watch) -> None:
        if len(self.trained) >= 3:
            self.trained.append((folder.name, resume, 0))
            raise UserError("The disk is full; free some space and run the same command again.")
        super().train(config, folder, resume, watch)


def test_a_fault_that_passes_ends_the_search_and_costs_no_trials(drawn: None, tmp_path: Path) -> None:
    runner = FullDisk()
    with pytest.raises(UserError, match=r"5 trials of .* failed one after the other.*disk is full.*Mend it"):
        make_tuner(tmp_path, runner).tune(trials=10)
    assert len(runner.trained) == 3 + 5
    assert (tmp_path / "out" / "best.yaml").exists()
    assert "The disk is full" in (tmp_path / "out" / "tuning.html").read_text()
    again = FakeRunner()
    result = make_tuner(tmp_path, again, resume=True).tune(trials=10)
    assert result.count("complete") == len(result.trials) == 10
    assert len(again.trained) == 7
    assert len({tuple(trial.params.values()) for trial in result.trials}) == 10


def test_a_search_that_ends_with_failures_makes_good_for_them_when_it_is_resumed(tmp_path: Path) -> None:
    runner = FullDisk()
    first = make_tuner(tmp_path, runner, text=SHORT).tune(trials=5)
    assert [trial.state for trial in first.trials] == ["complete"] * 3 + ["failed"] * 2
    longer = make_tuner(tmp_path, FakeRunner(), text=SHORT, resume=True).tune(trials=5)
    assert [trial.state for trial in longer.trials] == ["complete"] * 5


@pytest.mark.parametrize(("error", "trained"), [(Diverged, 3 + 6), (TooLarge, 3 + 6), (UserError, 3 + 5)])
def test_what_fails_by_its_own_parameters_does_not_end_the_search(error, trained: int, tmp_path: Path) -> None:
    class Picky(FakeRunner):
        def train(self, config, folder, resume, watch) -> None:
            if len(self.trained) >= 3:
                self.trained.append((folder.name, resume, 0))
                raise error("It is not possible.")
            super().train(config, folder, resume, watch)

    runner = Picky()
    with contextlib.suppress(UserError):
        make_tuner(tmp_path, runner).tune(trials=9)
    assert len(runner.trained) == trained
    again = FakeRunner()
    make_tuner(tmp_path, again, resume=True).tune(trials=9)
    assert len(again.trained) == (6 if error is UserError else 0)


def test_a_database_that_fails_in_the_midst_of_a_search_ends_it_in_one_sentence(tmp_path: Path) -> None:
    class Dropping(FakeRunner):
        def train(self, config, folder, resume, watch) -> None:
            if len(self.trained) == 2:
                with sqlite3.connect(tmp_path / "out" / "study.db") as db:
                    db.execute("ALTER TABLE trial_user_attributes RENAME TO gone")
            super().train(config, folder, resume, watch)

    with pytest.raises(UserError, match=r"study\.db fails \(no such table.*\); what was trained is kept") as refused:
        make_tuner(tmp_path, Dropping(), text=SHORT).tune()
    assert "\n" not in str(refused.value)


def test_a_database_of_another_version_is_named(tmp_path: Path) -> None:
    make_tuner(tmp_path, text=SHORT).tune(trials=1)
    with sqlite3.connect(tmp_path / "out" / "study.db") as db:
        db.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    with pytest.raises(UserError, match=r"cannot be used \(The runtime optuna version .*take the version of Optuna"):
        make_tuner(tmp_path, text=SHORT, resume=True).tune(trials=2)


def test_no_setting_is_trained_twice(tmp_path: Path) -> None:
    text = SHORT.replace("training.weight_decay: {low: 0.0, high: 0.1}", "speaker.margin: {choices: [0.1, 0.2]}")
    text = text.replace(
        "training.learning_rate: {low: 1.0e-4, high: 1.0e-1, log: true}", "speaker.scale: {choices: [20, 30]}"
    )
    runner = FakeRunner(noise=0.01)
    result = make_tuner(tmp_path, runner, text=text).tune(trials=10)
    assert len(result.trials) == 10
    assert len(runner.trained) == len({tuple(trial.params.items()) for trial in result.trials}) <= 4
    for trial in result.trials:
        if trial.same_as is not None:
            assert result.trials[trial.same_as].value == trial.value
    assert result.chance is not None
    assert result.chance.trials == len(runner.trained)


def test_a_folder_is_not_taken_twice_and_a_study_not_changed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no tuning to go on with"):
        make_tuner(tmp_path, text=SHORT, resume=True).tune()
    assert not (tmp_path / "out").exists()
    make_tuner(tmp_path, text=SHORT).tune(trials=2)
    with pytest.raises(UserError, match="already holds a tuning; go on with it by --resume"):
        make_tuner(tmp_path, text=SHORT).tune()
    with pytest.raises(UserError, match=r"search\.training\.weight_decay\.high is 0\.1 there and 0\.2 here"):
        make_tuner(tmp_path, text=SHORT.replace("high: 0.1}", "high: 0.2}"), resume=True).tune()
    assert len(make_tuner(tmp_path, text=SHORT, resume=True).tune(trials=4).trials) == 4


@pytest.mark.parametrize("name", ["train", "validation"])
def test_other_recordings_under_the_same_path_are_refused(name: str, tmp_path: Path, monkeypatch) -> None:
    """Their values would not compare with those of the trials so far."""

    def write(utterances: int, folder: str = "") -> None:
        for part in ("a", "b"):
            rows = make_rows([part, "c"], [Kind.LIVE], utterances if part == {"train": "a"}.get(name, "b") else 2)
            rows = [replace(row, path=tmp_path / folder / row.path, file_samples=96_000) for row in rows]
            write_rows([replace(row, file_channels=1) for row in rows], tmp_path / f"{part}.jsonl.gz")

    monkeypatch.chdir(tmp_path)
    write(2)
    make_tuner(tmp_path, text=SHORT).tune(trials=1)
    write(2, "elsewhere")
    make_tuner(tmp_path, text=SHORT, resume=True).tune(trials=2)
    write(3)
    with pytest.raises(UserError, match=rf"begun with other recordings in data\.{name} than are there now"):
        make_tuner(tmp_path, text=SHORT, resume=True).tune(trials=3)


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:////no/such/folder/study.db", "postgresql+nodriver://me:secret@host/db"]
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be used") as refused:
        make_tuner(tmp_path, storage=url).tune()
    assert "secret" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_what_is_refused_before_training_writes_nothing(tmp_path: Path) -> None:
    class Leaky(FakeRunner):
        def check(self, config) -> None:
            raise UserError("Training and validation share 3 speakers.")

    with pytest.raises(UserError, match="share 3 speakers"):
        make_tuner(tmp_path, Leaky()).tune()
    assert not (tmp_path / "out").exists()


def test_time_ends_a_search_too(tmp_path: Path) -> None:
    result = make_tuner(tmp_path).tune(minutes=0.001)
    assert 1 <= len(result.trials) < 20


def test_a_search_in_noise_is_warned_of_and_a_real_gain_is_not(drawn: None, tmp_path: Path) -> None:
    noise = make_tuner(tmp_path / "noise", FakeRunner(lambda config: 0.1, noise=0.05), text=SPACE).tune()
    assert noise.chance is not None
    assert not noise.chance.beyond
    assert "is not larger than what choosing among 20 trials" in (tmp_path / "noise/out/tuning.html").read_text()
    gain = make_tuner(tmp_path / "gain", FakeRunner(noise=0.01), text=SPACE).tune()
    assert gain.chance is not None
    assert gain.chance.beyond
    assert gain.chance.reference == 0
    assert "More than luck." in (tmp_path / "gain/out/tuning.html").read_text()
    json.dumps(gain.to_dict(tmp_path))
