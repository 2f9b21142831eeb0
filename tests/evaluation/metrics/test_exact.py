import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from vivavoce.evaluation.metrics.exact import clopper_pearson


def test_no_error_in_a_hundred_trials_is_the_published_bound() -> None:
    # 1 - 0.025 ** (1 / 100): no error in n trials at the two-sided 95 % level.
    assert clopper_pearson(0, 100) == (0.0, pytest.approx(1 - 0.025**0.01))


@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.5, 0.999))
def test_agrees_with_the_binomial_test(errors: int, trials: int, level: float) -> None:
    errors = min(errors, trials)
    expected = binomtest(errors, trials).proportion_ci(level, method="exact")
    assert clopper_pearson(errors, trials, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_covers_at_least_the_level(rate: float) -> None:
    covered = [low <= rate <= high for low, high in (clopper_pearson(errors, 40) for errors in range(41))]
    assert sum(binom.pmf(errors, 40, rate) for errors, inside in enumerate(covered) if inside) >= 0.95


@pytest.mark.parametrize("bad", [(-1, 10, 0.95), (11, 10, 0.95), (0, 0, 0.95), (1, 10, 1.0)])
def test_impossible_counts_are_refused(bad: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match="give no interval"):
        clopper_pearson(*bad)
