import copy
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr
import torch
import yaml
from safetensors.torch import load_file, save_file

from vivavoce import Verifier
from vivavoce.audio import read_audio, write_wav
from vivavoce.errors import UserError
from vivavoce.evaluation.verdict import Answer, Verdict
from vivavoce.signal.normalize import MinMaxNormConfig

from .tiny import Tiny


@pytest.fixture(scope="module")
def verifier(tiny: Tiny) -> Verifier:
    return Verifier.load(tiny.run)


@pytest.fixture(scope="module")
def live(tiny: Tiny) -> list[Path]:
    """The live recordings of one speaker whom the run has never heard."""
    return tiny.recordings("live", tiny.speakers[0])


@pytest.fixture(scope="module")
def enrolled(verifier: Verifier, live: list[Path]) -> Verifier:
    return verifier.enrol(live[:3])


def changed(source: Path, target: Path, rate: int) -> Path:
    samples, own = read_audio(source)
    write_wav(target, soxr.resample(samples, own, rate), rate)
    return target


def test_the_main_job(tiny, live):
    verdict = Verifier.load(tiny.run).enrol(live[:3]).verify(live[3])
    assert isinstance(verdict, Verdict)
    assert verdict.verdict in Answer
    assert verdict.verdict is not Answer.ABSTAIN
    assert -1 <= verdict.speaker_score <= 1
    assert 0 <= verdict.speaker_probability <= 1
    assert verdict.liveness_score is not None
    assert math.isfinite(verdict.liveness_score)
    assert verdict.probe_snr_db is not None
    assert verdict.reason.endswith(".")


def test_the_verdict_follows_from_scores_and_thresholds(enrolled, tiny):
    for path in tiny.recordings("live") + tiny.recordings("replay_stand"):
        verdict = enrolled.verify(path)
        live = verdict.liveness_score >= verdict.liveness_threshold
        known = verdict.speaker_score >= verdict.speaker_threshold
        expected = Answer.ACCEPT if known else Answer.NOT_THE_SPEAKER
        assert verdict.verdict is (expected if live else Answer.NOT_LIVE)


def test_an_enrolment_with_one_recording_of_itself_scores_one(verifier, live):
    assert verifier.enrol(live[:1]).verify(live[0]).speaker_score == pytest.approx(1.0, abs=1e-4)


def test_several_enrolments_score_as_their_mean(verifier, live):
    parts = [verifier.enrol([path]).enrolment for path in live[:3]]
    mean = torch.nn.functional.normalize(sum(parts), dim=0)
    torch.testing.assert_close(verifier.enrol(live[:3]).enrolment, mean, atol=1e-4, rtol=1e-4)


def test_the_order_of_enrolment_does_not_matter(verifier, live):
    forward, backward = (verifier.enrol(paths).verify(live[3]) for paths in (live[:3], live[2::-1]))
    assert forward.speaker_score == pytest.approx(backward.speaker_score, abs=1e-5)
    assert forward.verdict is backward.verdict


def test_nothing_is_remembered_from_one_call_to_the_next(verifier, enrolled, tiny, live):
    before = enrolled.verify(live[3])
    other = tiny.recordings("live", tiny.speakers[1])
    verifier.enrol(other[:2]).verify(live[0])
    verifier.enrol(other[1:3])
    for path in tiny.recordings("probe_absent"):
        enrolled.verify(path)
    assert enrolled.verify(live[3]) == before
    assert verifier.enrolment is None


def test_a_fresh_load_gives_the_same_verdict(tiny, enrolled, live):
    again = Verifier.load(str(tiny.run)).enrol([str(path) for path in live[:3]]).verify(str(live[3]))
    assert again == enrolled.verify(live[3])


def test_a_voice_only_recording_abstains_and_still_scores_the_speaker(enrolled, live, tmp_path):
    with_probe = enrolled.verify(live[3])
    for rate in (16_000, 8_000):
        verdict = enrolled.verify(changed(live[3], tmp_path / f"{rate}.wav", rate))
        assert verdict.verdict is Answer.ABSTAIN
        assert "no ultrasound band" in verdict.reason
        assert verdict.liveness_score is None
    voice_only = enrolled.verify(tmp_path / "16000.wav")
    assert voice_only.speaker_score == pytest.approx(with_probe.speaker_score, abs=0.02)


def test_voice_only_recordings_can_be_enrolled(verifier, enrolled, live, tmp_path):
    copies = [changed(path, tmp_path / path.name, 16_000) for path in live[:3]]
    verdict = verifier.enrol(copies).verify(live[3])
    assert verdict.speaker_score == pytest.approx(enrolled.verify(live[3]).speaker_score, abs=0.02)
    assert verdict.liveness_score == enrolled.verify(live[3]).liveness_score


def test_no_probe_abstains_with_the_reason(enrolled, tiny):
    absent = tiny.recordings("probe_absent")
    assert absent
    for path in absent:
        verdict = enrolled.verify(path)
        assert verdict.verdict is Answer.ABSTAIN
        assert "no probe" in verdict.reason


