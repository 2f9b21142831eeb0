import csv
import shutil
from pathlib import Path

import pytest

from vivavoce import quickstart as quickstart_module
from vivavoce.corpus.manifest import read_rows
from vivavoce.corpus.metadata import HELD_OUT_KINDS, Kind
from vivavoce.quickstart_plan import Plan, plan_for
from vivavoce.simulate.config import KindCounts, SimulationConfig
from vivavoce.simulate.pools import PoolConfig

from ..synthetic import make_rows
from ..tiny import Result, assert_refused, run_cli, snapshot, speak, unchanged

MODEL = {
    "name": "ecapa-lstm",
    "trunk": {"channels": 16, "pooled_channels": 32, "embedding_dim": 16, "bottleneck": 8},
    "head": {"channels": 16, "groups": 4, "hidden": 16, "dilations": [1, 2]},
}
TRAINING = {"liveness_batch": 12, "speaker_batch": 16, "liveness_crop_s": 1.5, "speaker_crop_s": 1.0, "device": "cpu"}


def tiny_plan(rows, synthetic: bool, epochs: int | None = None) -> Plan:
    counts = dict.fromkeys(("replay_handheld", "swapped_mouth", "shifted", "recorded_ultrasound", "probe_jammed"), 0.0)
    kinds = KindCounts(live=1, replay_stand=0.5, probe_absent=0.25, **counts)
    simulation = SimulationConfig(kinds=kinds, pools=PoolConfig(half="seen"))
    test = SimulationConfig(kinds=kinds, pools=PoolConfig(half="unseen"))
    return Plan(simulation, test, MODEL, {**TRAINING, "epochs": epochs or 2})


def made(out: Path) -> dict[str, tuple[int, int]]:
    """Recordings and checkpoints, with their times of change."""
    costly = (".wav", ".safetensors", ".pt", ".npy")
    return {path: stamp for path, stamp in snapshot(out).items() if path.endswith(costly)}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart") / "out"


@pytest.fixture(scope="module")
def done(out: Path) -> Result:
    """The whole way with the smallest sizes, its voices few and short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quickstart_module, "plan_for", tiny_plan)
        patch.setattr(quickstart_module, "make_voices", lambda folder, seed: speak(folder, speakers=10))
        result = run_cli("quickstart", "--out", out, "--workers", 1, "--json")
        assert result.code == 0, result.err
        before = made(out)
        again = run_cli("quickstart", "--out", out, "--workers", 2, "--json")
        assert again.code == 0, again.err
        assert made(out) == before  # a second call does nothing twice
        assert again.json["verdicts_shown"] == result.json["verdicts_shown"]
    return result


def test_json_is_one_document_with_four_verdicts(done, out):
    printed = done.json
    shown = printed["verdicts_shown"]
    assert [row["truth"] for row in shown] == ["target", "replay_stand", "nontarget", "probe_absent"]
    assert [row["expected"] for row in shown] == ["accept", "not_live", "not_the_speaker", "abstain"]
    assert shown[3]["verdict"] == "abstain"
    assert shown[3]["liveness_score"] is None
    assert printed["report"] == str(out / "run" / "report.html")
    assert printed["command"] == "vivavoce quickstart --seed 0"
    assert printed["speaker"]["n_target"] > 0


def test_the_report_shows_the_four_verdicts(done, out):
    html = (out / "run" / "report.html").read_text()
    for row in done.json["verdicts_shown"]:
        assert row["file"] in html


def test_what_happens_is_told_on_standard_error(done):
    for stage in ("Simulating", "Training", "Verifying", "Evaluating"):
        assert stage in done.err


def test_no_speaker_is_in_two_splits_and_the_shown_one_is_unseen(done, out):
    speakers = {
        name: {row.speaker for row in read_rows(out / "recordings" / name / "manifest.jsonl.gz")}
        for name in ("train", "validation", "test")
    }
    assert not speakers["train"] & speakers["validation"]
    assert not speakers["test"] & (speakers["train"] | speakers["validation"])
    assert done.json["verdicts_shown"][0]["file"].split("-")[0] in speakers["test"]


def test_a_corpus_too_small_is_refused_before_anything_is_simulated(tmp_path):
    table = speak(tmp_path / "voices", speakers=4)
    assert_refused(run_cli("quickstart", "--corpus", table, "--out", tmp_path / "out"), "too small", "speakers")
    assert not (tmp_path / "out" / "recordings").exists()


def test_a_corpus_that_is_none_is_refused(tmp_path):
    words = ("quickstart", "--out", tmp_path / "out", "--json", "--corpus")
    (tmp_path / "empty").mkdir()
    (tmp_path / "loose").mkdir()
    speak(tmp_path / "voices", speakers=1)
    shutil.copy(next((tmp_path / "voices").glob("*.wav")), tmp_path / "loose")
    with (tmp_path / "odd.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "who"], ["a.wav", "me"]])
    with unchanged(tmp_path):
        assert_refused(run_cli(*words, tmp_path / "none.csv"), "does not exist")
        assert_refused(run_cli(*words, tmp_path / "empty"), "no wav, flac or ogg")
        assert_refused(run_cli(*words, tmp_path / "loose"), "no speaker's folder")
        assert_refused(run_cli(*words, tmp_path / "odd.csv"), "speaker")


def test_the_plan_makes_what_is_shown_for_the_smallest_speaker():
    rows = make_rows(["a", "b"], ["live"], utterances=4)
    plan = plan_for(rows, synthetic=False)
    assert plan.simulation.kinds.probe_absent == 0.25
    assert plan_for(rows * 10, synthetic=False).simulation.kinds.probe_absent == 0.15
    assert plan_for(rows, synthetic=True, epochs=7).training["epochs"] == 7
    assert plan.training["epochs"] != 7


def test_the_test_has_what_training_never_meets():
    plan = plan_for(make_rows(["a", "b"], ["live"], utterances=4), synthetic=True)
    assert (plan.simulation.pools.half, plan.test.pools.half) == ("seen", "unseen")
    trained, tested = ({kind for kind, _ in config.kinds.items()} for config in (plan.simulation, plan.test))
    assert not trained & {*HELD_OUT_KINDS}
    assert tested == {*Kind}
