import json
import zlib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vivavoce import inspection
from vivavoce.audio import read_audio, write_wav
from vivavoce.cli.diagnose import BARS, sparkline
from vivavoce.config import ExperimentConfig
from vivavoce.corpus.manifest import Row, read_rows, write_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.settings import load_settings
from vivavoce.training.crops import Batches
from vivavoce.training.guard import keep_batch
from vivavoce.training.run_folder import RunFolder

from ..synthetic import make_rows
from ..tiny import assert_refused, run_cli, unchanged
from ..training.diagnosis.invented import FLAT, HIGHER, LOWER, lines


def heard(row: Row, folder: Path) -> Row:
    """A short sound of its own for a row."""
    path = folder / row.path.name
    path.parent.mkdir(exist_ok=True)
    seed = zlib.crc32(str(path.relative_to(folder.parent)).encode())
    write_wav(path, np.random.default_rng(seed).normal(0, 0.1, 4800), 48_000)
    return replace(row, path=path, duration_s=0.1)


def make_run(folder: Path, metrics: list[dict], shared: bool = False) -> RunFolder:
    """A run folder as training leaves it in its midst."""
    folder.mkdir(exist_ok=True)
    for name, speakers in (("train", "abcdefg"), ("validation", "gh" if shared else "hi")):
        rows = [heard(row, folder / name) for row in make_rows(list(speakers), [Kind.LIVE, Kind.REPLAY_STAND], 5)]
        write_rows(rows, folder / f"{name}.jsonl.gz")
    sets = [f"data.{name}={folder / name}.jsonl.gz" for name in ("train", "validation")]
    run = RunFolder.create(folder / "run", load_settings(ExperimentConfig, None, sets))
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in metrics))
    return run


def test_the_states_are_printed_with_curves_and_advice_and_kept(tmp_path):
    run = make_run(tmp_path, lines(LOWER, HIGHER))
    result = run_cli("diagnose", run.path, "--no-audit")
    assert result.code == 0, result.err
    assert "speaker: overfitting" in result.out
    assert "--set 'training.early_stopping.patience=5'" in result.out
    assert BARS[-1] in result.out
    kept = json.loads((run.path / "diagnosis.json").read_text())
    assert {task["task"]: task["state"] for task in kept["tasks"]}["liveness"] == "overfitting"


def test_json_is_one_document_equal_to_what_is_kept(tmp_path):
    run = make_run(tmp_path, lines(FLAT, FLAT))
    result = run_cli("diagnose", run.path, "--json", "--no-audit")
    assert {"run": str(run.path), **json.loads((run.path / "diagnosis.json").read_text())} == result.json


def test_a_run_of_a_few_epochs_or_none_is_too_early(tmp_path):
    run = make_run(tmp_path, lines()[:5])
    assert "too early to say" in run_cli("diagnose", run.path).out
    run.metrics.unlink()
    result = run_cli("diagnose", run.path)
    assert result.code == 0, result.err
    assert "no epoch is over" in result.out


@pytest.mark.parametrize("epochs", [0, 3])
def test_a_run_that_broke_off_says_so(tmp_path, epochs):
    run = make_run(tmp_path, lines()[: 2 * epochs])
    keep_batch(run.bad_batch, Batches(None, None), ["a", "b"], epoch=epochs + 1, step=31)
    run.steps.write_text('{"epoch": 1, "step": 30, "loss": 812.0}\n')
    result = run_cli("diagnose", run.path)
    assert result.code == 0, result.err
    assert "Training ended since a loss was no number" in result.out
    assert "812 in step 30" in result.out
    assert "--set 'training.learning_rate=2.0e-04'" in result.out


def test_a_rate_that_the_diagnosis_has_lowered_is_too_high_no_more(tmp_path):
    run = make_run(tmp_path, lines(LOWER, LOWER, **{"update_ratio/trunk": 0.2}))
    assert run_cli("diagnose", run.path, "--json").json["cause"] == "rate_too_high"
    run.actions.write_text('{"epoch": 29, "did": "lower_rate", "factor": 0.1}\n')
    assert run_cli("diagnose", run.path, "--json").json["cause"] == "none"


def test_shared_speakers_are_found_by_name(tmp_path):
    run = make_run(tmp_path, lines(), shared=True)
    result = run_cli("diagnose", run.path, "--json")
    assert result.json["cause"] == "leak"
    assert "1 speaker (g" in result.json["causes"][0]["evidence"][0]


