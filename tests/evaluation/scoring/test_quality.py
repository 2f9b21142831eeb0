from dataclasses import replace

import numpy as np
import pytest

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Metadata
from vivavoce.evaluation.scoring.quality import MEASURES, measure_quality, voice_quality

RATE = 16_000


def spoken(seconds: float = 4.0, level: float = 0.1, snr_db: float = 30.0, seed: int = 0) -> np.ndarray:
    """Noise-like speech in bursts of 0.6 s with pauses of 0.4 s, over white noise of so many dB less."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE)) / RATE
    speech = level * rng.normal(size=len(time_s)) * (time_s % 1.0 < 0.6)
    return (speech + level * 10 ** (-snr_db / 20) * rng.normal(size=len(time_s))).astype(np.float32)


@pytest.mark.parametrize("snr_db", [10.0, 20.0, 30.0, 40.0])
def test_the_ratio_is_the_one_that_was_mixed(snr_db):
    assert voice_quality(spoken(snr_db=snr_db))[2] == pytest.approx(snr_db, abs=1.5)


@pytest.mark.parametrize("level", [0.01, 0.1, 0.3])
def test_the_level_is_that_of_speech_without_its_pauses(level):
    assert voice_quality(spoken(level=level))[3] == pytest.approx(20 * np.log10(level), abs=0.5)


def test_speech_and_duration_are_counted_in_seconds():
    speech_s, duration_s, _, _ = voice_quality(spoken(seconds=5.0))
    assert duration_s == 5.0
    assert speech_s == pytest.approx(3.0, abs=0.2)


def test_loudness_alone_changes_the_level_alone():
    quiet, loud = (voice_quality(gain * spoken()) for gain in (0.5, 1.0))
    np.testing.assert_allclose(quiet[:3], loud[:3], atol=1e-3)
    assert loud[3] - quiet[3] == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_rumble_below_a_voice_does_not_count():
    wave = spoken()
    rumble = 0.2 * np.sin(2 * np.pi * 20 * np.arange(len(wave)) / RATE)
    np.testing.assert_allclose(voice_quality((wave + rumble).astype(np.float32)), voice_quality(wave), atol=1.0)


@pytest.mark.parametrize("wave", [np.zeros(1600), np.ones(100) * 0.1, 0.3 * np.ones(3200)])
def test_what_is_no_speech_has_finite_measures(wave):
    assert np.isfinite(voice_quality(wave.astype(np.float32))).all()


def test_a_manifest_has_a_row_a_recording_whatever_its_rate(make_wav):
    rows = [
        Row(name, make_wav(name, 2.0, rate), "s", None, 0.0, 2.0, rate, 0, Metadata())
        for name, rate in (("a.wav", 16_000), ("b.wav", 48_000))
    ]
    found = measure_quality([*rows, replace(rows[1], start_s=0.5, duration_s=1.0)])
    assert found.names == MEASURES
    assert found.values.shape == (3, len(MEASURES))
    np.testing.assert_allclose(found.values[:, 1], [2.0, 2.0, 1.0])
    np.testing.assert_allclose(found.values[0, 3], found.values[1, 3], atol=3.0)


def test_an_empty_manifest_has_no_rows():
    assert measure_quality([]).values.shape == (0, len(MEASURES))
