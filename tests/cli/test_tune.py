"""`vivavoce tune`: a real search of a few seconds, and what is refused."""

from pathlib import Path

import pytest
import yaml

from ..tiny import Tiny, assert_refused, run_cli, unchanged

SEARCH = """\
config: config.yaml
search:
  training.learning_rate: {low: 5.0e-4, high: 5.0e-3, log: true}
  model.head.hidden: {choices: [8, 16]}
metric: eer
trials: 2
epochs: 1
"""


@pytest.fixture
def space(tiny: Tiny, tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(tiny.config.read_text())
    (tmp_path / "space.yaml").write_text(SEARCH)
    return tmp_path / "space.yaml"


def test_a_real_search(space: Path, tmp_path: Path) -> None:
    from vivavoce.config import ExperimentConfig
    from vivavoce.settings import load_settings

    out = tmp_path / "out"
    done = run_cli("tune", space, "--out", out, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["trials"] == {"complete": 2, "pruned": 0, "failed": 0, "running": 0, "planned": 2}
    best = found["best"]
    assert 0 <= best["value"] <= 1
    # One store serves both trials, and none keeps features of its own.
    stores = [path for path in (out / "features").iterdir() if path.is_dir()]
    assert len(stores) == 1
    assert not list((out / "trials").glob("*/features"))
    # The best configuration is that of its trial, but for where this search kept its features.
    trial = yaml.safe_load((Path(best["run"]) / "config.yaml").read_text())
    assert trial["features"].pop("store") == str(stores[0])
    written = yaml.safe_load((out / "best.yaml").read_text())
    assert written["features"].pop("store") is None
    assert written == trial
    assert written["training"]["learning_rate"] == best["params"]["training.learning_rate"]
    load_settings(ExperimentConfig, out / "best.yaml")
    # A handful of speakers tells little, and it says so.
    assert found["chance"] is None
    assert "2 validation speakers are too few" in found["verdict"]
    again = run_cli("tune", space, "--out", out, "--resume", "--trials", 2)
    assert again.code == 0, again.err
    assert "Trials: 2 complete, 0 pruned, 0 failed, 0 running, of 2 planned" in again.out
    assert found["verdict"] in again.out.replace("\n", " ")
    assert (Path(best["run"]) / "checkpoints" / "best.safetensors").is_file()


def test_nonsense_is_refused_and_nothing_written(space: Path, tmp_path: Path) -> None:
    for old, new, said in (
        ("training.learning_rate", "training.learning_rat", "did you mean learning_rate"),
        ("low: 5.0e-4", "low: 0.0", "low above 0"),
        ("high: 5.0e-3", "high: .inf", "must be finite"),
        ("metric: eer", "metric: accuracy", "'a_dcf'"),
        ("choices: [8, 16]", "choices: [8, none]", "search.model.head.hidden"),
    ):
        space.write_text(SEARCH.replace(old, new))
        with unchanged(tmp_path):
            assert_refused(run_cli("tune", space, "--out", tmp_path / "out"), said)
    with unchanged(tmp_path):
        assert_refused(run_cli("tune", tmp_path / "no.yaml", "--out", tmp_path / "out"), "no.yaml")


def test_recordings_that_leak_are_refused_before_anything_is_written(space: Path, tiny: Tiny, tmp_path: Path) -> None:
    leaky = ("--set", f"data.validation={tiny.train}")
    with unchanged(tmp_path):
        assert_refused(run_cli("tune", space, "--out", tmp_path / "out", *leaky), "validation")
