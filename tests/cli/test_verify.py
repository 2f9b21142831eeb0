import json
import os
import shutil
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import yaml

from vivavoce.audio import read_audio, write_wav

from ..tiny import Result, Tiny, assert_refused, run_cli, unchanged


@pytest.fixture(scope="module")
def live(tiny: Tiny) -> list[Path]:
    return tiny.recordings("live", tiny.speakers[0])


def verify(run: Path, enrol: list[Path], test: Path, *words: object) -> Result:
    return run_cli("verify", run, "--enrol", *enrol, "--test", test, *words)


def test_json_is_the_verdict_and_nothing_else(tiny, live):
    result = verify(tiny.run, live[:3], live[3], "--json")
    assert result.code == 0, result.err
    verdict = result.json
    assert verdict["verdict"] in ("accept", "not_the_speaker", "not_live", "abstain")
    assert {"reason", "speaker_score", "speaker_threshold", "liveness_score", "probe_snr_db"} <= verdict.keys()


def test_the_names_behind_enrol_may_come_in_any_of_the_usual_ways(tiny, live):
    behind_one = verify(tiny.run, live[:3], live[3], "--json").json
    each = ("--enrol", live[0], "--enrol", live[1], "--enrol", live[2])
    assert run_cli("verify", tiny.run, *each, "--test", live[3], "--json").json == behind_one
    assert run_cli("verify", tiny.run, "--test", live[3], "--json", "--enrol", *live[:3]).json == behind_one
    alone = verify(tiny.run, live[:1], live[3], "--json").json
    assert alone["speaker_score"] != behind_one["speaker_score"]


def test_the_run_may_be_named_anywhere(tiny, live):
    first = verify(tiny.run, live[:3], live[3], "--json").json
    assert run_cli("verify", "--enrol", *live[:3], "--test", live[3], tiny.run, "--json").json == first
    assert run_cli("verify", "--test", live[3], "--enrol", *live[:3], tiny.run, "--json").json == first
    assert run_cli("verify", "--json", tiny.run, f"--enrol={live[0]}", *live[1:3], "--test", live[3]).json == first


def test_a_second_recording_behind_test_is_refused_and_never_enrolled(tiny, live):
    for words in (
        (tiny.run, "--enrol", *live[:2], "--test", live[2], live[3]),
        ("--enrol", *live[:2], "--test", live[2], live[3], tiny.run),
    ):
        assert_refused(run_cli("verify", *words), "Several recordings are behind --test", "--together")
    strayed = run_cli("verify", tiny.run, live[3], "--enrol", *live[:2], "--test", live[2])
    assert_refused(strayed, f"{live[3]} belongs to no option")
    assert_refused(
        run_cli("verify", tiny.run, "--enrol", *live[:2], tiny.run, "--test", live[2]), f"{tiny.run} belongs"
    )


def test_several_recordings_are_decided_on_together(tiny, live):
    words = ("verify", tiny.run, "--enrol", *live[:2], "--test", live[2], live[3], "--together")
    found = run_cli(*words, "--json").json
    assert [one["file"] for one in found["recordings"]] == [str(live[2]), str(live[3])]
    alone = verify(tiny.run, live[:2], live[2], "--json").json
    assert {key: found["recordings"][0][key] for key in alone if key != "notes"} == {
        key: value for key, value in alone.items() if key != "notes"
    }
    each = run_cli(*words[:5], "--test", live[2], "--test", live[3], "--together", "--json").json
    assert each == found
    sure = run_cli(*words, "--false-accept", "1e-6", "--false-reject", "1e-6", "--json").json
    assert sure["verdict"] == "abstain"
    assert sure["needed"] > found["needed"]
    people = run_cli(*words, "--false-accept", "1e-6", "--false-reject", "1e-6").out
    assert "Together: undecided" in people
    assert "Say another sentence." in people
    assert_refused(run_cli("verify", tiny.run, "--test", live[2]), "Nobody is enrolled")


def test_recordings_without_an_answer_decide_nothing_together(tiny, live):
    absent = tiny.recordings("probe_absent")[0]
    found = run_cli("verify", tiny.run, "--enrol", *live[:2], "--test", absent, "--together", "--json").json
    assert found["verdict"] == "abstain"
    assert found["log_ratio"] == 0
    assert found["recordings"][0]["abstained"] == "absent"
    assert found["advice"].startswith("Turn the media volume up")
    assert found["advice"].endswith("Say another sentence.")


