"""`vivavoce stress`: a real run on a few recordings, and what is refused."""

import json
import re
import shutil
from pathlib import Path

import pytest

from ..tiny import Tiny, assert_refused, run_cli, unchanged


def test_curves_of_a_real_run(tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--curves", "rate,duration", "--levels", "rate=16000", "--levels", "duration=1", "--workers", 1)
    result = run_cli("stress", tiny.run, tiny.test, "--out", out, *words, "--json")
    assert result.code == 0, result.err
    printed = result.json
    assert printed["report"] == str(out / "stress.html")
    assert json.loads((out / "stress.json").read_text()) == {k: v for k, v in printed.items() if k != "report"}
    assert {curve["name"]: [level["name"] for level in curve["levels"]] for curve in printed["curves"]} == {
        "rate": ["unchanged", "16 kHz"],
        "duration": ["unchanged", "1 s"],
    }
    rate = printed["curves"][0]["levels"][1]
    assert sum(rate["reasons"].values()) == rate["recordings"]
    assert any("2 speakers" in note for note in printed["notes"])
    html = (out / "stress.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", html)
    assert html.count("<svg") == 2
    again = run_cli("stress", tiny.run, tiny.test, "--out", out, *words)
    assert again.code == 0, again.err
    assert "16 kHz" in again.out
    assert "Speaker EER" in again.out


@pytest.mark.slow
def test_distances_simulated_anew(tiny: Tiny, tmp_path: Path) -> None:
    words = ("--curves", "distance", "--levels", "distance=5,40", "--workers", 1, "--max-recordings", 10)
    speech = ("--resimulate", tiny.folder / "splits" / "test.jsonl.gz", "--phones", tiny.folder / "voices/phones.jsonl")
    result = run_cli("stress", tiny.run, tiny.test, "--out", tmp_path / "out", *words, *speech, "--json")
    assert result.code == 0, result.err
    (curve,) = result.json["curves"]
    assert curve["how"] == "simulated"
    assert [level["name"] for level in curve["levels"]] == ["5 cm", "40 cm"]
    assert len({level["recordings"] for level in curve["levels"]}) == 1


def test_what_cannot_be_drawn_is_refused_and_nothing_written(tiny: Tiny, tmp_path: Path) -> None:
    cases = [
        (("--curves", "snrr"), ("'snrr'", "snr, duration")),
        (("--levels", "loud=3"), ("'loud'",)),
        (("--levels", "snr"), ("CURVE=A,B",)),
        (("--levels", "snr=300"), ("snr", "80")),
        (("--levels", "codec=aac-64"), ("aac-64",)),
        (("--curves", "rolloff"), ("--resimulate",)),
        (("--curves", "snr", "--resimulate", tiny.test), ("None of the curves snr",)),
        (("--curves", "distance", "--resimulate", tiny.test), ("simulated themselves",)),
        (("--curves", "rate", "--noise", tmp_path), ("noise folder",)),
        (("--noise", tmp_path / "none", "--curves", "snr"), ("noise folder",)),
        (("--set", "colour=1"), ("colour",)),
    ]
    with unchanged(tmp_path):
        for words, said in cases:
            result = run_cli("stress", tiny.run, tiny.test, "--out", tmp_path / "out", "--workers", 1, *words, "--json")
            assert_refused(result, *said)


def test_recordings_of_the_training_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    with unchanged(tmp_path):
        assert_refused(run_cli("stress", tiny.run, tiny.train, "--out", tmp_path / "out"), "training")


def test_a_damaged_recording_is_named(tiny: Tiny, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny.test.parent, tmp_path / "test"))
    broken = next(copy.rglob("*.live.wav"))
    broken.write_bytes(broken.read_bytes()[:1000])
    words = ("--curves", "rate", "--workers", 1, "--out", tmp_path / "out")
    assert_refused(run_cli("stress", tiny.run, copy / tiny.test.name, *words), broken.name)
    assert not (tmp_path / "out" / "stress.json").exists()
