from dataclasses import replace

import numpy as np
import pytest

from vivavoce.simulate.device import (
    ROLLOFF_MOST_DB,
    Device,
    DeviceConfig,
    GainControl,
    bend,
    control_gain,
    draw_device,
    gain_curve_db,
    noise,
    quantize16,
    response,
)
from vivavoce.simulate.draws import generator

RATE = 48_000
CONTROL = GainControl(range_db=10.0, threshold_dbfs=-20.0, attack_s=0.01, release_s=0.25)


@pytest.fixture(scope="module")
def device() -> Device:
    return draw_device(generator(0, "device"), DeviceConfig(), "device1", RATE)


def steps(*levels: float, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return np.concatenate([level * np.sin(2 * np.pi * 400 * time) for level in levels]).astype(np.float32)


def test_gain_control_off_is_unity(device: Device) -> None:
    wave = steps(0.01, 0.9)
    assert control_gain(replace(device, gain_control=None), wave, RATE) is wave


def test_gain_control_reduces_loud_passages_and_leaves_quiet_ones(device: Device) -> None:
    wave = steps(0.01, 0.99, 0.01)
    out = control_gain(replace(device, gain_control=CONTROL), wave, RATE)
    gain = [20 * np.log10(np.abs(part[1000:]).max()) for part in np.split(out, 3)]
    assert gain[0] == pytest.approx(-40, abs=0.01)
    settled = 20 * np.log10(np.abs(out[int(1.5 * RATE) : 2 * RATE]).max() / 0.99)
    assert settled == pytest.approx(-10, abs=0.1)
    tail = 20 * np.log10(np.abs(out[int(2.6 * RATE) :]).max())
    assert tail == pytest.approx(-40, abs=0.05)


def test_gain_control_attack_and_release_take_their_times() -> None:
    curve = gain_curve_db(CONTROL, steps(0.001, 0.99, 0.001), RATE)
    per_s = 400
    rise = curve[per_s : 2 * per_s]
    reached = np.argmax(rise <= -10 * (1 - np.exp(-1)))  # one time constant
    assert reached / per_s == pytest.approx(0.010, abs=0.005)
    fall = curve[2 * per_s :]
    assert np.argmax(fall > -0.1) / per_s == pytest.approx(0.25, abs=0.05)
    assert (curve <= 1e-9).all()
    assert curve.min() >= -10 - 1e-6


def test_gain_control_has_no_steps_in_its_gain(device: Device) -> None:
    wave = np.full(2 * RATE, 0.005, dtype=np.float32)
    wave[RATE:] = 0.9
    out = control_gain(replace(device, gain_control=CONTROL), wave, RATE)
    assert np.abs(np.diff(out / wave)).max() < 0.003


def test_response_falls_above_17_khz_within_its_bounds() -> None:
    config = DeviceConfig()
    for seed in range(40):
        own = draw_device(generator(seed, "d"), config, "d", RATE)
        high = 20 * np.log10(response(own, np.arange(17_000, 22_001, 10)))
        assert high.max() - high.min() <= ROLLOFF_MOST_DB + 8
    steep = DeviceConfig.model_validate({"rolloff_db_per_khz": 12, "ripple_db": 0, "colour_db": 0})
    own = draw_device(generator(1, "d"), steep, "d", RATE)
    levels = 20 * np.log10(response(own, np.array([17_000.0, 18_000.0, 19_000.0, 23_000.0])))
    assert levels[0] - levels[1] == pytest.approx(12, abs=0.1)
    assert levels[0] - levels[2] == pytest.approx(24, abs=0.1)
    assert levels[0] - levels[3] == pytest.approx(ROLLOFF_MOST_DB, abs=0.1)


def test_noise_has_its_density_against_the_carrier(device: Device) -> None:
    own = replace(device, carrier_dbfs=-20.0, noise_dbc_hz=-80.0)
    wave = noise(generator(0, "n"), own, 10 * RATE, RATE).astype(np.float64)
    density = 10 * np.log10(np.mean(wave**2) / (RATE / 2))
    assert density == pytest.approx(-100, abs=0.1)


def test_non_linearity_puts_the_voice_beside_the_tone(device: Device) -> None:
    own = replace(device, alpha2=0.01, alpha3=0.0)
    time = np.arange(RATE) / RATE
    bent = bend(own, 0.1 * np.cos(2 * np.pi * 300 * time) + 0.1 * np.cos(2 * np.pi * 19_000 * time))
    spectrum = 2 * np.abs(np.fft.rfft(bent)) / RATE
    # 2 α2 · a b / 2 beside the tone: x² of the sum holds 2ab cos cos = ab (cos sum + cos difference).
    assert spectrum[19_300] == pytest.approx(0.01 * 0.01, rel=1e-3)
    assert spectrum[18_700] == pytest.approx(0.01 * 0.01, rel=1e-3)
    cubic = bend(replace(device, alpha2=0.0, alpha3=-0.1), np.float64(0.5) * np.cos(2 * np.pi * 300 * time))
    assert 2 * np.abs(np.fft.rfft(cubic))[900] / RATE == pytest.approx(0.1 * 0.125 / 4, rel=1e-3)


def test_quantizes_to_16_bits_and_clips() -> None:
    found = quantize16(np.array([0.0, 0.6 / 32768, -0.6 / 32768, 1.5, -1.5]))
    assert found.dtype == np.int16
    assert found.tolist() == [0, 1, -1, 32767, -32768]


def test_pool_varies_and_half_has_gain_control() -> None:
    pool = [draw_device(generator(0, "device", str(i)), DeviceConfig(), f"d{i}", RATE) for i in range(200)]
    share = np.mean([own.gain_control is not None for own in pool])
    assert 0.38 < share < 0.62
    for name, low, high in (("carrier_dbfs", -25, -17), ("noise_dbc_hz", -85, -60), ("direct_m", 0.01, 0.03)):
        values = np.array([getattr(own, name) for own in pool])
        assert values.min() >= low
        assert values.max() <= high
        assert len(set(values)) == len(values)
    assert max(abs(own.clock_ratio - 1) * 20_000 for own in pool) <= 0.03