def test_manifests_are_found_beside_the_run_or_said_to_be_gone(tmp_path, monkeypatch):
    run = make_run(tmp_path, lines(), shared=True)
    text = run.config.read_text().replace(f"{tmp_path}/", "")
    run.config.write_text(text)
    monkeypatch.chdir("/")
    assert run_cli("diagnose", run.path, "--json").json["cause"] == "leak"
    (tmp_path / "train.jsonl.gz").unlink()
    result = run_cli("diagnose", run.path, "--json").json
    assert result["cause"] == "none"
    assert "gone" in result["checked"]


@pytest.mark.parametrize("listen", [True, False])
def test_copies_under_other_names_are_heard_where_the_curves_are_suspicious(tmp_path, make_wav, listen):
    run = make_run(tmp_path, lines(FLAT, LOWER))
    sound = [make_wav(f"{speaker}.wav", 3.0, f0_hz=pitch, seed=pitch) for speaker, pitch in (("a", 120), ("b", 170))]
    rows = make_rows(["a", "b"], [Kind.LIVE], utterances=1)
    rows = [replace(row, path=path, duration_s=3.0) for row, path in zip(rows, sound, strict=True)]
    write_rows(rows, tmp_path / "train.jsonl.gz")
    samples, rate = read_audio(sound[0])
    write_wav(tmp_path / "copy.wav", 0.8 * samples, rate)
    copy = replace(rows[0], id="copy", path=tmp_path / "copy.wav", speaker="z")
    write_rows([copy], tmp_path / "validation.jsonl.gz")
    result = run_cli("diagnose", run.path, "--json", "--workers", 1, *(() if listen else ("--no-audit",)))
    assert result.code == 0, result.err
    assert (result.json["cause"] == "leak") is listen
    if listen:
        assert "in both manifests" in result.json["causes"][0]["evidence"][0]
        assert "audit" in result.json["checked"]


def test_what_the_audit_finds_of_data_at_fault_is_printed(tmp_path, make_wav):
    """One sound under the names of two speakers teaches no speaker task."""
    run = make_run(tmp_path, lines(FLAT, LOWER))
    sound = [make_wav(f"{name}.wav", 3.0, f0_hz=pitch, seed=pitch) for name, pitch in (("a", 120), ("v", 170))]
    rows = [replace(row, path=sound[0], duration_s=3.0) for row in make_rows(["a", "b"], [Kind.LIVE], utterances=1)]
    write_rows(rows, tmp_path / "train.jsonl.gz")
    write_rows([replace(rows[0], id="v", path=sound[1], speaker="v")], tmp_path / "validation.jsonl.gz")
    result = run_cli("diagnose", run.path, "--workers", 1)
    assert result.code == 0, result.err
    assert "the data are at fault, as the audit shows" in result.out
    assert "under two speakers" in result.out
    assert "with their sound, which found" in result.out
    assert "found nothing" not in result.out


def test_an_audit_that_finds_nothing_says_so(tmp_path, monkeypatch):
    run = make_run(tmp_path, lines(FLAT, LOWER))
    monkeypatch.setattr(inspection, "audit", lambda *_, **__: nullcontext(SimpleNamespace(findings=[])))
    result = run_cli("diagnose", run.path, "--workers", 1)
    assert result.code == 0, result.err
    assert "The audit found nothing wrong" in result.out
    assert "with their sound, which found nothing wrong." in result.out


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    with unchanged(tmp_path):
        assert_refused(run_cli("diagnose", tmp_path / "none"), "There is no run folder")
        assert_refused(run_cli("diagnose", tmp_path / "a"), "is not a run folder")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics", "{no"),
        ("metrics", "3"),
        ("metrics", '{"epoch": null, "split": "train"}'),
        ("metrics", '{"epoch": "1", "split": "train"}'),
        ("metrics", '{"epoch": 1, "split": "train", "loss": "low"}'),
        ("config", "a: ["),
    ],
)
def test_damage_is_refused(tmp_path, name, text):
    run = make_run(tmp_path, lines())
    getattr(run, name).write_text(text)
    with unchanged(tmp_path):
        assert_refused(run_cli("diagnose", run.path), "damaged")


def test_a_folder_in_the_place_of_the_metrics_is_refused(tmp_path):
    run = make_run(tmp_path, lines())
    run.metrics.unlink()
    run.metrics.mkdir()
    assert_refused(run_cli("diagnose", run.path), "metrics.jsonl cannot be read")


