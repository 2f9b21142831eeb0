from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.signal.probe import Probe
from vivavoce.simulate.device import Device, DeviceConfig, draw_device, response
from vivavoce.simulate.draws import generator
from vivavoce.simulate.recording import Emission, grid_for, record, tone_spectrum
from vivavoce.simulate.speech import RATE_HZ

PROBE = Probe((18_123.0, 18_777.0, 19_450.0), (0.3, -2.0, 1.1), -12.0)
TONES = np.array(PROBE.tones_hz)
PATH = np.ones(1, dtype=np.float32)


@pytest.fixture(scope="module")
def clean() -> Device:
    device = draw_device(generator(0, "device"), DeviceConfig(), "device1", RATE_HZ)
    return replace(
        device, gain_control=None, alpha2=0.0, alpha3=0.0, noise_dbc_hz=-140.0, clock_ratio=1.0, carrier_dbfs=-20.0
    )


def recorded(device: Device, factors: np.ndarray, samples: int, voice: np.ndarray | None = None) -> np.ndarray:
    voice = np.zeros(samples, dtype=np.float32) if voice is None else voice
    return record(generator(0, "noise"), voice, PATH, Emission(PROBE, factors), device) / 32768


def levels_around(wave: np.ndarray, tone_hz: float, offsets_hz: np.ndarray) -> np.ndarray:
    """Amplitude of the lines at ``tone_hz + offsets_hz``, dB full scale; Hann window."""
    window = np.hanning(len(wave)) / (np.hanning(len(wave)).sum() / 2)
    time = np.arange(len(wave)) / RATE_HZ
    return np.array(
        [20 * np.log10(abs(np.sum(wave * window * np.exp(-2j * np.pi * (tone_hz + o) * time)))) for o in offsets_hz]
    )


@settings(deadline=None, max_examples=15)
@given(st.integers(4_000, 60_000), st.floats(18_000, 20_000), st.floats(-3, 3), st.integers(0, 30_000))
def test_tones_are_exact_from_the_first_to_the_last_sample(samples: int, tone: float, phase: float, tail: int) -> None:
    grid = grid_for(samples, tail)
    slow = 2 * np.pi * 11.3
    factors = (1 + 0.3 * np.exp(1j * slow * grid.times_s))[None]
    spectrum = tone_spectrum(grid, factors, np.array([tone]), np.array([phase]), np.array([0.5]))
    found = np.fft.irfft(spectrum, grid.size)[grid.start : grid.start + samples]
    time = np.arange(samples) / RATE_HZ
    wanted = 0.5 * np.real(np.exp(1j * (2 * np.pi * tone * time + phase)) * (1 + 0.3 * np.exp(1j * slow * time)))
    assert np.abs(found - wanted).max() < 5e-4  # −60 dB at the very edge
    middle = slice(samples // 4, -samples // 4)
    assert np.sqrt(np.mean((found - wanted)[middle] ** 2)) < 1e-4


def test_direct_carrier_has_the_level_of_the_device(clean: Device) -> None:
    wave = recorded(clean, np.ones((3, 1)), RATE_HZ)
    assert 10 * np.log10(np.mean(wave**2)) == pytest.approx(-20, abs=0.05)
    # The tones leave alike, so the device's response tells their levels apart.
    found = np.array([levels_around(wave, tone, np.zeros(1))[0] for tone in TONES])
    wanted = 20 * np.log10(response(clean, TONES))
    np.testing.assert_allclose(found - found[0], wanted - wanted[0], atol=0.05)


def test_clock_offset_moves_the_tones(clean: Device) -> None:
    wave = recorded(replace(clean, clock_ratio=1 + 50e-6), np.ones((3, 1)), 4 * RATE_HZ)
    offsets = np.arange(-20, 21) / 10
    peak = offsets[np.argmax(levels_around(wave, TONES[2], offsets))]
    assert peak == pytest.approx(50e-6 * TONES[2], abs=0.1)


def test_static_scene_has_no_sidebands_beyond_noise(clean: Device) -> None:
    wave = recorded(clean, np.full((3, 1), 1.2 * np.exp(0.7j)), 2 * RATE_HZ)
    carrier = levels_around(wave, TONES[1], np.zeros(1))[0]
    beside = levels_around(wave, TONES[1], np.array([-70, -50, -20, -8, 8, 20, 50, 70.0]))
    assert beside.max() < carrier - 85


def test_approaching_echo_lies_above_the_carrier_at_its_level(clean: Device) -> None:
    grid = grid_for(2 * RATE_HZ, 1)
    factors = np.repeat(1 + 0.05 * np.exp(2j * np.pi * 25 * grid.times_s)[None], 3, axis=0)
    wave = recorded(clean, factors, 2 * RATE_HZ)
    carrier, above, below = levels_around(wave, TONES[0], np.array([0, 25, -25.0]))
    assert above - carrier == pytest.approx(20 * np.log10(0.05), abs=0.3)
    assert below < above - 50


def test_voice_arrives_in_time_through_the_room(clean: Device) -> None:
    voice = np.zeros(RATE_HZ, dtype=np.float32)
    voice[10_000] = 0.5
    path = np.zeros(3000, dtype=np.float32)
    path[0], path[2500] = 1.0, 0.3
    wave = record(generator(0, "noise"), voice, path, None, clean) / 32768
    assert np.argmax(np.abs(wave)) == 10_000
    # The response colours both alike; its low end spreads the click.
    assert wave[12_500] / wave[10_000] == pytest.approx(0.3, abs=0.03)


def test_cone_sidebands_are_where_its_voice_is(clean: Device) -> None:
    samples = 2 * RATE_HZ
    time = np.arange(samples) / RATE_HZ
    cone = (2e-3 * np.cos(2 * np.pi * 500 * time)).astype(np.float32)
    emission = Emission(PROBE, np.ones((3, 1)), cone, np.full((3, 1), 1j))
    wave = record(generator(0, "noise"), np.zeros(samples, dtype=np.float32), PATH, emission, clean) / 32768
    carrier, above, below, near = levels_around(wave, TONES[2], np.array([0, 500, -500, 40.0]))
    gains = 20 * np.log10(response(clean, TONES[2] + np.array([0, 500, -500.0])))
    assert above - carrier == pytest.approx(-60 + gains[1] - gains[0], abs=0.3)
    assert below - carrier == pytest.approx(-60 + gains[2] - gains[0], abs=0.3)
    assert near < carrier - 85
