import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vivavoce.comparison.paired import holm, paired_test

RATES = arrays(np.float64, 59, elements=st.integers(0, 20).map(lambda part: part / 20))


@settings(max_examples=30)
@given(RATES, RATES)
def test_swapping_the_systems_turns_the_interval_around(first: np.ndarray, second: np.ndarray) -> None:
    one, other = paired_test(first, second), paired_test(second, first)
    assert one is not None
    assert other is not None
    assert (one.low, one.high, one.p_value) == (-other.high, -other.low, other.p_value)


@settings(max_examples=30)
@given(RATES, RATES)
def test_p_is_at_most_five_per_cent_exactly_where_the_interval_excludes_0(
    first: np.ndarray, second: np.ndarray
) -> None:
    found = paired_test(first, second - 0.45)
    assert found is not None
    assert (found.p_value <= 0.05) == (found.low > 0 or found.high < 0)


@settings(max_examples=30)
@given(RATES)
def test_a_system_does_not_differ_from_itself(rates: np.ndarray) -> None:
    found = paired_test(rates, rates)
    assert found is not None
    assert (found.low, found.high, found.p_value, found.never) == (0, 0, 1, True)


def test_the_values_of_a_small_case() -> None:
    # 39 differences, -2 … 36: the first and the last are the interval; 3 are at most 0.
    found = paired_test(np.arange(39.0), np.full(39, 2.0))
    assert found is not None
    assert (found.low, found.high) == (-2, 36)
    assert found.p_value == 2 * (1 + 3) / 40


def test_resamples_without_the_figure_are_left_out_and_too_few_give_no_interval() -> None:
    first = np.append(np.arange(39.0), np.nan)
    found = paired_test(first, np.append(np.full(39, 2.0), 1.0))
    assert found is not None
    assert (found.low, found.high) == (-2, 36)
    assert paired_test(first[1:], np.zeros(39)) is None


def test_holm_against_the_worked_example() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 are multiplied by 4, 3, 2, 1; the last may not fall below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(p_values: list[float]) -> None:
    raised = np.array(holm(p_values))
    given_ = np.array(p_values)
    assert (raised >= given_).all()
    assert (raised <= np.minimum(1, given_ * len(given_)) + 1e-15).all()
    assert (np.diff(raised[np.argsort(given_, kind="stable")]) >= 0).all()
