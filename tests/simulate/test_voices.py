"""Synthetic voices: clearly different, never twice alike, the same for the same seed, with honest phoneme times."""

import csv
import hashlib
import sys

import numpy as np
import pytest
import soxr

from vivavoce.audio import audio_info, read_audio
from vivavoce.errors import UserError
from vivavoce.simulate import espeak
from vivavoce.simulate.alignment import align, read_phones
from vivavoce.simulate.espeak import VoiceSettings, synthesize
from vivavoce.simulate.phonemes import PHONEMES
from vivavoce.simulate.sentences import SENTENCES
from vivavoce.simulate.spelling import pronounce
from vivavoce.simulate.voices import draw_speakers, make_voices

pytest.importorskip("espeakng_loader")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    table = make_voices(folder, seed=3)
    with table.open(encoding="utf-8") as file:
        return folder, list(csv.DictReader(file))


def test_enough_speakers_sentences_and_sessions(made):
    folder, rows = made
    assert len({row["speaker"] for row in rows}) == 24
    assert len(rows) == 24 * 8
    for row in rows:
        assert 3.0 < audio_info(folder / row["file"]).duration_s < 7.5
        assert row["session"].startswith(row["speaker"])
    for speaker in {row["speaker"] for row in rows}:
        own = [row for row in rows if row["speaker"] == speaker]
        assert len({row["session"] for row in own}) == 2
        assert len({row["sex"] for row in own}) == 1
        assert len({row["text"] for row in own}) == 7  # the pass phrase begins both sessions
    assert {row["sex"] for row in rows} == {"F", "M"}


def test_no_two_recordings_are_the_same_wave(made):
    folder, rows = made
    assert len({hashlib.sha256((folder / row["file"]).read_bytes()).digest() for row in rows}) == len(rows)


def test_the_pass_phrase_twice_by_one_speaker_differs_in_timing(made):
    folder, rows = made
    first = [row for row in rows if row["speaker"] == "v004" and row["phrase"] == "p00"]
    phones = read_phones(folder / "phones.jsonl")
    lengths = [phones[row["file"]][-1].start_s - phones[row["file"]][0].end_s for row in first]
    assert lengths[0] != lengths[1]


def test_phones_cover_each_recording_and_are_arpabet(made):
    folder, rows = made
    phones = read_phones(folder / "phones.jsonl")
    assert set(phones) == {row["file"] for row in rows}
    for row in rows:
        own = phones[row["file"]]
        assert {p.name for p in own} <= set(PHONEMES)
        starts, ends = np.array([p.start_s for p in own]), np.array([p.end_s for p in own])
        assert starts[0] == 0.0
        np.testing.assert_allclose(starts[1:], ends[:-1], atol=1e-5)
        assert (ends >= starts).all()
        assert ends[-1] == pytest.approx(audio_info(folder / row["file"]).duration_s, abs=2e-3)
        assert sum(p.name != "SIL" for p in own) > 25


def test_phone_times_agree_with_a_forced_alignment(made):
    folder, rows = made
    times = read_phones(folder / "phones.jsonl")
    shares = []
    for row in rows[8:40:4]:
        wave, rate = read_audio(folder / row["file"])
        aligned = align(soxr.resample(wave, rate, 16000), row["text"])
        at = np.arange(0, len(wave) / rate - 0.02, 0.01)
        name = [[next((p.name for p in q if p.end_s > t), "SIL") for t in at] for q in (aligned, times[row["file"]])]
        shares.append(np.mean([a == b for a, b in zip(*name, strict=True)]))
    assert np.median(shares) > 0.6  # vowels are named otherwise (AA, AO); a shift by 60 ms gives 0.35


def test_speakers_are_clearly_different(made):
    """Long-term spectra: the nearest two speakers are farther apart than the error of their means, most of them far."""
    folder, rows = made
    spectra: dict[str, list[np.ndarray]] = {}
    for row in rows:
        wave, _ = read_audio(folder / row["file"])
        power = np.abs(np.fft.rfft(wave[: len(wave) // 512 * 512].reshape(-1, 512) * np.hanning(512))) ** 2
        loud = power[power.sum(1) > np.median(power.sum(1))].mean(0)
        level = np.log(loud[2:186].reshape(-1, 8).mean(1))  # up to 8 kHz
        spectra.setdefault(row["speaker"], []).append(level - level.mean())
    means = np.stack([np.mean(own, axis=0) for own in spectra.values()])
    within = np.mean([np.linalg.norm(s - np.mean(own, axis=0)) for own in spectra.values() for s in own])
    between = np.linalg.norm(means[:, None] - means[None], axis=-1) + 1e9 * np.eye(len(means))
    error = within / np.sqrt(len(rows) / len(means))
    assert between.min() > 1.5 * error
    assert np.median(between.min(axis=1)) > 3 * error


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        make_voices(tmp_path / name, speakers=2, sentences=2, seed=seed)
    content = {
        name: [p.read_bytes() for p in sorted((tmp_path / name).rglob("*")) if p.is_file()] for name in ("a", "b", "c")
    }
    assert content["a"] == content["b"]
    assert content["a"] != content["c"]


def test_many_speakers_all_have_their_own_settings():
    people = draw_speakers(80, seed=1)
    assert len({(p.settings, p.formants) for p in people}) == 80
    assert len({p.name for p in people}) == 80


def test_sentences_are_many_and_different():
    assert len(SENTENCES) >= 60
    assert len(set(SENTENCES)) == len(SENTENCES)
    assert all(9 <= len(text.split()) <= 17 for text in SENTENCES)


@pytest.mark.parametrize(("speakers", "sentences"), [(0, 8), (2, 1), (2, 1000)])
def test_impossible_counts_are_refused_before_anything_is_written(tmp_path, speakers, sentences):
    with pytest.raises(UserError, match="cannot be made"):
        make_voices(tmp_path / "out", speakers=speakers, sentences=sentences)
    assert not (tmp_path / "out").exists()


def test_an_unknown_voice_is_named():
    with pytest.raises(UserError, match="no voice 'martian'"):
        synthesize("hello", VoiceSettings("martian"))


def test_without_espeak_the_error_says_what_to_install(monkeypatch, tmp_path):
    espeak._engine.cache_clear()
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    try:
        with pytest.raises(UserError, match=r"pip install \"vivavoce\[voices\]\""):
            make_voices(tmp_path, speakers=1, sentences=2)
    finally:
        espeak._engine.cache_clear()


@pytest.mark.parametrize("word", ["xqzzy", "Zbigniew", "a", "''", "though", "vivavoce"])
def test_any_word_can_be_spelled(word):
    assert pronounce(word)
    assert set(pronounce(word)) <= set(PHONEMES)
