import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.signal.probe import Probe, detect_tones, draw_probe, find_probe, probe_quality

seeds = st.integers(0, 2**32 - 1)


def recorded(probe: Probe, rate: int, seconds: float, level_db: float = -20, noise_db: float = -80, seed: int = 0):
    samples = round(rate * seconds)
    noise = np.random.default_rng(seed).normal(size=samples) * 10 ** (noise_db / 20)
    return probe.waveform(rate, samples) * 10 ** (level_db / 20) + noise


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
def test_low_sample_rates_hold_no_probe(rate: int) -> None:
    wave = np.random.default_rng(0).normal(size=rate)
    assert detect_tones(wave, rate) == ()
    quality = probe_quality(wave, rate, (18_500.0,))
    assert not quality.present
    assert quality.reason == f"the sample rate holds no ultrasound band ({rate} Hz)"


@pytest.mark.parametrize("samples", [0, 1, 100, 23_000])
def test_very_short_recordings_hold_no_probe(samples: int) -> None:
    assert detect_tones(np.ones(samples), 48_000) == ()
    assert probe_quality(np.ones(samples), 48_000, (18_500.0,)).reason == "no probe in the recording"


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_quality_measures_level_and_noise(rate: int) -> None:
    probe = draw_probe(np.random.default_rng(3))
    quality = probe_quality(recorded(probe, rate, 3, level_db=-20, noise_db=-70), rate, probe.tones_hz)
    tone_dbfs = 20 * np.log10(probe.amplitude) - 20
    noise_db_hz = -70 - 10 * np.log10(rate / 2)
    assert quality.present
    assert quality.reason == ""
    assert quality.level_dbfs == pytest.approx(tone_dbfs, abs=0.2)
    # A full-scale sine has half the power of its amplitude squared.
    assert quality.snr_db == pytest.approx(tone_dbfs - 3.01 - noise_db_hz - 10 * np.log10(140), abs=1.0)


def test_quality_names_what_is_wrong() -> None:
    rng = np.random.default_rng(5)
    probe, other = draw_probe(rng), draw_probe(rng)
    silence_with_noise = rng.normal(size=96_000) * 1e-3
    assert probe_quality(silence_with_noise, 48_000, probe.tones_hz).reason == "no probe in the recording"
    assert probe_quality(np.zeros(96_000), 48_000, probe.tones_hz).reason == "no probe in the recording"
    assert probe_quality(silence_with_noise, 48_000, ()).reason == "no probe in the recording"
    foreign = probe_quality(recorded(other, 48_000, 2), 48_000, tuple(f + 37 for f in other.tones_hz))
    assert not foreign.present
    assert foreign.reason == "the tones in the recording are not those of its probe"
    weak = probe_quality(recorded(probe, 48_000, 2, noise_db=-40), 48_000, probe.tones_hz)
    assert weak.present
    assert weak.reason.startswith("the probe is too weak (SNR ")
    faint = probe_quality(recorded(probe, 48_000, 2, level_db=-70, noise_db=-140), 48_000, probe.tones_hz)
    assert faint.reason.startswith("the probe is too weak (level ")
    loud = np.clip(8 * recorded(probe, 48_000, 2, level_db=0), -1, 1)
    assert probe_quality(loud, 48_000, probe.tones_hz).reason == "the recording is clipped"


@pytest.mark.parametrize("rate", [44_100, 48_000, 16_000])
@pytest.mark.parametrize("seconds", [0.3, 0.8, 3.0])
@pytest.mark.parametrize("level_db", [-20, -200])
def test_finding_is_detecting_and_judging(rate: int, seconds: float, level_db: float) -> None:
    probe = draw_probe(np.random.default_rng(5))
    wave = recorded(probe, rate, seconds, level_db=level_db, noise_db=-70)
    tones, quality = find_probe(wave, rate)
    assert tones == detect_tones(wave, rate)
    assert quality == probe_quality(wave, rate, tones)
    assert bool(tones) == (level_db == -20 and rate > 16_000 and seconds > 0.5)
