import re

import numpy as np
import pytest
from PIL import Image

from vivavoce.cli import output
from vivavoce.cli.chart import BLOCKS, curve, samples

from ..tiny import assert_refused, run_cli, unchanged


def words(tiny, *more: object) -> tuple[object, ...]:
    return ("schedule", tiny.config, *more)


def test_the_rates_are_those_that_the_run_was_trained_with(tiny):
    result = run_cli(*words(tiny, "--json"))
    assert result.code == 0, result.err
    shown = result.json
    trained = [line for line in tiny.printed.json["metrics"] if line["split"] == "train"]
    assert shown["epochs"] == len(trained) == 2
    steps = shown["steps_per_epoch"]
    assert len(shown["rates"]) == 2 * steps
    assert shown["type"] == "cosine"
    assert shown["peak"] == max(shown["rates"]) <= 2e-3
    assert shown["warmup_steps"] >= 1
    # A run's metrics hold the rate that the first step of the next epoch would have.
    assert trained[0]["lr"] == pytest.approx(shown["rates"][steps], rel=1e-6)


def test_without_a_terminal_the_rates_are_a_few_lines_of_plain_text(tiny):
    result = run_cli(*words(tiny, "--steps-per-epoch", 100, "--epochs", 3, "--set", "training.schedule.type=constant"))
    assert result.code == 0, result.err
    assert result.out.startswith("constant: 3 epochs of 100 steps, warm-up 24 steps, peak 0.002, last 0.002")
    lines = [line.split() for line in result.out.splitlines()[2:]]
    assert len(lines) == 12
    assert lines[-1] == ["2.99", "299", "0.002"]
    assert result.out.isascii()


def test_a_terminal_gets_a_curve(tiny, monkeypatch):
    monkeypatch.setattr(output.out, "_force_terminal", True)
    result = run_cli(*words(tiny, "--steps-per-epoch", 10))
    drawn = [line for line in result.out.splitlines() if any(block in line for block in BLOCKS[1:])]
    assert len(drawn) >= 8
    assert "0.002" in drawn[0] or "0.00" in drawn[0]


def test_a_plateau_says_what_it_depends_on(tiny):
    plateau = ("--set", "training.schedule={type: plateau, patience: 0, gamma: 0.5}", "--steps-per-epoch", 4)
    result = run_cli(*words(tiny, "--epochs", 5, *plateau))
    assert "never improves" in result.out
    rates = run_cli(*words(tiny, "--epochs", 5, *plateau, "--json")).json["rates"]
    assert rates[4::4] == pytest.approx([2e-3, 1e-3, 5e-4, 2.5e-4])
    assert run_cli(*words(tiny, "--json")).json["note"] is None


@pytest.mark.parametrize("name", ["rates.png", "rates.svg"])
def test_a_picture_is_drawn(tiny, tmp_path, name):
    result = run_cli(*words(tiny, "--out", tmp_path / name))
    assert result.code == 0, result.err
    assert str(tmp_path / name) in result.out
    if name.endswith("png"):
        assert np.asarray(Image.open(tmp_path / name).convert("L")).std() > 5
    else:
        assert re.search(r"<svg[^>]*>.*learning rate.*</svg>", (tmp_path / name).read_text(), re.DOTALL)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_cannot_be_shown_is_refused(tiny, tmp_path):
    with unchanged(tmp_path):
        assert_refused(run_cli(*words(tiny, "--out", tmp_path / "rates.pdf")), "rates.pdf", ".png, .svg")
        expression = "training.schedule={type: lambda, expression: 'open(1)'}"
        assert_refused(run_cli(*words(tiny, "--set", expression)), "training.schedule.expression", "open(1)")
        negative = "training.schedule={type: lambda, expression: '1 - step'}"
        assert_refused(run_cli(*words(tiny, "--set", negative)), "step 2 of the run", "not below 0")
        assert_refused(run_cli(*words(tiny, "--set", "training.warmup_share=0.1")), "older version", "schedule")
        unknown = ("--set", "training.schedule.type=cosines")
        assert_refused(run_cli(*words(tiny, *unknown)), "training.schedule", "one_cycle")
        nowhere = ("--set", f"data.train={tmp_path / 'none.jsonl.gz'}")
        assert_refused(run_cli(*words(tiny, *nowhere)), "none.jsonl.gz")
        assert run_cli(*words(tiny, *nowhere, "--steps-per-epoch", 3)).code == 0


def test_a_config_of_folds_needs_the_steps_of_an_epoch(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(f"data: {{folds: {tmp_path}}}\n")
    assert_refused(run_cli("schedule", config), "--steps-per-epoch")
    assert run_cli("schedule", config, "--steps-per-epoch", 5).code == 0


def test_a_curve_has_as_many_rows_as_asked_and_its_columns_are_means():
    rows = curve([0.0, 0.0, 8.0, 8.0], 2, 4)
    assert [row[11:] for row in rows] == [" █"] * 4
    assert [row[11:] for row in curve([4.0, 8.0], 9, 2)] == [" █", "██"]
    assert [row[11:] for row in curve([-1.0, 1.0], 2, 2)] == [" █", " █"]
    assert curve([0.0], 5, 3)[0].strip().startswith("0")
    assert [samples(n, 4) for n in (1, 2, 4, 100)] == [[0], [0, 1], [0, 1, 2, 3], [0, 33, 66, 99]]
