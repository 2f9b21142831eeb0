from dataclasses import replace

import numpy as np
import pytest
import soundfile as sf

from vivavoce.encoders import embedding
from vivavoce.encoders.embedding import embed_rows
from vivavoce.errors import UserError
from vivavoce.evaluation.scoring.voice import read_voice

from .given import Loudness, row_of


@pytest.fixture
def rows(make_wav):
    return [row_of(make_wav(f"{n}.wav", 1.0, f0_hz=100.0 + 30 * n, seed=n), str(n)) for n in range(5)]


def test_rows_keep_their_order_and_each_recording_is_embedded_once(rows):
    encoder = Loudness()
    listed = [rows[3], rows[0], rows[3], rows[1]]
    found = embed_rows(listed, encoder)
    assert found.computed == len(encoder.asked) == 3
    for row, vector in zip(listed, found.vectors, strict=True):
        np.testing.assert_array_equal(vector, Loudness().embed([read_voice(row)])[0])


def test_the_cache_serves_the_second_time_and_only_the_same_encoder(rows, tmp_path):
    first = embed_rows(rows, Loudness(), tmp_path / "cache")
    again = embed_rows(rows, Loudness(), tmp_path / "cache")
    assert (first.computed, again.computed) == (5, 0)
    np.testing.assert_array_equal(again.vectors, first.vectors)
    assert embed_rows(rows, Loudness(fingerprint="b" * 64), tmp_path / "cache").computed == 5


def test_a_changed_file_is_embedded_anew_and_the_others_are_not(rows, tmp_path, make_wav):
    before = embed_rows(rows, Loudness(), tmp_path / "cache").vectors
    make_wav("2.wav", 1.0, f0_hz=300.0, seed=9)
    after = embed_rows(rows, Loudness(), tmp_path / "cache")
    assert after.computed == 1
    assert (after.vectors != before).any(axis=1).tolist() == [False, False, True, False, False]


def test_what_was_embedded_before_an_error_is_kept(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(embedding, "ROWS_BETWEEN_WRITES", 2)
    sf.write(rows[4].path, np.zeros(48_000), 48_000)
    with pytest.raises(UserError, match=r"recording 4 \(.*4\.wav\) is silent"):
        embed_rows(rows, Loudness(), tmp_path / "cache")
    assert embed_rows(rows[:4], Loudness(), tmp_path / "cache").computed == 0


@pytest.mark.parametrize("vector", [np.nan, np.inf, 0.0])
def test_a_recording_in_which_no_voice_is_found_is_named(rows, vector, monkeypatch):
    def embed(self, waves):
        found = np.ones((len(waves), 2), np.float32)
        found[1] = vector
        return found

    monkeypatch.setattr(Loudness, "embed", embed)
    with pytest.raises(UserError, match=r"loudness finds no voice in the recording 1 \(.*1\.wav\)"):
        embed_rows(rows, Loudness())


def test_a_recording_that_is_too_short_is_named(make_wav):
    with pytest.raises(UserError, match=r"a \(.*short\.wav\) is 0\.050 s long, and 0\.1 s is the least"):
        embed_rows([row_of(make_wav("short.wav", 0.05), seconds=0.05)], Loudness())


def test_no_row_is_a_mistake_of_the_program():
    with pytest.raises(ValueError, match="no recording"):
        embed_rows([], Loudness())


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_the_voice_comes_at_the_rate_that_is_asked_for(make_wav, rate):
    row = row_of(make_wav(f"{rate}.wav", 1.0, rate), rate=rate)
    voice = read_voice(row, 16_000)
    assert voice.dtype == np.float32
    assert len(voice) == pytest.approx(16_000, abs=1)


def test_no_probe_is_left_in_the_voice_and_the_channel_is_the_row_s(tmp_path):
    time_s = np.arange(48_000) / 48_000
    tones = np.stack([0.1 * np.sin(2 * np.pi * hz * time_s) for hz in (19_000, 440)], axis=1)
    sf.write(tmp_path / "two.wav", tones, 48_000)
    row = row_of(tmp_path / "two.wav")
    inner = slice(1000, -1000)
    assert np.abs(read_voice(row)[inner]).max() < 1e-4
    assert np.abs(read_voice(replace(row, channel=1))[inner]).max() == pytest.approx(0.1, abs=0.01)
