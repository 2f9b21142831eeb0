import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from vivavoce.corpus.manifest import read_rows, write_rows

from ..tiny import Result, Tiny, assert_refused, run_cli, snapshot


@pytest.fixture(scope="module")
def run(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run: an evaluation writes its features and its report there."""
    return Path(shutil.copytree(tiny.run, tmp_path_factory.mktemp("evaluate") / "run"))


@pytest.fixture(scope="module")
def evaluated(tiny: Tiny, run: Path) -> Result:
    result = run_cli("evaluate", run, tiny.test, "--json")
    assert result.code == 0, result.err
    return result


def write_trials(path: Path, trials: list[tuple[list[object], object, str]], header=("enrol", "test", "label")) -> Path:
    with path.open("w", newline="") as file:
        lines = [(";".join(map(str, enrol)), test, label) for enrol, test, label in trials]
        csv.writer(file).writerows([header, *lines])
    return path


def test_json_is_one_document_with_all_figures(evaluated, tiny, run):
    printed = evaluated.json
    assert printed["report"] == str(run / "report.html")
    assert printed["speaker"]["n_target"] == 2
    assert [row["species"] for row in printed["liveness"]] == ["replay_stand"]
    assert {row["kind"]: row["recordings"] for row in printed["data"]} == {
        kind: len(tiny.recordings(kind)) for kind in ("live", "replay_stand", "probe_absent")
    }
    calibration = json.loads((run / "calibration.json").read_text())
    assert printed["speaker"]["threshold"] == calibration["speaker"]["threshold"]
    assert printed["liveness"][0]["threshold"] == calibration["liveness"]["threshold"]
    absent = next(row for row in printed["verdicts"] if row["truth"] == "probe_absent")
    assert absent["counts"]["abstain"] == len(tiny.recordings("probe_absent"))


def test_a_handful_of_trials_gives_intervals_and_no_figures(evaluated):
    printed = evaluated.json
    measures = [*printed["speaker_measures"], *printed["system_measures"], *printed["liveness_measures"]]
    assert {"eer", "min_dcf", "cllr", "sasv_eer", "min_a_dcf", "t_eer", "iapar", "bpcer_at_apcer", "apcer"} <= {
        measure["key"] for measure in measures
    }
    few = [measure for measure in measures if min(measure["trials"].values()) < 10]
    assert few
    for measure in few:
        assert measure["value"] is None
        assert 0 <= measure["low"] <= measure["high"]
    assert all(measure["value"] is not None for measure in measures if measure not in few)
    assert printed["decision"]["thresholds"].keys() == {"speaker", "liveness", "fused, nats"}
    assert printed["data_card"]["Recordings"]["ultrasound"] == "simulated"
    assert printed["model_card"]["Model"]["liveness head"] == "lstm"
    assert printed["hashes"].keys() == {"manifest", "weights", "calibration"}


def test_the_report_stands_alone(evaluated, run):
    html = (run / "report.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", html)
    assert "<svg" in html or "data:image/" in html
    assert "Doppler" in html
    assert "replay_stand" in html or "replay, phone on a stand" in html


def test_the_same_again_extracts_nothing_and_gives_the_same(evaluated, tiny, run):
    before = snapshot(run / "features")
    again = run_cli("evaluate", run, tiny.test, "--json").json
    assert snapshot(run / "features") == before
    changing = {"date", "timings_s"}
    first = evaluated.json
    assert {k: v for k, v in again.items() if k not in changing} == {
        k: v for k, v in first.items() if k not in changing
    }


def test_people_get_a_table(evaluated, tiny, run, tmp_path):
    result = run_cli("evaluate", run, tiny.test, "--report", tmp_path / "deep" / "own.html", "--crop-s", 1.0)
    assert result.code == 0
    assert "Speaker EER" in result.out
    assert "replay_stand" in result.out
    assert (tmp_path / "deep" / "own.html").is_file()


def test_given_trials_are_the_ones_that_are_scored(evaluated, tiny, run, tmp_path):
    own, other = (tiny.recordings("live", speaker) for speaker in tiny.speakers)
    trials = [(own[:2], own[2], "target"), (own[:2], own[3], "target"), (own[:2], other[0], "nontarget")]
    trials.append((own[:2], tiny.recordings("replay_stand", tiny.speakers[0])[0], "replay_stand"))
    path = write_trials(tmp_path / "trials.csv", trials)
    result = run_cli("evaluate", run, tiny.test, "--trials", path, "--report", tmp_path / "r.html", "--json")
    assert result.code == 0, result.err
    printed = result.json
    assert (printed["speaker"]["n_target"], printed["speaker"]["n_nontarget"], printed["enrolment"]) == (2, 1, 2)
    assert {row["truth"]: sum(row["counts"].values()) for row in printed["verdicts"]} == {
        "target": 2,
        "nontarget": 1,
        "replay_stand": 1,
    }
    assert str(path) in printed["command"]


def refused(run: Path, manifest: Path, tmp_path: Path, *words: object) -> Result:
    result = run_cli("evaluate", run, manifest, "--report", tmp_path / "report.html", "--json", *words)
    assert not (tmp_path / "report.html").exists()
    return result


def test_bad_trials_are_refused(tiny, run, tmp_path):
    own, other = (tiny.recordings("live", speaker) for speaker in tiny.speakers)
    good = [(own[:2], own[2], "target"), (own[:2], other[0], "nontarget")]

    def trials(*more, **options) -> Result:
        return refused(
            run, tiny.test, tmp_path, "--trials", write_trials(tmp_path / "t.csv", [*good, *more], **options)
        )

    assert_refused(trials((own[:2], "ghost.wav", "target")), "ghost.wav", "line 4")
    assert_refused(trials(([own[0], "ghost.wav"], own[3], "target")), "ghost.wav")
    assert_refused(trials((own[:2], own[3], "friend")), "friend", "target, nontarget")
    assert_refused(trials((own[:2], own[0], "target")), "part of its own enrolment")
    assert_refused(trials(header=("enroll", "test", "label")), "no column enrol")
    write_trials(tmp_path / "t.csv", good[:1])
    assert_refused(refused(run, tiny.test, tmp_path, "--trials", tmp_path / "t.csv"), "non-target")
    assert_refused(refused(run, tiny.test, tmp_path, "--trials", tmp_path / "none.csv"), "no trial list")


def test_a_manifest_with_one_speaker_is_refused(tiny, run, tmp_path):
    rows = [row for row in read_rows(tiny.test) if row.speaker == tiny.speakers[0]]
    write_rows(rows, tmp_path / "one.jsonl")
    assert_refused(refused(run, tmp_path / "one.jsonl", tmp_path), "non-target")


def test_a_manifest_whose_files_moved_is_refused(tiny, run, tmp_path):
    moved = shutil.copy(tiny.test, tmp_path)
    assert_refused(refused(run, moved, tmp_path), "are not where it says")
    assert_refused(refused(run, tmp_path / "none.jsonl", tmp_path), "does not exist")


def test_a_damaged_record_of_the_training_is_named(tiny, run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "metrics.jsonl").write_text('{"epoch": 1, "spl')
    assert_refused(refused(copy, tiny.test, tmp_path), "metrics.jsonl is damaged")


def test_the_table_shows_names_and_intervals_whole_on_eighty_columns(monkeypatch, capsys):
    from rich.console import Console

    from vivavoce.cli import evaluate

    monkeypatch.setattr(evaluate, "out", Console(width=80))
    widest = {"value": 1.0, "low": 1.0, "high": 1.0}
    row = {"species": "recorded_ultrasound", "n_live": 4800, "n_spoof": 1200}
    keys = (("eer", row["species"]), ("apcer", row["species"]), ("bpcer", None))
    measures = [{"key": key, "species": species, **widest} for key, species in keys]
    evaluate.show_evaluation(
        {"liveness": [row], "liveness_measures": measures, "speaker_measures": [], "system_measures": [], "report": "r"}
    )
    printed = capsys.readouterr().out
    assert "recorded_ultrasound" in printed
    assert printed.count("100.0 %") == 3
    assert printed.count("(100.0–100.0)") == 3
