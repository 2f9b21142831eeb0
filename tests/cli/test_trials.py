import shutil
from collections import Counter
from pathlib import Path

import pytest

from vivavoce.corpus.manifest import read_rows
from vivavoce.evaluation.trials.files import read_trials, read_trials_of
from vivavoce.evaluation.trials.table import DRAWN, references

from ..tiny import Result, Tiny, assert_refused, run_cli, unchanged


def make(tiny: Tiny, out: Path, *words: object) -> Result:
    return run_cli("trials", tiny.test, "--out", out, "--enrol", 2, *words)


def test_json_says_what_is_in_the_list(tiny: Tiny, tmp_path: Path) -> None:
    result = make(tiny, tmp_path / "t.csv", "--same-sex", 0.5, "--json")
    assert result.code == 0, result.err
    printed, trials = result.json, read_trials_of(tmp_path / "t.csv", read_rows(tiny.test))
    assert printed["files"] == [str(tmp_path / "t.csv")]
    assert printed["trials"] == len(trials) == sum(printed["counts"].values())
    assert printed["counts"] == dict(Counter(trials.labels.tolist()))
    assert printed["drawn"] == {how: int((trials.drawn == DRAWN.index(how)).sum()) for how in printed["drawn"]}
    assert sum(printed["drawn"].values()) == printed["counts"]["nontarget"]
    assert printed["speakers"] == printed["enrolments"] == len(tiny.speakers)


def test_people_get_a_table_and_an_evaluation_takes_the_list(tiny: Tiny, tmp_path: Path) -> None:
    result = make(tiny, tmp_path / "deep" / "t.csv")
    assert result.code == 0, result.err
    assert "nontarget" in result.out
    assert "at random" in result.out
    assert str(tmp_path / "deep" / "t.csv") in result.out.replace("\n", "")
    run = shutil.copytree(tiny.run, tmp_path / "run")
    scored = run_cli("evaluate", run, tiny.test, "--trials", tmp_path / "deep" / "t.csv", "--json")
    assert scored.code == 0, scored.err
    assert scored.json["enrolment"] == 2


def test_the_seed_decides(tiny: Tiny, tmp_path: Path) -> None:
    lists = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert make(tiny, tmp_path / f"{name}.csv", "--seed", seed, "--nontarget", 1).code == 0
        lists[name] = (tmp_path / f"{name}.csv").read_bytes()
    assert lists["a"] == lists["b"] != lists["c"]


def test_a_run_tells_which_non_targets_are_hard(tiny: Tiny, tmp_path: Path) -> None:
    run = shutil.copytree(tiny.run, tmp_path / "run")
    result = make(tiny, tmp_path / "t.csv", "--hard", 0.5, "--run", run, "--nontarget", 1, "--json")
    assert result.code == 0, result.err
    assert result.json["drawn"] == {"random": 2, "hard": 2}  # of two speakers with two target tests each


def test_a_list_goes_through_every_format_and_back(tiny: Tiny, tmp_path: Path) -> None:
    rows = read_rows(tiny.test)
    assert run_cli("trials", tiny.test, "--out", tmp_path / "0.csv", "--enrol", 1, "--no-attacks").code == 0
    before = tmp_path / "0.csv"
    for number, form in enumerate(("asvspoof", "voxceleb", "csv"), start=1):
        after = tmp_path / f"{number}.txt"
        result = run_cli("trials", tiny.test, "--from", before, "--out", after, "--format", form, "--json")
        assert result.code == 0, result.err
        assert result.json["format"] == form
        assert read_trials(after, references(rows)) == read_trials(tmp_path / "0.csv")
        before = after
    assert (tmp_path / "1.enrol.txt").is_file()
    assert len((tmp_path / "2.txt").read_text().split()) == 3 * result.json["trials"]


def test_a_limit_bounds_the_list(tiny: Tiny, tmp_path: Path) -> None:
    assert make(tiny, tmp_path / "t.csv", "--limit", 5, "--json").json["trials"] == 5


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--enrol", 9), ("No speaker has 10 live recordings",)),
        (("--hard", 0.5), ("name one with --run",)),
        (("--run", "runs/x"), ("add --hard",)),
        (("--same-sex", 0.7, "--hard", 0.5), ("0.7", "0.5", "not be above 1")),
        (("--format", "voxceleb", "--no-attacks"), ("up to 2", "enrol with one")),
        (("--format", "voxceleb", "--enrol", 1), ("knows no attacks",)),
        (("--from", "t.txt"), ("--enrol", "leave one of them out")),
    ],
)
def test_what_cannot_be_made_is_refused(tiny: Tiny, tmp_path: Path, words: tuple, parts: tuple[str, ...]) -> None:
    with unchanged(tmp_path):
        assert_refused(make(tiny, tmp_path / "t.csv", *words), *parts)


def test_sources_are_never_written_over(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copy(tiny.test, tmp_path / "m.jsonl.gz")
    (tmp_path / "t.csv").write_text("enrol,test,label\na,b,target\n")
    with unchanged(tmp_path):
        assert_refused(run_cli("trials", tiny.test, "--out", tiny.test), "write it to another place")
        same = run_cli("trials", tiny.test, "--from", tmp_path / "t.csv", "--out", tmp_path / "t.csv")
        assert_refused(same, "write it to another place")
        strange = run_cli("trials", tiny.test, "--from", tmp_path / "t.csv", "--out", tmp_path / "u.csv")
        assert_refused(strange, "line 2: a is not a recording of the manifest")


def test_a_run_without_speakers_cannot_tell_who_is_alike(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from vivavoce import verifier

    loaded = verifier.load_run(tiny.run)
    mute = replace(loaded, calibration=loaded.calibration.model_copy(update={"speaker": None}))
    monkeypatch.setattr(verifier, "load_run", lambda path: mute)
    refused = make(tiny, tmp_path / "t.csv", "--hard", 0.5, "--run", tiny.run)
    assert_refused(refused, "without the speaker task")
