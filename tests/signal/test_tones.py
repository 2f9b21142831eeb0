import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.signal.probe import Probe, draw_probe
from vivavoce.signal.tones import detect_tones, steady_tones

from .sounds import recorded

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, rate=st.sampled_from([44_100, 48_000]), seconds=st.floats(0.6, 4), noise_db=st.floats(-100, -60))
def test_tones_are_found_to_half_a_hertz(seed: int, rate: int, seconds: float, noise_db: float) -> None:
    probe = draw_probe(np.random.default_rng(seed))
    found = detect_tones(recorded(probe, rate, seconds, noise_db=noise_db, seed=seed), rate)
    assert len(found) == len(probe.tones_hz)
    np.testing.assert_allclose(found, probe.tones_hz, atol=0.5)


def test_tones_of_another_clock_are_found_where_they_are() -> None:
    probe = Probe((18_000.7, 18_300.4, 19_000.9), (0.0, 1.0, 2.0), -12.0)
    np.testing.assert_allclose(detect_tones(recorded(probe, 48_000, 3), 48_000), probe.tones_hz, atol=0.1)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, seconds=st.floats(0.5, 3))
def test_noise_and_bursts_are_no_tones(seed: int, seconds: float) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=round(48_000 * seconds)) * 0.1
    time_s = np.arange(len(noise)) / 48_000
    burst = np.sin(2 * np.pi * 19_000 * time_s) * (time_s < seconds / 4)
    sweep = np.sin(2 * np.pi * (18_000 * time_s + 500 * time_s**2))
    assert detect_tones(noise, 48_000) == ()
    assert detect_tones(noise + burst, 48_000) == () or seconds < 1
    assert detect_tones(noise + sweep, 48_000) == () or seconds < 1


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000])
def test_low_sample_rates_hold_no_tones(rate: int) -> None:
    assert detect_tones(np.random.default_rng(0).normal(size=rate), rate) == ()


@pytest.mark.parametrize("samples", [0, 1, 100, 23_000])
def test_very_short_recordings_hold_no_tones(samples: int) -> None:
    assert detect_tones(np.ones(samples), 48_000) == ()


@settings(max_examples=20, deadline=None)
@given(seed=seeds, above_db=st.floats(16, 60))
def test_a_tone_is_a_peak_that_stays(seed: int, above_db: float) -> None:
    """Noise of a known level: a bin that stands out in all windows is found, one in half of them is not."""
    rng = np.random.default_rng(seed)
    freqs, power = np.arange(17_000, 22_000, 2.0), rng.exponential(size=(12, 2500)) * 1e-9
    steady, passing = sorted(rng.choice(np.arange(100, 2400, 50), 2, replace=False))
    power[:, steady] = power[::2, passing] = 1e-9 * 10 ** (above_db / 10) * 1.6
    assert steady_tones(freqs, power).tolist() == [freqs[steady]]
