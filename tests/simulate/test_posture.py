import numpy as np
import pytest

from vivavoce.simulate.draws import generator
from vivavoce.simulate.posture import SWAY_HZ, PostureConfig, band_noise, phone_motion

RATE = 600.0


def test_band_noise_has_its_rms_and_band() -> None:
    noise = np.stack([band_noise(generator(s, "n"), 12_000, RATE, SWAY_HZ, 0.001) for s in range(60)])
    assert np.sqrt((noise**2).mean()) == pytest.approx(0.001, rel=0.05)
    power = (np.abs(np.fft.rfft(noise, axis=1)) ** 2).sum(axis=(0, 2))
    hertz = np.fft.rfftfreq(12_000, 1 / RATE)
    inside = (hertz >= SWAY_HZ[0] - 0.06) & (hertz <= SWAY_HZ[1] + 0.06)
    assert power[inside].sum() / power.sum() > 0.999


def test_hand_moves_by_millimetres_and_a_stand_by_micrometres() -> None:
    def rms(posture: str) -> np.ndarray:
        paths = [phone_motion(generator(s, "p"), posture, PostureConfig(), 6000, RATE) for s in range(80)]  # type: ignore[arg-type]
        return np.array([np.sqrt((path**2).mean()) for path in paths])

    held = rms("handheld")
    assert np.median(held) == pytest.approx(0.001, rel=0.35)
    assert held.max() < 0.012
    assert held.min() > 0.0001
    assert rms("stand").max() < 10e-6


def test_config_moves_the_sway() -> None:
    small = PostureConfig(sway_mm=0.3, sway_sigma=0.0, tremor_mm=0.0, tremor_limits_mm=(0.0, 0.0))
    paths = np.stack([phone_motion(generator(s, "p"), "handheld", small, 12_000, RATE) for s in range(40)])
    assert np.sqrt((paths**2).mean()) == pytest.approx(0.0003, rel=0.1)
