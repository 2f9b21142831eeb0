import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vivavoce.audio import read_audio
from vivavoce.corpus.manifest import read_rows, write_rows
from vivavoce.corpus.metadata import Kind

from ..conftest import SmallDisk
from ..tiny import KINDS, Tiny, assert_refused, run_cli, snapshot, unchanged


@pytest.fixture
def copied_run(tiny: Tiny, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.run, tmp_path / "copied-run"))


def losses(run: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_json_is_one_document_and_the_only_thing_on_standard_output(tiny):
    printed = tiny.printed.json
    assert printed["run"] == str(tiny.run)
    assert 0 <= printed["validation"]["speaker_eer"] <= 1
    assert 0 <= printed["validation"]["liveness_eer"] <= 1
    assert [(line["epoch"], line["split"]) for line in printed["metrics"]] == [
        (epoch, split) for epoch in (1, 2) for split in ("train", "validation")
    ]


def test_a_run_is_a_folder_with_what_it_needs(tiny):
    names = {str(path.relative_to(tiny.run)) for path in tiny.run.rglob("*") if path.is_file()}
    needed = {"config.yaml", "manifests.json", "metrics.jsonl", "calibration.json", "checkpoints/best.safetensors"}
    assert needed <= names
    assert not [name for name in names if ".tmp-" in name]
    scalars = EventAccumulator(str(tiny.run / "tensorboard")).Reload()
    assert [event.step for event in scalars.Scalars("train/loss")] == [1, 2]
    recorded = [line["liveness_eer"] for line in losses(tiny.run) if line["split"] == "validation"]
    assert [event.value for event in scalars.Scalars("validation/liveness_eer")] == pytest.approx(recorded)


def test_people_get_the_figures_in_words(copied_run, tiny):
    result = run_cli("train", tiny.config, "--out", copied_run, "--resume")
    assert result.code == 0
    assert "speaker EER" in result.out
    assert "liveness EER" in result.out


def test_other_features_and_norms_go_all_the_way_to_a_verdict(tiny: Tiny, tmp_path: Path) -> None:
    """MFCC with deltas of both orders, ranges fitted in training and carried in the weights, to evaluate and verify."""
    run = tmp_path / "run"
    settings = (
        *("front_end.voice={type: mfcc, num_ceps: 20}", "front_end.deltas=2", "training.speed_factors=[1.0]"),
        *("model.voice_norm={type: minmax}", "model.echo_norm={type: minmax}", "training.epochs=1"),
    )
    words = [word for setting in settings for word in ("--set", setting)]
    assert run_cli("train", tiny.config, "--out", run, *words).code == 0
    result = run_cli("evaluate", run, tiny.test, "--json")
    assert result.code == 0, result.err
    shares = result.json["out_of_range"]
    assert shares.keys() == {"voice", "echo"}
    assert all(0 <= share < 0.2 for share in shares.values())
    told = [note for note in result.json["notes"] if "outside the range" in note]
    assert len(told) == sum(share > 1e-3 for share in shares.values())
    live = tiny.recordings("live", tiny.speakers[0])
    verdict = run_cli("verify", run, "--enrol", *live[:3], "--test", live[3], "--json")
    assert verdict.code == 0, verdict.err
    refused = run_cli("train", tiny.config, "--out", tmp_path / "warped", "--set", "front_end.deltas=1")
    assert_refused(refused, "training.speed_factors", "front_end.deltas")


def test_a_gate_is_taught_only_where_there_is_one_and_something_to_teach_it(tiny, tmp_path):
    out = tmp_path / "run"
    taught = ("train", tiny.config, "--out", out, "--set", "correlation.gate_weight=0.5")
    assert_refused(run_cli(*taught), "correlation.gate_weight", "the head lstm has none", "sync or fused")
    rows = read_rows(tiny.train)
    in_hands = [
        replace(row, meta=row.meta.model_copy(update={"kind": Kind.REPLAY_HANDHELD})) if row.meta.kind.is_still else row
        for row in rows
    ]
    assert in_hands != rows
    write_rows(in_hands, tmp_path / "hands.jsonl.gz")
    sync = ("--set", "model={name: ecapa-sync, head: {channels: 16}}")
    hands = ("--set", f"data.train={tmp_path / 'hands.jsonl.gz'}")
    assert_refused(run_cli(*taught, *sync, *hands), "correlation.gate_weight", "replay_stand", "hands.jsonl.gz")
    assert not out.exists()


def test_an_existing_run_is_not_overwritten(tiny):
    with unchanged(tiny.run):
        assert_refused(run_cli("train", tiny.config, "--out", tiny.run), "already holds a training run", "--resume")


def test_a_folder_with_something_else_is_not_written_into(tiny, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with unchanged(tmp_path):
        assert_refused(run_cli("train", tiny.config, "--out", tmp_path), "is not an empty folder")


def test_resume_needs_a_run_and_the_same_config(tiny, copied_run, tmp_path):
    assert_refused(run_cli("train", tiny.config, "--out", tmp_path / "none", "--resume"), "There is no run folder")
    assert not (tmp_path / "none").exists()
    with unchanged(copied_run):
        words = ("train", tiny.config, "--out", copied_run, "--resume", "--set", "training.epochs=3")
        says = "training.epochs is 2 there and 3 here, and rate, margins and negatives follow the length of a run"
        assert_refused(run_cli(*words), f"differs from the configuration given: {says}")
        words = ("train", tiny.config, "--out", copied_run, "--resume", "--set", "seed=1")
        assert_refused(run_cli(*words), "differs from the configuration given: seed is 0 there and 1 here; resume")


def test_a_longer_run_takes_the_features_of_a_shorter_one(tiny, copied_run, tmp_path):
    """As the docs say of a run that was too short, since it cannot be lengthened."""
    sets = ("--set", "training.epochs=3", "--set", f"features.store={copied_run / 'features' / 'train'}")
    result = run_cli("train", tiny.config, "--out", tmp_path / "longer", *sets)
    assert result.code == 0, result.err
    assert not (tmp_path / "longer" / "features" / "train").exists()


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_run_killed_in_any_step_goes_on_to_the_same_losses(tiny, tmp_path, step):
    """A real SIGKILL, in the middle of the first epoch or of the second."""
    run = tmp_path / "run"
    program = f"""
import os, signal, sys, torch
torch.set_num_threads({torch.get_num_threads()})  # another number adds in another order
from vivavoce.training.learner import Learner
learn = Learner.learn
def learn_or_die(learner, losses):
    learn(learner, losses)
    if learner.updates == {step} + 1:
        os.kill(os.getpid(), signal.SIGKILL)
Learner.learn = learn_or_die
sys.argv = ["vivavoce", "train", {str(tiny.config)!r}, "--out", {str(run)!r}, "--set", "training.checkpoint_every_s=0"]
from vivavoce.cli import main; main()
"""
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    # How many processes help, and how often a checkpoint is written, is free to change.
    words = ("train", tiny.config, "--out", run, "--resume", "--set", "training.workers=2")
    assert run_cli(*words).code == 0
    assert losses(run) == losses(tiny.run)
    for name in ("calibration.json", "checkpoints/best.safetensors"):
        assert (run / name).read_bytes() == (tiny.run / name).read_bytes()


def test_resuming_a_finished_run_changes_no_figure(tiny, copied_run):
    result = run_cli("train", tiny.config, "--out", copied_run, "--resume", "--json")
    assert result.code == 0
    assert result.json["metrics"] == tiny.printed.json["metrics"]
    assert result.json["validation"] == tiny.printed.json["validation"]


def test_overrides_reach_the_run(tiny, tmp_path):
    words = ("--set", "training.epochs=1", "--set", "model.name=xvector-linear", "--set", "seed=5")
    config = tmp_path / "plain.yaml"
    tree = yaml.safe_load(tiny.config.read_text())
    config.write_text(yaml.safe_dump({**tree, "model": {"trunk": {"channels": 16, "pooled_channels": 16}}}))
    result = run_cli("train", config, "--out", tmp_path / "run", "--json", *words)
    assert result.code == 0, result.err
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (kept["seed"], kept["training"]["epochs"], kept["model"]["name"]) == (5, 1, "xvector-linear")
    assert kept["model"]["trunk"]["channels"] == 16
    assert {line["epoch"] for line in result.json["metrics"]} == {1}


@pytest.mark.parametrize(("task", "other"), [("liveness", "speaker"), ("speaker", "liveness")])
def test_one_task_alone_is_trained_to_its_end(tiny, tmp_path, task, other):
    words = ("--set", f"training.tasks=[{task}]", "--set", "training.epochs=1")
    result = run_cli("train", tiny.config, "--out", tmp_path / "run", *words)
    assert result.code == 0, result.err
    assert f"{task} EER" in result.out
    assert f"{other} EER" not in result.out
    kept = json.loads((tmp_path / "run" / "calibration.json").read_text())
    assert kept[task]["n_target"] > 0
    assert kept[other] is None
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert not [name for line in lines for name in line if other in name]


def test_kinds_that_are_held_out_are_not_trained_on(tiny, tmp_path):
    words = ("--set", "training.held_out=[replay_stand]")
    result = run_cli("train", tiny.config, "--out", tmp_path / "run", "--json", *words)
    assert_refused(result, "0 attacks", "training.held_out")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("training.epoch=3", ["training.epoch", "unknown", "did you mean epochs?"]),
        ("model.trunk.chanels=32", ["model.trunk.chanels", "unknown", "channels"]),
        ("training.epochs=many", ["training.epochs", "'many'", "integer"]),
        ("training.epochs=0", ["training.epochs", "0", "greater than or equal to 1"]),
        ("training.negatives.shift_s=[0.05, 1.0]", ["training.negatives.shift_s", "would be noise"]),
        ("training.negatives.swap=-1", ["training.negatives.swap", "greater than or equal to 0"]),
        ("training.tasks=[]", ["training.tasks", "speaker, liveness or both"]),
        ("training.held_out=[live]", ["training.held_out", "nothing to train on"]),
        ("training.swaps=1", ["training.swaps", "older version", "training.negatives"]),
        ("training.speed_factors=[0.0]", ["training.speed_factors", "between 0.5 and 2"]),
        ("training.speaker_crop_s=.inf", ["training.speaker_crop_s", "inf", "less than or equal to 600"]),
        ("training.liveness_crop_s=.nan", ["training.liveness_crop_s", "nan"]),
        ("training.validation_crop_s=.inf", ["training.validation_crop_s", "inf"]),
        ("training.learning_rate=.inf", ["training.learning_rate", "finite"]),
        ("seed=18446744073709551616", ["seed", "less than 4294967296"]),
        ("model.name=resnet", ["model", "resnet", "ecapa-lstm"]),
        ("model.trunk.scale=3", ["model.trunk", "multiple of scale"]),
        ("model.trunk.dilations=[0]", ["model.trunk.dilations", "greater than 0"]),
        ("model.head.groups=5", ["model.head", "multiple of groups"]),
        ("front_end.voice.frame_shift_ms=20", ["front_end", "voice.frame_shift_ms must be 10.0"]),
        ("front_end.voice.low_freq=9000", ["low_freq"]),
        ("nonsense", ["nonsense", "key=value"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_impossible_config_is_refused_by_the_path_of_its_key(tiny, tmp_path, override, parts):
    result = run_cli("train", tiny.config, "--out", tmp_path / "run", "--set", override, "--json")
    assert_refused(result, *parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("data: {train: a.jsonl", ["is not valid YAML"]),
        ("- a\n- b", ["must be a mapping"]),
        ("seed: 1", ["data", "missing"]),
        ("data: {train: a.jsonl, validation: b.jsonl, tset: c}", ["data.tset", "unknown"]),
        ("data: {train: a.jsonl, validation: b.jsonl}", ["a.jsonl does not exist"]),
    ],
)
def test_a_broken_config_file_is_refused(tmp_path, text, parts):
    (tmp_path / "c.yaml").write_text(text)
    with unchanged(tmp_path):
        assert_refused(run_cli("train", tmp_path / "c.yaml", "--out", tmp_path / "run"), *parts)
    assert_refused(run_cli("train", tmp_path / "none.yaml", "--out", tmp_path / "run"), "cannot be read")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_refused_before_any_work(tiny, tmp_path):
    result = run_cli("train", tiny.config, "--out", tmp_path / "run", "--set", "training.device=cuda")
    assert_refused(result, "training.device", "no usable GPU")
    assert not (tmp_path / "run").exists()


def train_on(tiny: Tiny, tmp_path: Path, train: Path, validation: Path):
    words = ("--set", f"data.train={train}", "--set", f"data.validation={validation}")
    result = run_cli("train", tiny.config, "--out", tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()
    return result


def test_a_manifest_whose_files_moved_is_refused(tiny, tmp_path):
    moved = Path(shutil.copy(tiny.train, tmp_path))
    assert_refused(train_on(tiny, tmp_path, moved, tiny.validation), "are not where it says")
    assert_refused(train_on(tiny, tmp_path, tiny.train, moved), "are not where it says")


def test_a_speaker_in_both_splits_is_refused(tiny, tmp_path):
    rows = read_rows(tiny.validation)
    both = tmp_path / "both.jsonl"
    write_rows([*read_rows(tiny.train), rows[0]], both)
    assert_refused(train_on(tiny, tmp_path, both, tiny.validation), rows[0].speaker, "split by speaker")


@pytest.mark.parametrize("kinds", [{"live"}, {"replay_stand"}])
def test_a_training_split_with_one_class_is_refused(tiny, tmp_path, kinds):
    one = tmp_path / "one.jsonl"
    write_rows([row for row in read_rows(tiny.train) if row.meta.kind in kinds][:6], one)
    assert_refused(train_on(tiny, tmp_path, one, tiny.validation), "the correlation task needs both")


def test_one_training_speaker_is_refused(tiny, tmp_path):
    rows = read_rows(tiny.train)
    one = tmp_path / "one.jsonl"
    write_rows([row for row in rows if row.speaker == rows[0].speaker], one)
    assert_refused(train_on(tiny, tmp_path, one, tiny.validation), "holds 1 speaker")


@pytest.mark.parametrize(
    ("keep", "part"),
    [
        (lambda row, first: row.speaker == first, "non-target"),
        (lambda row, first: row.meta.kind == "live", "attacks"),
        (lambda row, first: row.meta.kind != "live", "live recordings"),
    ],
    ids=["one speaker", "no attack", "nobody live"],
)
def test_a_validation_split_that_sets_no_threshold_is_refused(tiny, tmp_path, keep, part):
    rows = read_rows(tiny.validation)
    short = tmp_path / "short.jsonl"
    write_rows([row for row in rows if keep(row, rows[0].speaker)], short)
    assert_refused(train_on(tiny, tmp_path, tiny.train, short), part)


def test_a_damaged_recording_in_the_manifest_is_named(tiny, tmp_path):
    rows = read_rows(tiny.train)
    shutil.copytree(tiny.train.parent, tmp_path / "train")
    broken = tmp_path / "train" / rows[3].path.relative_to(tiny.train.parent)
    broken.write_bytes(broken.read_bytes()[:20_000])
    result = train_on(tiny, tmp_path, tmp_path / "train" / tiny.train.name, tiny.validation)
    assert_refused(result, broken.name, "truncated")


@pytest.mark.parametrize("name", ["best.safetensors", "trainer.pt"])
def test_a_disk_full_at_the_first_checkpoint_leaves_the_features_alone(tiny, tmp_path, monkeypatch, name):
    real = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name.endswith(name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert_refused(run_cli("train", tiny.config, "--out", tmp_path / "run"), "The disk is full", name)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["features"]
    monkeypatch.undo()
    assert run_cli("train", tiny.config, "--out", tmp_path / "run").code == 0


def test_a_really_full_disk_is_one_sentence_wherever_it_strikes(tiny, small_disk: SmallDisk):
    features = sum(size for size, _ in snapshot(tiny.run / "features").values())
    disk = small_disk(16)
    for kilobytes in (16, features // 1000 + 40, features // 1000 + 500):
        small_disk.resize(kilobytes)
        assert_refused(run_cli("train", tiny.config, "--out", disk / "run"), "The disk is full")
        left = {path.relative_to(disk).parts[:2] for path in disk.rglob("*") if path.is_file()}
        assert left <= {("run", "features")}  # what is whole of them stays
        assert not list(disk.rglob(".tmp-*"))


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None], ids=["empty", "foreign", "cut"])
def test_resuming_from_a_damaged_state_is_refused(tiny, copied_run, damage):
    state = copied_run / "checkpoints" / "trainer.pt"
    state.write_bytes(state.read_bytes()[:-500] if damage is None else damage)
    assert_refused(run_cli("train", tiny.config, "--out", copied_run, "--resume"), "trainer.pt is damaged")


@pytest.mark.parametrize("name", ["steps.jsonl", "metrics.jsonl"])
@pytest.mark.parametrize("line", [b"{", b"[1]", b'{"loss": 1}', b"\xff\xfe"], ids=["cut", "list", "other", "bytes"])
def test_resuming_with_a_damaged_line_is_refused_by_its_number(tiny, copied_run, name, line):
    whole = b'{"epoch": 1, "step": 1}'
    (copied_run / name).write_bytes(b"\n".join([whole, line, whole, b""]))
    before = {path: path.read_bytes() for path in copied_run.glob("*.jsonl")}
    result = run_cli("train", tiny.config, "--out", copied_run, "--resume")
    assert_refused(result, f"{name} is damaged in line 2", "remove that line")
    assert before == {path: path.read_bytes() for path in copied_run.glob("*.jsonl")}


def test_resuming_from_a_foreign_state_is_refused(tiny, copied_run):
    torch.save({"something": "else"}, copied_run / "checkpoints" / "trainer.pt")
    assert_refused(run_cli("train", tiny.config, "--out", copied_run, "--resume"), "trainer.pt is damaged")


def test_a_disk_full_while_simulating_is_one_sentence_and_the_same_command_goes_on(tiny, small_disk: SmallDisk):
    disk = small_disk(1000)
    source, seed = tiny.folder / "splits" / "test.jsonl.gz", 2
    words = ("simulate", source, "--out", disk / "test", "--workers", 1, "--seed", seed, "--set", KINDS)
    words = (*words, "--phones", tiny.folder / "voices" / "phones.jsonl", "--alignments", tiny.folder / "a.jsonl")
    result = run_cli(*words)
    assert result.code == 2
    assert "The disk is full" in result.err
    assert "Traceback" not in result.err
    left = [path for path in disk.rglob("*") if path.is_file()]
    assert not [path for path in left if ".tmp-" in path.name or path.name == "manifest.jsonl.gz"]
    for path in left:
        if path.suffix == ".wav":
            read_audio(path)
    small_disk.resize(10_000)
    assert run_cli(*words).code == 0
    for row in read_rows(disk / "test" / "manifest.jsonl.gz"):
        assert row.path.read_bytes() == (tiny.test.parent / row.path.relative_to(disk / "test")).read_bytes()


def test_resuming_from_the_state_of_another_model_is_refused(tiny, copied_run):
    path = copied_run / "checkpoints" / "trainer.pt"
    state = torch.load(path, weights_only=True)
    for part in ("model", "loss"):
        learner = state["learner"]
        changed = {name: value[..., :-1] if value.ndim else value for name, value in learner[part].items()}
        torch.save({**state, "learner": {**learner, part: changed}}, path)
        assert_refused(run_cli("train", tiny.config, "--out", copied_run, "--resume"), "belongs to another model")