def test_the_same_recording_at_44100_hz_gets_the_same_scores(enrolled, live, tmp_path):
    own, copy = enrolled.verify(live[3]), enrolled.verify(changed(live[3], tmp_path / "copy.wav", 44_100))
    assert copy.verdict is not Answer.ABSTAIN
    assert copy.speaker_score == pytest.approx(own.speaker_score, abs=0.02)
    assert copy.liveness_score == pytest.approx(own.liveness_score, abs=0.05)


def test_flac_and_another_channel_hold_the_same_recording(enrolled, live, tmp_path):
    samples, rate = read_audio(live[3])
    sf.write(tmp_path / "copy.flac", samples, rate)
    sf.write(tmp_path / "stereo.wav", np.stack([np.zeros_like(samples), samples], axis=1), rate, subtype="FLOAT")
    own = enrolled.verify(live[3])
    assert enrolled.verify(tmp_path / "copy.flac") == own
    assert enrolled.verify(tmp_path / "stereo.wav", channel=1) == own
    with pytest.raises(UserError, match="is silent"):
        enrolled.verify(tmp_path / "stereo.wav")
    with pytest.raises(UserError, match="has no channel 2"):
        enrolled.verify(tmp_path / "stereo.wav", channel=2)


def test_tones_that_the_phone_was_not_told_to_play_are_no_probe(enrolled, live):
    verdict = enrolled.verify(live[3], probe_hz=(18_037.0, 19_963.0))
    assert verdict.verdict is Answer.ABSTAIN
    assert "not those of its probe" in verdict.reason or "no probe" in verdict.reason


def test_verify_and_judge_need_an_enrolment(verifier, live):
    with pytest.raises(UserError, match="Nobody is enrolled"):
        verifier.verify(live[0])


def test_an_empty_enrolment_is_refused(verifier):
    with pytest.raises(UserError, match="No recording to enrol"):
        verifier.enrol([])


@pytest.mark.parametrize(("seconds", "role"), [(0.9, "enrolment"), (0.4, "test")])
def test_too_short_recordings_are_refused(verifier, enrolled, live, tmp_path, seconds, role):
    samples, rate = read_audio(live[0])
    start = int(0.4 * rate)
    write_wav(tmp_path / "short.wav", samples[start : start + int(seconds * rate)], rate)
    with pytest.raises(UserError, match=rf"The {role} recording .*short\.wav is 0\.\d0 s long"):
        (enrolled.verify if role == "test" else lambda path: verifier.enrol([path]))(tmp_path / "short.wav")
    if role == "enrolment":  # long enough to be judged
        assert isinstance(enrolled.verify(tmp_path / "short.wav"), Verdict)


def test_a_recording_outside_the_training_range_says_so(enrolled, live):
    run = enrolled.run
    ranged = MinMaxNormConfig().build(run.front_end.echo_channels)
    ranged.low.fill_(-1e4)
    ranged.high.fill_(1e4)
    ours = copy.deepcopy(run.model)
    ours.echo_stats = ranged.eval()
    verifier = Verifier(replace(run, model=ours))
    verifier.enrolment = enrolled.enrolment

    def notes(judge: Verifier) -> list[str]:
        return [note for note in judge.verify(live[3]).notes if "of the echo features lie outside the range" in note]

    assert notes(verifier) == []
    ranged.high.fill_(-30)
    assert len(notes(verifier)) == 1
    ranged.high.fill_(1e4)
    assert notes(verifier) == notes(enrolled) == []


def test_the_accelerometer_beside_a_recording_is_taken_along(tiny, tmp_path, monkeypatch):
    alone, beside = (tmp_path / name for name in ("alone.wav", "beside.wav"))
    for path in (alone, beside):
        shutil.copy(tiny.recordings("live")[0], path)
    (tmp_path / "beside.accel.npz").write_bytes(b"read by the front end, where it asks for it")
    verifier = Verifier.load(tiny.run).enrol(tiny.recordings("live")[:1])
    heard = []
    monkeypatch.setattr(Verifier, "judge", lambda self, wave, *rest: heard.append(wave.sensor))
    verifier.verify(alone)
    verifier.verify(beside)
    assert heard[0] is None
    assert heard[1].path == tmp_path / "beside.accel.npz"


def test_a_run_of_before_the_trunk_had_a_norm_in_front_of_its_pooling_is_loaded_as_it_was(tiny, tmp_path):
    run = shutil.copytree(tiny.run, tmp_path / "run", ignore=shutil.ignore_patterns("features"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    del config["model"]["trunk"]["aggregate_norm"]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    weights = run / "checkpoints" / "best.safetensors"
    kept = {name: value for name, value in load_file(weights).items() if "aggregate_norm" not in name}
    save_file(kept, weights)
    assert Verifier.load(run).run.model.state_dict().keys() == kept.keys()
