import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vivavoce.corpus.manifest import read_rows, write_rows
from vivavoce.evaluation.scores import read_scores
from vivavoce.evaluation.scoring.plda import Plda
from vivavoce.models.weights.convert import import_checkpoint
from vivavoce.verifier import load_run

from ..corpus.made import made
from ..models.weights.peers import xvector
from ..tiny import Result, Tiny, assert_refused, run_cli, unchanged


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("encoder")
    torch.save(xvector("wespeaker"), folder / "peer.pt")
    import_checkpoint(folder / "peer.pt", "wespeaker").trunk.write(folder / "trunk.safetensors")
    return f"weights:{folder / 'trunk.safetensors'}"


def manifest_of(make_wav, folder: Path, name: str, speakers: int, each: int, rate: int = 16_000) -> Path:
    rows = []
    for speaker in range(speakers):
        for take in range(each):
            place = f"{name}/{speaker}-{take}.wav"
            path = make_wav(place, 0.4, rate, f0_hz=90.0 + 17 * speaker, seed=speaker * each + take)
            rows.append(made(f"{name}{speaker}-{take}", f"{name}{speaker}", path, span=(0.0, 0.4)))
    write_rows(rows, folder / f"{name}.jsonl")
    return folder / f"{name}.jsonl"


@pytest.fixture
def manifest(make_wav, tmp_path) -> Path:
    return manifest_of(make_wav, tmp_path, "user", 3, 5)


def score(*words: object) -> Result:
    result = run_cli("score", *words, "--json")
    assert result.code == 0, result.err
    return result


def test_scores_of_made_trials_are_written(manifest, encoder, tmp_path):
    printed = score(manifest, "--encoder", encoder, "--out", tmp_path / "s.csv").json
    found = read_scores(tmp_path / "s.csv")
    assert printed["trials"] == {"target": 6, "nontarget": 12} == found.trials.counts
    assert printed["recordings"] == printed["embedded"] == 15
    assert printed["scores"] == str(tmp_path / "s.csv")
    assert found.trials.speakers is not None
    assert np.isfinite(found.score).all()
    np.testing.assert_array_equal(found.score, found.speaker)
    assert (np.abs(found.score) <= 1 + 1e-6).all()
    assert found.liveness is None


def test_the_second_time_nothing_is_embedded_and_the_scores_are_the_same(manifest, encoder, tmp_path):
    words = (manifest, "--encoder", encoder, "--cache", tmp_path / "cache", "--out")
    assert score(*words, tmp_path / "a.csv").json["embedded"] == 15
    assert score(*words, tmp_path / "b.csv").json["embedded"] == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_given_trials_are_scored_in_their_order(manifest, encoder, tmp_path):
    rows = read_rows(manifest)
    with (tmp_path / "trials.csv").open("w", newline="") as file:
        lines = [(f"{rows[0].path};{rows[1].path}", rows[7].path, "nontarget"), (rows[0].path, rows[2].path, "target")]
        csv.writer(file).writerows([("enrol", "test", "label"), *lines])
    score(manifest, "--encoder", encoder, "--trials", tmp_path / "trials.csv", "--out", tmp_path / "s.csv")
    found = read_scores(tmp_path / "s.csv")
    assert [(trial.test, trial.label) for trial in found.trials] == [
        (str(rows[7].path), "nontarget"),
        (str(rows[2].path), "target"),
    ]


def test_normalised_scores_need_a_cohort_and_are_others(manifest, encoder, tmp_path, make_wav):
    cohort = manifest_of(make_wav, tmp_path, "other", 22, 1)
    plain, normed = tmp_path / "plain.csv", tmp_path / "normed.csv"
    score(manifest, "--encoder", encoder, "--out", plain)
    options = ("--norm", "as_norm", "--cohort", cohort, "--top", 20)
    printed = score(manifest, "--encoder", encoder, *options, "--out", normed).json
    assert printed["cohort"] == 22
    assert printed["embedded"] == 15 + 22
    raw, found = read_scores(plain), read_scores(normed)
    assert found.trials == raw.trials
    assert not np.allclose(found.score, raw.score)
    with unchanged(tmp_path):
        few = run_cli("score", manifest, "--encoder", encoder, "--norm", "as_norm", "--cohort", cohort, "--out", plain)
        assert_refused(few, "holds 22 embeddings, and as_norm asks for the 300")
        without = run_cli("score", manifest, "--encoder", encoder, "--norm", "s_norm", "--out", plain)
        assert_refused(without, "s_norm", "--cohort")
        unused = run_cli("score", manifest, "--encoder", encoder, "--cohort", cohort, "--out", plain)
        assert_refused(unused, "add --norm")


