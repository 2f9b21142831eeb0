import json
import shutil
from pathlib import Path

import pytest

from ..tiny import Tiny, assert_refused, run_cli, unchanged


@pytest.fixture
def run(tiny: Tiny, tmp_path: Path) -> Path:
    """A copy of the run, whose thresholds are to be changed."""
    return Path(shutil.copytree(tiny.run, tmp_path / "run"))


def test_a_threshold_is_set_kept_and_used(tiny, run):
    old = json.loads((run / "calibration.json").read_text())
    result = run_cli("calibrate", run, "--fusion", "product", "--prior", 0.99, "--p-spoof", 0.005, "--json")
    assert result.code == 0, result.err
    printed = result.json
    stored = json.loads((run / "calibration.json").read_text())
    assert printed["decision"] == stored["decision"]
    costs = stored["decision"]["aim"]["costs"]
    assert (costs["p_target"], costs["p_spoof"]) == (0.99, 0.005)
    assert costs["p_nontarget"] == pytest.approx(0.005)
    assert json.loads((run / "calibrations.json").read_text()) == [old]
    assert set(printed["cllr"]) == {"speaker", "liveness"}

    own = tiny.recordings("live", tiny.speakers[0])
    verdict = run_cli("verify", run, "--enrol", *own[:3], "--test", own[3], "--json").json
    assert verdict["fused_threshold"] == printed["threshold"]
    assert (verdict["verdict"] == "accept") == (verdict["fused_score"] >= verdict["fused_threshold"])

    again = run_cli("calibrate", run, "--method", "isotonic", "--json")
    assert again.code == 0, again.err
    assert json.loads((run / "calibrations.json").read_text()) == [old, stored]


def test_people_get_tables_and_notes(run):
    result = run_cli("calibrate", run, "--costs", "1,5,5")
    assert result.code == 0, result.err
    for words in ("Accepted from", "user refused", "replay_stand", "Cllr", "Note:", "calibrations.json"):
        assert words in result.out


def test_a_rate_that_cannot_be_shown_is_refused_and_nothing_changes(run):
    run_cli("calibrate", run)  # features of the validation split are there now
    with unchanged(run):
        assert_refused(run_cli("calibrate", run, "--far", 0.001), "cannot be shown", "3000", "--extrapolate")


def test_other_recordings_may_be_given_but_none_of_training(tiny, run, tmp_path):
    result = run_cli("calibrate", run, "--validation", tiny.test, "--json")
    assert result.code == 0, result.err
    assert result.json["decision"]["data"].startswith(tiny.test.name)
    with unchanged(run):
        assert_refused(run_cli("calibrate", run, "--validation", tiny.train), "training")
        assert_refused(run_cli("calibrate", run, "--validation", tmp_path / "none.jsonl"), "no manifest")
    allowed = run_cli("calibrate", run, "--validation", tiny.train, "--allow-leak", "--json")
    assert allowed.code == 0, allowed.err
    assert any("Leak allowed" in note for note in allowed.json["notes"])


@pytest.mark.parametrize(("words", "said"), [
    (("--far", 0.7), "no false-accept rate"),
    (("--far", 0.1, "--prior", 0.9), "give one of them"),
    (("--extrapolate",), "goes with --far"),
    (("--prior", 1.0), "leave nothing"),
    (("--prior", 0.9, "--p-spoof", 0.2), "leave nothing"),
    (("--costs", "1,2"), "three numbers"),
    (("--costs", "1,x,2"), "three numbers"),
    (("--costs", "1,-1,2"), "three numbers"),
    (("--quality", "colour"), "no measure"),
    (("--quality", "snr", "--method", "isotonic"), "leave one of them out"),
])  # fmt: skip
def test_bad_options_are_refused(tiny, words, said):
    with unchanged(tiny.run):
        assert_refused(run_cli("calibrate", tiny.run, *words), said)
