import numpy as np
import pytest

from vivavoce.simulate.levels import probe_levels, sideband_dbc, tone_factor


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_levels_of_a_made_probe(rate: int) -> None:
    time = np.arange(3 * rate) / rate
    tones = (18_300.4, 19_000.0)
    wave = np.zeros(len(time))
    for tone in tones:
        carrier = 0.05 * np.cos(2 * np.pi * tone * time + 1)
        wave += carrier + 0.05 * 10 ** (-30 / 20) * np.cos(2 * np.pi * (tone + 12.3) * time)
    noise = np.random.default_rng(0).standard_normal(len(time)) * np.sqrt(rate / 2) * 10 ** (-105 / 20)
    levels = probe_levels(wave + noise, rate, tones)
    carrier_dbfs = 10 * np.log10(2 * 0.05**2 / 2)
    assert levels.carrier_dbfs == pytest.approx(carrier_dbfs, abs=0.05)
    assert levels.dynamic_dbc == pytest.approx(-30, abs=0.2)
    assert levels.noise_dbc_hz == pytest.approx(-105 - carrier_dbfs, abs=1)
    assert sideband_dbc(wave, rate, tones[1], 12.3) == pytest.approx(-30, abs=0.1)


def test_a_clock_offset_is_no_motion() -> None:
    time = np.arange(96_000) / 48_000
    assert probe_levels(np.cos(2 * np.pi * 19_000.37 * time), 48_000, (19_000.0,)).dynamic_dbc < -65


def test_a_neighbour_200_hz_away_does_not_show() -> None:
    time = np.arange(96_000) / 48_000
    neighbour = np.cos(2 * np.pi * 19_200 * time)
    assert np.abs(tone_factor(neighbour, 48_000, 19_000.0)).max() < 2e-5
