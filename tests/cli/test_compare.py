"""`vivavoce compare`: score files and runs, what it prints, and what it refuses."""

from pathlib import Path

import pytest

from vivavoce.evaluation.scores import write_scores

from ..comparison.made import make_scores, make_trials
from ..tiny import assert_refused, run_cli, unchanged

TRIALS = make_trials(12, 4)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "good.csv", tmp_path / "bad.csv"]
    for path, gap in zip(paths, (5.0, 1.0), strict=True):
        write_scores(make_scores(path.stem, TRIALS, gap=gap), path)
    return paths


def test_two_score_files(files: list[Path], tmp_path: Path) -> None:
    done = run_cli("compare", *files, "--out", tmp_path / "page.html", "--json")
    assert done.code == 0, done.err
    assert done.json["headline"] == "good is better in all 6 figures."
    assert {one["better"] for one in done.json["differences"]} == {"good"}
    assert [system["name"] for system in done.json["systems"]] == ["good", "bad"]
    assert done.json["report"] == str(tmp_path / "page.html")
    assert done.json["headline"] in (tmp_path / "page.html").read_text()
    with unchanged(tmp_path):
        printed = run_cli("compare", *files, "--names", "ours [x], peer")
    assert printed.code == 0
    assert "ours [x] is better in all 6 figures." in printed.out
    assert "min a-DCF(p_target=0.9405" in printed.out


def test_three_systems_are_compared_in_pairs(files: list[Path], tmp_path: Path) -> None:
    write_scores(make_scores("third", TRIALS, gap=4.5, seed=1), tmp_path / "third.csv")
    done = run_cli("compare", *files, tmp_path / "third.csv")
    assert done.code == 0, done.err
    assert "good − third" in done.out
    assert "good has the lowest min a-DCF" in done.out


@pytest.mark.slow
def test_a_run_beside_its_own_scores(tiny, tmp_path: Path) -> None:
    from vivavoce.assessment import run_scores

    scores = run_scores(tiny.run, tiny.test, name="run")
    write_scores(scores, tmp_path / "before.csv")
    done = run_cli("compare", tiny.run, tmp_path / "before.csv", "--on", tiny.test, "--json")
    assert done.code == 0, done.err
    for one in done.json["differences"]:
        assert one["verdict"] == "the same scores"


def test_what_is_refused(files: list[Path], tmp_path: Path) -> None:
    short = tmp_path / "short.csv"
    short.write_text("".join(files[1].read_text().splitlines(keepends=True)[:100]))
    (tmp_path / "run").mkdir()
    missing = len(TRIALS) - 99
    with unchanged(tmp_path):
        assert_refused(run_cli("compare", files[0]), "needs two systems")
        assert_refused(run_cli("compare", *files, "--names", "a"), "--names gives 1 names for 2 systems")
        assert_refused(run_cli("compare", files[0], tmp_path / "none.csv"), "There is no score file", "none.csv")
        assert_refused(run_cli("compare", files[0], tmp_path / "run"), "is a run folder", "--on")
        refused = run_cli("compare", files[0], short, "--out", tmp_path / "page.html")
        assert_refused(refused, f"short has no score of {missing} of the {len(TRIALS)} trials of good")
        assert_refused(run_cli("compare", *files, "--trials", tmp_path / "none"), "There is no trial list")
