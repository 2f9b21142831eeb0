import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.signal.carriers import Carriers
from vivavoce.signal.probe import draw_probe
from vivavoce.signal.steadiness import SHORTEST_FRAMES, sway_mm

from .sounds import moving

PROBE = draw_probe(np.random.default_rng(2))
HZ = np.asarray(PROBE.tones_hz)


def read(wave: np.ndarray, rate: int = 48_000) -> float:
    return sway_mm(Carriers.of(wave, rate, HZ).moving, HZ)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), swing_mm=st.floats(0.2, 6), echo_db=st.floats(-35, -12))
def test_the_sway_of_one_echo_is_read(seed: int, swing_mm: float, echo_db: float) -> None:
    """Head-on, one path: the reading is the sway, but for where the mean of a turning echo is no static path."""
    found = read(moving(PROBE, 48_000, 4, swing_mm, echo_db, seed=seed))
    if swing_mm >= 3:
        assert found > 1.9
    if swing_mm <= 0.8:
        assert found < 1.7


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rate=st.sampled_from([44_100, 48_000]))
def test_more_sway_reads_as_more_at_either_rate(seed: int, rate: int) -> None:
    little, much = (read(moving(PROBE, rate, 4, mm, seed=seed), rate) for mm in (0.5, 5.0))
    assert much > 2 * little


@pytest.mark.parametrize("hz", [0.5, 1.0, 3.0])
def test_a_steady_shift_reads_as_its_speed(hz: float) -> None:
    """An echo that turns at ``hz`` comes nearer at hz · λ / 2; as a sway of 1.54 Hz that is v / (2π · 1.54)."""
    frames = np.arange(1200) / 300
    turning = np.exp(2j * np.pi * hz * frames)[None] * np.exp(1j * np.arange(8))[:, None]
    expected = 1000 * hz * 343 / HZ.mean() / 2 / (2 * np.pi * 1.54)
    assert sway_mm(0.1 * turning, HZ) == pytest.approx(expected, rel=0.01)
    assert sway_mm(0.1 * turning.conj(), HZ) == pytest.approx(expected, rel=0.01)
    assert sway_mm(1e-3 * turning, HZ) == pytest.approx(expected, rel=0.01)  # the echo's strength does not matter


def test_noise_and_silence_read_as_little() -> None:
    rng = np.random.default_rng(0)
    noise = 1e-3 * (rng.normal(size=(8, 900)) + 1j * rng.normal(size=(8, 900)))
    assert sway_mm(noise, HZ) < 1.5
    assert sway_mm(np.zeros((8, 900), complex), HZ) == 0
    assert sway_mm(np.ones((8, SHORTEST_FRAMES - 1), complex), HZ) == 0


def test_small_fast_motion_of_a_mouth_is_no_sway() -> None:
    """Half a millimetre at 6 Hz, as lips move, on top of little sway, reads as little."""
    frames = np.arange(1200) / 300
    mouth = 2e-3 * 4 * np.pi * HZ.mean() / 343 * 0.25
    phase = mouth * np.sin(2 * np.pi * 6 * frames)
    echo = 0.05 * np.exp(1j * (phase + np.arange(8)[:, None]))
    assert sway_mm(echo - echo.mean(axis=1, keepdims=True), HZ) < 1.8
