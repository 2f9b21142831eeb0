import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.audit.tones import measure_probe
from vivavoce.signal.probe import draw_probe
from vivavoce.signal.quality import probe_quality

RATE = 48_000


def played(
    tones: tuple[float, ...], amplitude: float, seconds: float, ppm: float = 0.0, rate: int = RATE
) -> np.ndarray:
    time_s = np.arange(round(seconds * rate)) / rate
    return sum(amplitude * np.cos(2 * np.pi * f * (1 + ppm * 1e-6) * time_s + i) for i, f in enumerate(tones))  # pyright: ignore


@given(
    seed=st.integers(0, 99), ppm=st.floats(-80, 80), seconds=st.floats(0.6, 6), rate=st.sampled_from([48_000, 44_100])
)
@settings(max_examples=25, deadline=None)
def test_the_clock_is_measured_to_a_tenth_of_a_ppm(seed: int, ppm: float, seconds: float, rate: int) -> None:
    rng = np.random.default_rng(seed)
    tones = draw_probe(rng).tones_hz
    wave = played(tones, 0.02, seconds, ppm, rate)
    wave += 1e-4 * rng.normal(size=len(wave))
    assert measure_probe(wave.astype(np.float32), rate, tones)["clock_ppm"] == pytest.approx(ppm, abs=0.1)


@given(seed=st.integers(0, 99), level_dbfs=st.floats(-45, -12), noise_db=st.floats(-70, -30))
@settings(max_examples=25, deadline=None)
def test_it_agrees_with_the_quality_that_verification_uses(seed: int, level_dbfs: float, noise_db: float) -> None:
    rng = np.random.default_rng(seed)
    probe = draw_probe(rng, level_dbfs=level_dbfs)
    wave = probe.waveform(RATE, 3 * RATE) + 10 ** (noise_db / 20) * rng.normal(size=3 * RATE)
    ours = measure_probe(wave.astype(np.float32), RATE, probe.tones_hz)
    theirs = probe_quality(wave, RATE, probe.tones_hz)
    assert ours["probe_present"] == theirs.present or abs(theirs.snr_db) < 3
    assert ours["probe_snr_db"] == pytest.approx(theirs.snr_db, abs=3)
    assert ours["probe_dbfs"] == pytest.approx(theirs.level_dbfs, abs=1.5)


def test_a_weak_tone_is_named_and_the_median_is_not_moved() -> None:
    rng = np.random.default_rng(0)
    tones = (18_000.0, 18_400.0, 18_900.0, 19_500.0)
    wave = played(tones[:3], 0.02, 3) + played(tones[3:], 0.0002, 3) + 1e-4 * rng.normal(size=3 * RATE)
    numbers = measure_probe(wave.astype(np.float32), RATE, tones)
    snrs = [float(text) for text in str(numbers["snrs_db"]).split()]
    assert len(snrs) == 4
    assert snrs[3] == pytest.approx(np.mean(snrs[:3]) - 40, abs=3)
    assert numbers["weakest_snr_db"] == pytest.approx(snrs[3], abs=0.1)
    assert numbers["probe_snr_db"] == pytest.approx(np.mean(snrs[:3]), abs=2)


def test_power_between_the_tones_follows_the_noise() -> None:
    rng = np.random.default_rng(1)
    tones = (18_000.0, 18_600.0, 19_200.0)
    noise = rng.normal(size=3 * RATE)
    between = [
        float(measure_probe((played(tones, 0.05, 3) + gain * noise).astype(np.float32), RATE, tones)["between_dbc"])  # pyright: ignore
        for gain in (1e-3, 1e-2)
    ]
    assert between[1] - between[0] == pytest.approx(20, abs=1)


@pytest.mark.parametrize("declared", [None, ()])
def test_undeclared_tones_are_found_and_noise_is_none(declared: tuple[float, ...] | None) -> None:
    rng = np.random.default_rng(2)
    noise = 1e-3 * rng.normal(size=2 * RATE)
    assert measure_probe(noise.astype(np.float32), RATE, declared)["probe_present"] == 0
    wave = noise + played((18_250.0, 19_050.0), 0.01, 2)
    assert measure_probe(wave.astype(np.float32), RATE, declared)["probe_present"] == 1


def test_other_tones_than_the_declared_are_not_the_probe() -> None:
    wave = played((18_250.0, 19_050.0), 0.01, 2) + 1e-4 * np.random.default_rng(3).normal(size=2 * RATE)
    numbers = measure_probe(wave.astype(np.float32), RATE, (18_600.0, 19_500.0))
    assert numbers["probe_present"] == 0
    assert numbers["clock_ppm"] is None


@pytest.mark.parametrize(("rate", "seconds"), [(16_000, 2.0), (48_000, 0.3)])
def test_where_no_probe_can_be_judged_nothing_is_said(rate: int, seconds: float) -> None:
    wave = np.random.default_rng(0).normal(size=round(rate * seconds)).astype(np.float32)
    assert measure_probe(wave, rate, (18_600.0,))["probe_present"] is None
