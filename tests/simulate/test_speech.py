import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.simulate.draws import generator
from vivavoce.simulate.speech import SpeechConfig, active_level, at_level, fricative_leakage, to_48k, voice_at_48k

RATE = 16_000


def hiss_and_hum(seconds: float = 2.0) -> np.ndarray:
    """A vowel-like hum in the first half of every half second, fricative noise in the second."""
    samples = int(seconds * RATE)
    time = np.arange(samples) / RATE
    hum = 0.2 * np.sin(2 * np.pi * 150 * time)
    hiss = 0.05 * np.diff(np.random.default_rng(0).standard_normal(samples + 1))
    return np.where((time % 0.5) < 0.25, hum, hiss).astype(np.float32)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]), st.integers(1_000, 20_000))
def test_any_rate_comes_to_48_khz_with_its_duration(rate: int, samples: int) -> None:
    wave = np.sin(2 * np.pi * 440 * np.arange(samples) / rate).astype(np.float32)
    out = to_48k(wave, rate)
    assert out.dtype == np.float32
    assert abs(len(out) - samples * 48_000 / rate) <= 1
    wanted = np.sin(2 * np.pi * 440 * np.arange(len(out)) / 48_000)
    inner = slice(len(out) // 4, -len(out) // 4)
    assert np.abs(out[inner] - wanted[inner]).max() < 5e-3


def test_level_is_that_of_speech_not_of_its_pauses_or_of_a_probe() -> None:
    time = np.arange(48_000) / 48_000
    speech = 0.1 * np.sin(2 * np.pi * 200 * time)
    with_pause = np.concatenate([speech, np.zeros(96_000)])
    assert active_level(with_pause) == pytest.approx(0.1 / np.sqrt(2), rel=0.02)
    probe = 0.1 * np.sin(2 * np.pi * 19_200 * time)
    assert active_level(speech + probe) == pytest.approx(active_level(speech), rel=0.02)
    assert 20 * np.log10(active_level(at_level(with_pause, -31.0))) == pytest.approx(-31, abs=0.01)
    assert not at_level(np.zeros(100, dtype=np.float32), -20.0).any()


def test_leakage_follows_the_fricatives_at_its_density() -> None:
    wave = hiss_and_hum()
    leak = fricative_leakage(generator(0, "l"), wave, RATE, 96_000, -80.0)
    quarters = leak.reshape(-1, 12_000)
    power = (quarters.astype(np.float64) ** 2).mean(axis=1)
    assert power[1::2].mean() > 50 * power[0::2].mean()
    spectrum = np.abs(np.fft.rfft(leak.astype(np.float64))) ** 2
    hertz = np.fft.rfftfreq(len(leak), 1 / 48_000)
    assert spectrum[hertz < 12_000].sum() < 0.02 * spectrum.sum()
    band = (hertz > 18_500) & (hertz < 22_000)
    # One-sided density while the fricative lasts (half of the time), against the speech's power.
    density = 2 * spectrum[band].mean() / (48_000 * len(leak)) * 2
    assert 10 * np.log10(density / active_level(wave, RATE) ** 2) == pytest.approx(-80, abs=2)


def test_a_full_band_recording_keeps_its_own_ultrasound() -> None:
    wave = np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    np.testing.assert_array_equal(voice_at_48k(generator(0, "v"), wave, 48_000, SpeechConfig()), wave)


def test_silence_leaks_nothing() -> None:
    assert not fricative_leakage(generator(0, "l"), np.zeros(16_000, dtype=np.float32), RATE, 48_000, -80.0).any()
