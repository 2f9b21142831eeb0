import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.signal.probe import draw_probe

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, tones=st.integers(1, 10))
def test_drawn_probes_keep_their_band_spacing_and_headroom(seed: int, tones: int) -> None:
    probe = draw_probe(np.random.default_rng(seed), tones=tones)
    hz = np.asarray(probe.tones_hz)
    assert len(hz) == len(probe.phases) == tones
    assert hz.min() >= 18_000
    assert hz.max() < 20_000
    assert tones == 1 or np.diff(hz).min() >= 200
    assert tones * probe.amplitude <= 1


@given(seed=seeds)
def test_products_of_the_tones_stay_out_of_the_doppler_band(seed: int) -> None:
    hz = np.asarray(draw_probe(np.random.default_rng(seed)).tones_hz)
    third_order = (hz[:, None, None] + hz[None, :, None] - hz[None, None, :]).ravel()
    away = np.abs(third_order[:, None] - hz)
    assert np.all((away < 1e-6) | (away >= 100 - 1e-6))


def test_sessions_get_different_probes_and_the_same_seed_the_same() -> None:
    drawn = {draw_probe(np.random.default_rng(seed)).tones_hz for seed in range(300)}
    assert len(drawn) > 295
    assert draw_probe(np.random.default_rng(7)) == draw_probe(np.random.default_rng(7))


def test_level_is_that_of_all_tones_together() -> None:
    probe = draw_probe(np.random.default_rng(1), level_dbfs=-12)
    wave = probe.waveform(48_000, 48_000)
    assert 10 * np.log10(2 * np.mean(wave.astype(float) ** 2)) == pytest.approx(-12, abs=0.01)
    assert np.abs(wave).max() <= 1


@pytest.mark.parametrize("options", [{"tones": 11}, {"tones": 0}, {"level_dbfs": -6.0}, {"low_hz": 19_500}])
def test_impossible_probes_are_refused(options: dict) -> None:
    with pytest.raises(UserError):
        draw_probe(np.random.default_rng(0), **options)