def test_a_plda_is_fitted_kept_and_used_again(manifest, encoder, tmp_path, make_wav):
    others = manifest_of(make_wav, tmp_path, "other", 6, 6)
    fitted, again, plda = tmp_path / "fitted.csv", tmp_path / "again.csv", tmp_path / "plda.safetensors"
    words = (manifest, "--encoder", encoder, "--plda", plda)
    printed = score(*words, "--plda-train", others, "--out", fitted).json
    assert printed["plda"] == len(Plda.read(plda).between) > 3
    score(*words, "--out", again)
    np.testing.assert_allclose(read_scores(again).score, read_scores(fitted).score, atol=1e-9)
    kept = score(*words, "--plda-train", others, "--lda", 3, "--enrolment", "scores", "--out", again).json
    assert kept["plda"] == 3


def test_a_plda_of_the_users_themselves_or_of_nobody_is_refused(manifest, encoder, tmp_path):
    with unchanged(tmp_path):
        result = run_cli("score", manifest, "--encoder", encoder, "--plda-train", manifest, "--out", tmp_path / "s.csv")
        assert_refused(result, "share 3 speakers", "user0")
        result = run_cli("score", manifest, "--encoder", encoder, "--lda", 3, "--out", tmp_path / "s.csv")
        assert_refused(result, "add --plda-train")


@pytest.mark.parametrize(("encoder", "said"), [("wav2vec", "no encoder 'wav2vec'"), ("weights:none", "no file none")])
def test_a_wrong_encoder_is_refused_and_nothing_is_written(manifest, tmp_path, encoder, said):
    with unchanged(tmp_path):
        assert_refused(run_cli("score", manifest, "--encoder", encoder, "--out", tmp_path / "s.csv"), said)


def test_a_run_gives_its_fused_score_with_its_threshold_and_liveness(tiny: Tiny, tmp_path):
    printed = score(tiny.test, "--encoder", f"run:{tiny.run}", "--out", tmp_path / "s.csv").json
    found, calibration = read_scores(tmp_path / "s.csv"), load_run(tiny.run).calibration
    assert printed["trials"] == found.trials.counts
    assert found.speaker is not None
    assert found.liveness is not None
    absent = np.array([trial.label == "probe_absent" for trial in found.trials])
    assert np.isnan(found.liveness[absent]).all()
    assert np.isfinite(found.liveness[~absent]).any()
    seconds = {str(row.path): row.duration_s for row in read_rows(tiny.test)}
    lengths = np.array([seconds[trial.test] for trial in found.trials])
    fused = calibration.fused(found.speaker, found.liveness, lengths)
    np.testing.assert_allclose(found.score, fused, atol=1e-6)


def test_scores_that_a_run_was_not_calibrated_for_are_not_fused(tiny: Tiny, tmp_path):
    score(tiny.test, "--encoder", f"run:{tiny.run}", "--enrolment", "scores", "--out", tmp_path / "s.csv")
    found = read_scores(tmp_path / "s.csv")
    np.testing.assert_array_equal(found.score, found.speaker)
    assert found.liveness is not None


def test_a_run_is_not_scored_on_what_it_was_trained_on(tiny: Tiny, tmp_path):
    assert_refused(
        run_cli("score", tiny.train, "--encoder", f"run:{tiny.run}", "--out", tmp_path / "s.csv"), "--allow-leak"
    )
    assert not (tmp_path / "s.csv").exists()


def test_people_read_counts_and_where_the_scores_are(manifest, encoder, tmp_path):
    result = run_cli("score", manifest, "--encoder", encoder, "--out", tmp_path / "s.csv")
    assert result.code == 0, result.err
    assert "15 recordings" in result.out
    assert "6 target, 12 nontarget" in result.out
    assert str(tmp_path / "s.csv") in result.out


def test_a_recording_of_48_khz_and_of_another_channel_is_brought_to_the_encoder_s_rate(make_wav, encoder, tmp_path):
    slow, fast = (manifest_of(make_wav, tmp_path, f"at{rate}", 2, 4, rate) for rate in (16_000, 48_000))
    for manifest in (slow, fast):
        score(manifest, "--encoder", encoder, "--out", manifest.with_suffix(".csv"))
    shutil.rmtree(tmp_path / "at48000")
    assert_refused(run_cli("score", fast, "--encoder", encoder, "--out", tmp_path / "s.csv"), "8 of the 8 sound files")