def test_a_prior_moves_the_probabilities_alone(tiny, live):
    even, rare = (verify(tiny.run, live[:3], live[3], "--json", *words).json for words in ((), ("--prior", "0.01")))
    assert rare["verdict"] == even["verdict"]
    assert rare["liveness_probability"] < even["liveness_probability"]
    assert rare["speaker_probability"] < even["speaker_probability"]


def test_people_get_the_verdict_with_its_reason(tiny, live):
    result = verify(tiny.run, live[:3], tiny.recordings("probe_absent")[0])
    assert result.code == 0
    assert result.out.startswith("abstain")
    assert "no probe" in result.out
    assert "threshold" in result.out


def test_known_tones_are_taken_from_the_command_line(tiny, live):
    told = verify(tiny.run, live[:3], live[3], "--probe-hz", "18037 19963", "--json").json
    assert told["verdict"] == "abstain"
    for wrong in ("loud", "18000;19000", "nan", "-5", ""):
        assert_refused(verify(tiny.run, live[:3], live[3], f"--probe-hz={wrong}"), "--probe-hz")


def test_as_a_process(tiny, live):
    command = [sys.executable, "-m", "vivavoce", "verify", tiny.run, "--enrol", *live[:2], "--test"]
    done = subprocess.run([*command, live[3], "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == verify(tiny.run, live[:2], live[3], "--json").json
    assert done.stdout.count("\n") == 1
    words = [sys.executable, "-m", "vivavoce", "import", "table", "ghost.csv", "--out", "m.jsonl", "--json"]
    failed = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.startswith("Error: ")
    assert failed.stderr.count("\n") == 1


# Bad recordings: a function that makes one at a path, and what the sentence must say.


def missing(path: Path, good: np.ndarray) -> None:
    pass


def empty(path: Path, good: np.ndarray) -> None:
    path.write_bytes(b"")


def truncated(path: Path, good: np.ndarray) -> None:
    write_wav(path, good, 48_000)
    path.write_bytes(path.read_bytes()[:50_000])


def not_audio(path: Path, good: np.ndarray) -> None:
    path.write_text("this is a letter, not a sound\n" * 100)


def zero_length(path: Path, good: np.ndarray) -> None:
    write_wav(path, good[:0], 48_000)


def all_zero(path: Path, good: np.ndarray) -> None:
    write_wav(path, np.zeros(96_000), 48_000)


def not_a_number(path: Path, good: np.ndarray) -> None:
    bad = good.copy()
    bad[1000] = np.nan
    sf.write(path, bad, 48_000, subtype="FLOAT")


def infinite(path: Path, good: np.ndarray) -> None:
    bad = good.copy()
    bad[1000] = np.inf
    sf.write(path, bad, 48_000, subtype="FLOAT")


def clipped(path: Path, good: np.ndarray) -> None:
    write_wav(path, np.clip(good * 100, -1, 1), 48_000)


def six_hours(path: Path, good: np.ndarray) -> None:
    """Whole by its header and its size, but nothing is on the disk."""
    samples = 6 * 3600 * 48_000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.setnframes(samples)
        file.writeframesraw(b"")
        file._datawritten = 2 * samples  # type: ignore[attr-defined]
    os.truncate(path, 44 + 2 * samples)


def too_low_a_rate(path: Path, good: np.ndarray) -> None:
    sf.write(path, good[::12], 4_000)


def folder(path: Path, good: np.ndarray) -> None:
    path.mkdir()


BAD = {
    missing: "does not exist",
    empty: "is empty (0 bytes)",
    truncated: "is truncated or damaged",
    not_audio: "is not a sound file",
    zero_length: "zero length",
    all_zero: "is silent",
    not_a_number: "NaN or infinite",
    infinite: "NaN or infinite",
    clipped: "is clipped",
    six_hours: "is 6 hours long",
    too_low_a_rate: "sample rate of 4000 Hz",
    folder: "is a folder",
}


@pytest.mark.parametrize(("make", "said"), BAD.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_recording_is_one_sentence_with_its_name(tiny, live, tmp_path, make, said):
    good, _ = read_audio(live[3])
    bad = tmp_path / "bad.wav"
    make(bad, good)
    began = time.process_time()
    with unchanged(tmp_path):
        assert_refused(verify(tiny.run, live[:3], bad, "--json"), "bad.wav", said)
        assert_refused(verify(tiny.run, [*live[:2], bad], live[3], "--json"), "bad.wav", said)
    assert time.process_time() - began < 5


def test_telephone_speech_is_accepted_as_voice_only(tiny, live, tmp_path):
    good, _ = read_audio(live[3])
    write_wav(tmp_path / "phone.wav", good.reshape(-1)[: len(good) // 6 * 6].reshape(-1, 6).mean(axis=1), 8_000)
    verdict = verify(tiny.run, live[:3], tmp_path / "phone.wav", "--json").json
    assert verdict["verdict"] == "abstain"
    assert "no ultrasound band" in verdict["reason"]
    assert verdict["liveness_score"] is None
    assert -1 <= verdict["speaker_score"] <= 1


def test_a_stereo_recording_is_read_at_the_channel_asked_for(tiny, live, tmp_path):
    stereo = []
    for path in live:
        samples, rate = read_audio(path)
        stereo.append(tmp_path / path.name)
        sf.write(stereo[-1], np.stack([np.zeros_like(samples), samples], axis=1), rate, subtype="FLOAT")
    own = verify(tiny.run, live[:3], live[3], "--json").json
    assert verify(tiny.run, stereo[:3], stereo[3], "--channel", 1, "--json").json == own
    assert_refused(verify(tiny.run, stereo[:3], stereo[3]), "is silent")
    assert_refused(verify(tiny.run, stereo[:3], stereo[3], "--channel", 2), "no channel 2", "0 to 1")


def test_an_enrolment_shorter_than_a_second_is_refused(tiny, live, tmp_path):
    good, rate = read_audio(live[0])
    write_wav(tmp_path / "short.wav", good[: int(0.95 * rate)], rate)
    assert_refused(verify(tiny.run, [*live[1:3], tmp_path / "short.wav"], live[3]), "short.wav", "at least 1 s")


@pytest.fixture
def run(tiny: Tiny, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.run, tmp_path / "run", ignore=shutil.ignore_patterns("features")))


def test_a_folder_that_is_no_run_is_refused(live, tmp_path):
    (tmp_path / "file").write_text("x")
    assert_refused(verify(tmp_path / "none", live[:3], live[3]), "There is no run folder")
    assert_refused(verify(tmp_path / "file", live[:3], live[3]), "There is no run folder")
    assert_refused(verify(tmp_path, live[:3], live[3]), "is not a run folder")


def test_a_run_that_has_not_ended_is_refused(run, live):
    (run / "calibration.json").unlink()
    assert_refused(verify(run, live[:3], live[3]), "training has not ended")
    (run / "checkpoints" / "best.safetensors").unlink()
    assert_refused(verify(run, live[:3], live[3]), "best.safetensors is missing")


@pytest.mark.parametrize("name", ["xvector-lstm", "ecapa-lstm"])
def test_a_checkpoint_of_another_model_is_refused(run, live, name):
    from safetensors.torch import save_file

    from vivavoce.models.joint import ModelConfig

    sizes = {"channels": 24, "pooled_channels": 32, "embedding_dim": 16}
    model = ModelConfig.model_validate({"name": name, "trunk": sizes}).build(80, 24)
    save_file(model.state_dict(), run / "checkpoints" / "best.safetensors")
    assert_refused(verify(run, live[:3], live[3]), "best.safetensors belongs to another model")


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "header"])
def test_a_damaged_checkpoint_is_refused(run, live, damage):
    path = run / "checkpoints" / "best.safetensors"
    whole = path.read_bytes()
    path.write_bytes(
        {"cut": whole[:-1000], "empty": b"", "foreign": b"PK" + bytes(500), "header": b"\xff" * 16 + whole[16:]}[damage]
    )
    assert_refused(verify(run, live[:3], live[3]), "best.safetensors is damaged")


def test_weights_that_are_no_numbers_are_refused(run, live):
    from safetensors.torch import load_file, save_file

    path = run / "checkpoints" / "best.safetensors"
    state = load_file(path)
    state["trunk.embedding.weight"][0, 0] = float("nan")
    save_file(state, path)
    assert_refused(verify(run, live[:3], live[3]), "best.safetensors is damaged", "trunk.embedding.weight")


def test_a_damaged_config_or_calibration_is_refused(run, live):
    config = yaml.safe_load((run / "config.yaml").read_text())
    for text, said in (
        ("seed: [", "is not valid YAML"),
        (yaml.safe_dump({**config, "colour": "red"}), "colour"),
        (yaml.safe_dump({**config, "seed": -1}), "seed"),
    ):
        (run / "config.yaml").write_text(text)
        assert_refused(verify(run, live[:3], live[3]), "config.yaml", said)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "calibration.json").write_text('{"speaker": {"scale": 1')
    assert_refused(verify(run, live[:3], live[3]), "calibration.json is damaged")