@pytest.mark.parametrize(
    ("old", "new"), [("data:", "data: 3\nold:"), ("epochs: 30", "epochs: many"), ("seed: 0", "of_another_version: 0")]
)
def test_a_config_that_cannot_be_used_leaves_the_curves(tmp_path, old, new):
    run = make_run(tmp_path, lines(LOWER, HIGHER))
    run.config.write_text(run.config.read_text().replace(old, new, 1))
    result = run_cli("diagnose", run.path, "--json")
    assert result.code == 0, result.err
    assert {task["state"] for task in result.json["tasks"]} == {"overfitting"}
    assert "config.yaml cannot be used (The " in result.json["checked"]


def test_sound_files_that_moved_leave_the_curves_and_the_names(tmp_path):
    run = make_run(tmp_path, lines(FLAT, LOWER), shared=True)
    for path in (tmp_path / "train").iterdir():
        path.unlink()
    result = run_cli("diagnose", run.path, "--json")
    assert result.code == 0, result.err
    assert result.json["cause"] == "leak"
    assert "70 of their 90 sound files are not where they say" in result.json["checked"]
    own = run_cli("diagnose", make_run(tmp_path / "own", lines(FLAT, LOWER)).path, "--json").json
    assert own["cause"] == "data"  # with the sound there, it is looked at
    for path in (tmp_path / "own" / "train").iterdir():
        path.unlink()
    gone = run_cli("diagnose", tmp_path / "own" / "run", "--json").json
    assert gone["cause"] == "none"  # what is not there now is no fault of what was trained on
    assert gone["tasks"][0]["state"] == "data at fault"


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b\x08\x00half of it", b"{}\n"])
def test_a_damaged_manifest_leaves_the_curves(tmp_path, damage):
    run = make_run(tmp_path, lines(LOWER, HIGHER))
    (tmp_path / "train.jsonl.gz").write_bytes(damage)
    result = run_cli("diagnose", run.path, "--json")
    assert result.code == 0, result.err
    assert {task["state"] for task in result.json["tasks"]} == {"overfitting"}
    assert result.json["checked"].startswith("nothing, since a manifest cannot be read (")


def test_an_audit_that_is_not_possible_leaves_the_names(tmp_path):
    run = make_run(tmp_path, lines(FLAT, LOWER))
    (tmp_path / "train.audit.sqlite").write_text("no database")
    result = run_cli("diagnose", run.path, "--json")
    assert result.code == 0, result.err
    assert "their sound could not be audited (" in result.json["checked"]


def test_a_run_that_cannot_be_written_is_diagnosed_with_a_warning(tmp_path):
    run = make_run(tmp_path, lines(LOWER, HIGHER))
    run.diagnosis.mkdir()  # root may write anywhere, but no file over a folder
    result = run_cli("diagnose", run.path, "--json")
    assert result.code == 0, result.err
    assert result.json["tasks"]
    assert "Warning: " in result.err
    assert "diagnosis.json cannot be written" in result.err


@pytest.mark.parametrize("closed", [True, False])
def test_speakers_of_a_closed_set_are_no_leak_by_their_sound(tmp_path, closed):
    """They are the same by intent, in other sessions and other recordings."""
    run = make_run(tmp_path, lines(FLAT, LOWER))
    rows = [
        replace(row, id=f"v-{row.id}", speaker="g", meta=row.meta.model_copy(update={"session": "v"}))
        for row in read_rows(tmp_path / "validation.jsonl.gz")
    ]
    write_rows(rows, tmp_path / "validation.jsonl.gz")
    if closed:
        run.config.write_text(run.config.read_text().replace("closed_set: false", "closed_set: true"))
    result = run_cli("diagnose", run.path, "--json").json
    assert (result["cause"] == "leak") is not closed
    assert ("an audit of both" in result["checked"]) is closed


def test_sparklines_keep_ends_and_gaps():
    assert sparkline([0.0, 1.0]) == BARS[0] + BARS[-1]
    assert sparkline([1.0, float("nan"), 0.0]) == f"{BARS[-1]} {BARS[0]}"
    assert sparkline([2.0] * 3) == 3 * BARS[0]
    assert sparkline([]) == ""
    long = sparkline([float(value) for value in range(1000)], width=10)
    assert len(long) == 10
    assert (long[0], long[-1]) == (BARS[0], BARS[-1])
