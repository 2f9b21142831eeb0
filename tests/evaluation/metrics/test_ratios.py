import numpy as np
import pytest
from hypothesis import given
from scipy.stats import norm

from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.ratios import cllr, min_cllr, min_cllr_of, pav

from .drawn import assert_stacked, scores


def test_cllr_by_hand() -> None:
    # A target at ln 3 costs log2(1 + 1/3), a non-target at ln 3 log2(1 + 3) = 2; Cllr is their mean.
    assert cllr([np.log(3)], [np.log(3)]) == pytest.approx((np.log2(4 / 3) + 2) / 2)


@given(scores, scores)
def test_ratios_that_say_nothing_cost_one_bit(targets: np.ndarray, nontargets: np.ndarray) -> None:
    assert cllr(0 * targets, 0 * nontargets) == pytest.approx(1)
    assert min_cllr(0 * targets, 0 * nontargets) == pytest.approx(1)


@given(scores, scores)
def test_no_map_costs_less_than_the_minimum(targets: np.ndarray, nontargets: np.ndarray) -> None:
    least = min_cllr(targets, nontargets)
    assert 0 <= least <= 1 + 1e-12
    assert least <= cllr(targets, nontargets) + 1e-12
    assert least <= cllr(targets / 3 - 0.5, nontargets / 3 - 0.5) + 1e-12


@given(scores, scores)
def test_rising_transforms_and_copies_leave_the_minimum(targets: np.ndarray, nontargets: np.ndarray) -> None:
    least = min_cllr(targets, nontargets)
    assert min_cllr(np.exp(targets / 5), np.exp(nontargets / 5)) == pytest.approx(least)
    assert min_cllr(np.tile(targets, 3), np.tile(nontargets, 2)) == pytest.approx(least)
    # Reversed scores of exchanged classes are the same question.
    assert min_cllr(-nontargets, -targets) == pytest.approx(least)


@given(scores)
def test_separated_classes_cost_nothing(values: np.ndarray) -> None:
    assert min_cllr(values + 30, values) == pytest.approx(0, abs=1e-12)
    assert cllr(values + 700, values - 700) == pytest.approx(0, abs=1e-9)


def test_min_cllr_by_hand() -> None:
    # Pooling leaves three blocks: one non-target, one of each class, one target; only the middle one costs, a half.
    assert min_cllr([1.0, 3.0], [0.0, 2.0]) == pytest.approx(0.5)


def test_likelihood_ratios_cannot_be_improved() -> None:
    # Unit normals at +-1: the log-likelihood ratio of x is 2 x. A rising map of finite trials fits a little better.
    grid = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    targets, nontargets = 2 * (grid + 1), 2 * (grid - 1)
    assert min_cllr(targets, nontargets) == pytest.approx(cllr(targets, nontargets), abs=1e-3)


@given(scores, scores)
def test_masses_of_resamples_give_what_scores_give(targets: np.ndarray, nontargets: np.ndarray) -> None:
    # Levels without a trial, as a resample has them, change nothing.
    levels = np.arange(-13.0, 14.0)
    masses = [np.array([(part == level).sum() for level in levels], float) for part in (targets, nontargets)]
    assert_stacked(min_cllr_of, masses, min_cllr(targets, nontargets))
    assert_stacked(min_cllr_of, [0.3 * masses[0], 7 * masses[1]], min_cllr(targets, nontargets))


def test_an_absent_class_gives_no_number() -> None:
    found = min_cllr_of(np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[2.0, 1.0], [2.0, 1.0]]))
    assert np.isnan(found).tolist() == [False, True]


@given(scores, scores)
def test_pav_gives_rising_bounded_ratios(targets: np.ndarray, nontargets: np.ndarray) -> None:
    levels, ratios = pav(targets, nontargets)
    assert (np.diff(levels) > 0).all()
    assert (np.diff(ratios) >= 0).all()
    # The most that n trials of one class beside the two that were added can say.
    prior = np.log(targets.size / nontargets.size)
    assert ratios.max() <= np.log(targets.size + 1) - prior + 1e-9
    assert ratios.min() >= -np.log(nontargets.size + 1) - prior - 1e-9


def test_pav_maps_to_nearly_the_minimum() -> None:
    rng = np.random.default_rng(0)
    targets, nontargets = rng.normal(1.5, 1, 4000), rng.normal(0, 1, 6000)
    levels, ratios = pav(targets, nontargets)
    mapped = (ratios[np.searchsorted(levels, part)] for part in (targets, nontargets))
    assert min_cllr(targets, nontargets) < cllr(*mapped) < min_cllr(targets, nontargets) + 2e-3


def test_empty_classes_are_refused() -> None:
    for metric in (cllr, min_cllr, pav):
        with pytest.raises(UserError, match="no target score"):
            metric([], [1.0])
