import tempfile

import pytest

from vivavoce.cli.lr_find import _show

from ..tiny import assert_refused, run_cli, unchanged

RANGE = ("--from", "1e-5", "--to", "10", "--steps", 40)


@pytest.fixture
def nothing_left(tmp_path, monkeypatch):
    """Where temporary files go; a test must leave nothing there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def test_a_rate_is_suggested_and_nothing_of_the_model_is_kept(tiny, tmp_path, nothing_left, capsys):
    picture = tmp_path / "range.png"
    with unchanged(tiny.folder):
        result = run_cli("lr-find", tiny.config, *RANGE, "--out", picture, "--json")
    assert result.code == 0, result.err
    found = result.json
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"])
    assert found["rates"][0] == pytest.approx(1e-5)
    assert found["suggestion"] is not None
    assert 1e-5 < found["suggestion"] <= found["largest_stable"] < 10
    assert found["set"] == f"--set training.learning_rate={found['suggestion']:.2g}"
    assert picture.stat().st_size > 5000
    # What it suggests is a config that can be trained.
    assert run_cli("schedule", tiny.config, *found["set"].split()).code == 0
    # People get it ready to be set.
    capsys.readouterr()
    _show(found)
    printed = capsys.readouterr().out
    assert found["set"] in printed
    assert "falls fastest" in printed


def test_impossible_ranges_are_refused_before_features_are_computed(tiny, tmp_path, nothing_left):
    for start, end in (("1", "0.1"), ("0", "1")):
        assert_refused(run_cli("lr-find", tiny.config, "--from", start, "--to", end), "do not rise", "--from")
    assert_refused(run_cli("lr-find", tiny.config, "--out", tmp_path / "a.jpeg"), "a.jpeg", ".png, .svg")
