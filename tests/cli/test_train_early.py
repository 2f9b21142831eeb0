"""What is refused before features are computed, and what is left of those where a run could not begin."""

import shutil
from pathlib import Path

import pytest

from vivavoce.corpus.manifest import read_rows
from vivavoce.experiment import Experiment

from ..tiny import Tiny, assert_refused, run_cli, unchanged


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("training.freeze=[{parts: [tail]}]", ["training.freeze.parts names tail", "trunk.stem"]),
        ("training.freeze=[{parts: ['*'], epochs: 1}]", ["training.freeze.parts", "nothing is left that learns"]),
        ("training={tasks: [liveness], freeze: [{parts: [head, trunk.stem]}]}", ["training.freeze.parts", "liveness"]),
        ("training.layer_rates.parts={trunk.end: 0.1}", ["training.layer_rates.parts names trunk.end"]),
        ("training.schedule.warmup_steps=1000", ["warmup_steps is 1000", "training.epochs"]),
        ("training.schedule={type: one_cycle, rise: 0.1}", ["one_cycle", "training.epochs"]),
        ("training.schedule={type: lambda, expression: 1 / abs(step - 1)}", ["1 / abs(step - 1)", "in step 1"]),
    ],
)
def test_what_the_model_or_the_length_of_the_run_forbids_costs_no_features(
    tiny, tmp_path, monkeypatch, override, parts
):
    def compute(*_):
        raise AssertionError("features were computed first")

    monkeypatch.setattr(Experiment, "_trainer", compute)
    assert_refused(run_cli("train", tiny.config, "--out", tmp_path / "run", "--set", override), *parts)
    assert list(tmp_path.iterdir()) == []


def damaged(tiny: Tiny, folder: Path) -> tuple[Path, Path]:
    """A copy of the validation recordings, one of which is cut short; the manifest, and that file."""
    shutil.copytree(tiny.validation.parent, folder)
    broken = folder / read_rows(tiny.validation)[3].path.relative_to(tiny.validation.parent)
    broken.write_bytes(broken.read_bytes()[:20_000])
    return folder / tiny.validation.name, broken


def test_features_that_are_whole_outlive_a_run_that_could_not_begin(tiny, tmp_path):
    manifest, broken = damaged(tiny, tmp_path / "validation")
    run = tmp_path / "run"
    words = ("train", tiny.config, "--out", run, "--set", f"data.validation={manifest}", "--set", "training.epochs=1")
    assert_refused(run_cli(*words), broken.name)
    assert [path.name for path in run.iterdir()] == ["features"]
    assert [path.name for path in (run / "features").iterdir()] == ["train"]
    shutil.copy(tiny.validation.parent / broken.relative_to(tmp_path / "validation"), broken)
    with unchanged(run / "features" / "train"):
        result = run_cli(*words)
    assert result.code == 0, result.err


def test_a_folder_of_features_that_are_not_whole_or_no_store_is_not_written_into(tiny, tmp_path):
    (tmp_path / "features" / "train").mkdir(parents=True)
    (tmp_path / "features" / "train" / "thesis.txt").write_text("years of work")
    with unchanged(tmp_path):
        assert_refused(run_cli("train", tiny.config, "--out", tmp_path), "is not an empty folder")
