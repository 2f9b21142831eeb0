import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.training.diagnosis.trend import Direction, estimate_trend

from .invented import FLAT, HIGHER, LOWER, noisy

COURSES = [(LOWER, Direction.FALLING), (FLAT, Direction.FLAT), (HIGHER, Direction.RISING)]


@pytest.mark.parametrize(("curve", "direction"), COURSES)
@given(seed=st.integers(0, 10_000))
def test_a_plain_course_is_found_under_noise(curve, direction, seed):
    assert estimate_trend(noisy(curve, seed, 0.01)).direction is direction


@pytest.mark.parametrize(("curve", "direction"), COURSES)
@given(place=st.integers(0, 29), size=st.floats(1.5, 20))
def test_one_spike_turns_no_curve_round(curve, direction, place, size):
    spoilt = noisy(curve, 1)
    spoilt[place] *= size
    assert estimate_trend(spoilt).direction is direction


@given(unit=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_the_unit_of_a_loss_is_no_matter(unit, seed):
    curve = noisy(LOWER, seed, 0.05)
    one, other = estimate_trend(curve), estimate_trend(unit * curve)
    assert other.direction is one.direction
    assert other.change == pytest.approx(one.change)


def test_the_interval_holds_the_true_change_as_often_as_it_says():
    true = np.log((LOWER[-1] + 0.05) / (LOWER[-8] + 0.05))
    held = []
    for seed in range(300):
        trend = estimate_trend(noisy(LOWER, seed, 0.03))
        held.append(trend.low <= true <= trend.high)
    assert np.mean(held) > 0.95


def test_noise_that_hides_the_course_is_said():
    assert estimate_trend(noisy(FLAT, 3, 0.5)).direction is Direction.UNKNOWN


@pytest.mark.parametrize("values", [[], [1.0], [1, 0.9, 0.8, 0.7], [1, 0.9, np.nan, 0.7, 0.6, 0.5]])
def test_too_little_or_no_number_says_nothing(values):
    trend = estimate_trend(np.array(values))
    assert trend.direction is Direction.UNKNOWN
    assert trend.window == 0


def test_zeros_are_flat():
    assert estimate_trend(np.zeros(20)).direction is Direction.FLAT
