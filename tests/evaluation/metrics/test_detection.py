import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics as sklearn_metrics

from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.detection import (
    act_dcf,
    act_dcf_of,
    auc_of,
    bayes_threshold,
    eer,
    eer_of,
    min_dcf,
    min_dcf_of,
    roc_auc,
)
from vivavoce.evaluation.metrics.rates import det_curve, error_rates_at, roc_curve

from .drawn import assert_stacked, scores


def test_eer_by_hand() -> None:
    # At a threshold between 2 and 3 one of four targets is missed and one of four non-targets passes.
    rate, threshold = eer([2.0, 4.0, 5.0, 6.0], [0.0, 1.0, 1.5, 3.0])
    assert rate == 0.25
    assert error_rates_at(threshold, [2.0, 4.0, 5.0, 6.0], [0.0, 1.0, 1.5, 3.0]) == (0.25, 0.25)


def test_eer_lies_between_operating_points_where_classes_differ_in_size() -> None:
    # The points (p_miss, p_fa) for thresholds 1, 2, 3 are (0, 1/2), (1/3, 1/2), (1/3, 0): the last step crosses the
    # diagonal at 1/3.
    rate, threshold = eer([1.0, 3.0, 4.0], [0.0, 2.0])
    assert rate == pytest.approx(1 / 3)
    # The gaps on either side are 1/6 and 1/3, so it lies a third of the way between the scores' middles, 1.5 and 2.5.
    assert threshold == pytest.approx(1.5 + 1 / 3)


def test_eer_of_one_tied_score_is_a_coin() -> None:
    assert eer([1.0, 1.0], [1.0, 1.0, 1.0]).rate == pytest.approx(0.5)


def test_eer_of_gaussians_is_the_closed_form() -> None:
    # Two unit normals d apart: EER = Phi(-d / 2), by symmetry at the middle.
    grid = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    rate, threshold = eer(grid + 2.0, grid)
    assert rate == pytest.approx(norm.cdf(-1.0), abs=1e-4)
    assert threshold == pytest.approx(1.0, abs=1e-3)


@given(scores)
def test_separated_classes_have_no_error(values: np.ndarray) -> None:
    rate, threshold = eer(values + 30.0, values)
    assert rate == 0.0
    assert values.max() < threshold <= values.min() + 30.0


@given(scores, scores)
def test_a_rising_transform_leaves_the_eer(targets: np.ndarray, nontargets: np.ndarray) -> None:
    assert eer(np.exp(targets / 5), np.exp(nontargets / 5)).rate == pytest.approx(eer(targets, nontargets).rate)


@given(scores, scores)
def test_swapped_labels_give_the_complement(targets: np.ndarray, nontargets: np.ndarray) -> None:
    assert eer(nontargets, targets).rate == pytest.approx(1 - eer(targets, nontargets).rate)


@given(scores, scores)
def test_copies_of_every_trial_change_nothing(targets: np.ndarray, nontargets: np.ndarray) -> None:
    assert eer(np.tile(targets, 3), np.tile(nontargets, 2)).rate == pytest.approx(eer(targets, nontargets).rate)


def test_random_scores_are_near_one_half() -> None:
    rng = np.random.default_rng(0)
    assert eer(rng.normal(size=20_000), rng.normal(size=20_000)).rate == pytest.approx(0.5, abs=0.01)


@given(scores, scores)
def test_det_curve_agrees_with_scikit_learn(targets: np.ndarray, nontargets: np.ndarray) -> None:
    labels = np.r_[np.ones(targets.size), np.zeros(nontargets.size)]
    false_positive, false_negative, thresholds = sklearn_metrics.det_curve(labels, np.r_[targets, nontargets])
    p_miss, p_fa = error_rates_at(thresholds, targets, nontargets)
    np.testing.assert_allclose(p_miss, false_negative, atol=1e-12)
    np.testing.assert_allclose(p_fa, false_positive, atol=1e-12)


@given(scores, scores)
def test_det_curve_runs_from_accept_all_to_reject_all(targets: np.ndarray, nontargets: np.ndarray) -> None:
    p_miss, p_fa, thresholds = det_curve(targets, nontargets)
    assert (p_miss[0], p_fa[0]) == (0, 1)
    assert (p_miss[-1], p_fa[-1], thresholds[-1]) == (1, 0, np.inf)
    assert (np.diff(p_miss) >= 0).all()
    assert (np.diff(p_fa) <= 0).all()


@given(scores, scores, st.floats(0.001, 0.999))
def test_min_dcf_is_the_least_of_all_thresholds_and_at_most_blind(
    targets: np.ndarray, nontargets: np.ndarray, p_target: float
) -> None:
    cost = min_dcf(targets, nontargets, p_target, 1.0, 10.0)
    assert 0 <= cost.value <= 1 + 1e-12
    assert (cost.p_target, cost.c_miss, cost.c_fa) == (p_target, 1.0, 10.0)
    weight_miss, weight_fa = p_target, 10 * (1 - p_target)
    p_miss, p_fa = error_rates_at(cost.threshold, targets, nontargets)
    assert (weight_miss * p_miss + weight_fa * p_fa) / min(weight_miss, weight_fa) == pytest.approx(cost.value)
    tried = np.array([error_rates_at(t, targets, nontargets) for t in np.arange(-13, 14, 0.5)])
    assert cost.value <= (tried @ [weight_miss, weight_fa]).min() / min(weight_miss, weight_fa) + 1e-9


def test_min_dcf_by_hand() -> None:
    # p_target 0.5, equal costs: the cost is p_miss + p_fa; the best threshold keeps 3 of 4 and lets none pass.
    assert min_dcf([1.0, 4.0, 5.0, 6.0], [0.0, 1.0, 2.0, 3.0], 0.5).value == pytest.approx(0.25)


@settings(max_examples=20)
@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_thresholds_stay_finite_for_extreme_scores(one: float, other: float) -> None:
    assert np.isfinite(eer([one], [other]).threshold)
    assert np.isfinite(min_dcf([one], [other]).threshold)


def test_neighbouring_floats_are_still_divided() -> None:
    low, high = 1.0, np.nextafter(1.0, 2.0)
    assert error_rates_at(eer([high], [low]).threshold, [high], [low]) == (0.0, 0.0)


@pytest.mark.parametrize(("targets", "nontargets", "words"), [
    ([], [1.0], "no target score"),
    ([1.0], [], "no non-target score"),
    ([1.0, np.nan], [1.0], "1 of 2 target scores are not finite"),
])  # fmt: skip
def test_unusable_scores_are_a_clear_error(targets: list[float], nontargets: list[float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        eer(targets, nontargets)


@pytest.mark.parametrize("bad", [{"p_target": 0.0}, {"p_target": 1.0}, {"c_fa": -1.0}, {"c_miss": 0.0}])
def test_impossible_costs_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must lie inside"):
        min_dcf([1.0], [0.0], **bad)


@given(scores, scores)
def test_rates_of_resamples_give_what_scores_give(targets: np.ndarray, nontargets: np.ndarray) -> None:
    p_miss, p_fa, _ = det_curve(targets, nontargets)
    assert_stacked(eer_of, (p_miss, p_fa), eer(targets, nontargets).rate)
    assert_stacked(auc_of, (p_miss, p_fa), roc_auc(targets, nontargets))
    cost = min_dcf(targets, nontargets, 0.3, 2.0, 5.0)
    assert_stacked(lambda miss, fa: min_dcf_of(miss, fa, 0.3, 2.0, 5.0), (p_miss, p_fa), cost.value)
    rates = error_rates_at(0.0, targets, nontargets)
    assert act_dcf_of(*rates, 0.3) == pytest.approx(act_dcf(targets, nontargets, 0.3, threshold=0.0).value)


@given(scores, scores)
def test_negated_scores_of_swapped_classes_change_nothing(targets: np.ndarray, nontargets: np.ndarray) -> None:
    assert eer(-nontargets, -targets).rate == pytest.approx(eer(targets, nontargets).rate)
    # Priors and costs change places with the classes.
    swapped = min_dcf(-nontargets, -targets, 0.8, 3.0, 2.0).value
    assert swapped == pytest.approx(min_dcf(targets, nontargets, 0.2, 2.0, 3.0).value)
    assert roc_auc(-nontargets, -targets) == pytest.approx(roc_auc(targets, nontargets))


@given(scores, scores, st.floats(0.001, 0.999))
def test_rising_transforms_and_copies_leave_the_minimum_cost(
    targets: np.ndarray, nontargets: np.ndarray, p_target: float
) -> None:
    cost = min_dcf(targets, nontargets, p_target).value
    assert min_dcf(np.arctan(targets), np.arctan(nontargets), p_target).value == pytest.approx(cost)
    assert min_dcf(np.tile(targets, 2), np.tile(nontargets, 3), p_target).value == pytest.approx(cost)


@given(scores, scores, st.floats(0.001, 0.999), st.floats(0.1, 20.0), st.floats(0.1, 20.0))
def test_no_threshold_costs_less_than_the_minimum(
    targets: np.ndarray, nontargets: np.ndarray, p_target: float, c_miss: float, c_fa: float
) -> None:
    actual = act_dcf(targets, nontargets, p_target, c_miss, c_fa)
    assert actual.threshold == pytest.approx(bayes_threshold(p_target, c_miss, c_fa))
    assert actual.value >= min_dcf(targets, nontargets, p_target, c_miss, c_fa).value - 1e-12
    best = min_dcf(targets, nontargets, p_target, c_miss, c_fa)
    at_best = act_dcf(targets, nontargets, p_target, c_miss, c_fa, threshold=best.threshold)
    assert at_best.value == pytest.approx(best.value)


def test_the_bayes_threshold_costs_least_where_scores_are_likelihood_ratios() -> None:
    # Unit normals at +-1: the log-likelihood ratio of x is 2 x.
    grid = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    targets, nontargets = 2 * (grid + 1), 2 * (grid - 1)
    for p_target in (0.02, 0.5, 0.9):
        actual, best = act_dcf(targets, nontargets, p_target), min_dcf(targets, nontargets, p_target)
        assert actual.value == pytest.approx(best.value, abs=2e-3)
    assert bayes_threshold(0.5, 1, 1) == 0.0


def test_costs_carry_their_parameters() -> None:
    assert min_dcf([1.0], [0.0], 0.05, 1, 10).label == "minDCF(p_target=0.05, c_miss=1, c_fa=10)"
    assert act_dcf([1.0], [0.0]).label == "actDCF(p_target=0.01, c_miss=1, c_fa=1)"


@given(scores, scores)
def test_roc_agrees_with_scikit_learn(targets: np.ndarray, nontargets: np.ndarray) -> None:
    labels = np.r_[np.ones(targets.size), np.zeros(nontargets.size)]
    both = np.r_[targets, nontargets]
    assert roc_auc(targets, nontargets) == pytest.approx(sklearn_metrics.roc_auc_score(labels, both))
    for ours, theirs in zip(
        roc_curve(targets, nontargets), sklearn_metrics.roc_curve(labels, both, drop_intermediate=False), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_an_absent_class_gives_no_number() -> None:
    p_miss, p_fa = np.array([[0.0, 0.5, 1.0], [0.0, np.nan, np.nan]]), np.array([[1.0, 0.5, 0.0]] * 2)
    for metric in (eer_of, min_dcf_of, auc_of):
        assert np.isnan(metric(p_miss, p_fa)).tolist() == [False, True]


def test_fawcetts_example_of_a_roc() -> None:
    # "An introduction to ROC analysis" 2006, figure 3: the threshold 0.54 gives the point (0.1, 0.5).
    positive = [0.9, 0.8, 0.6, 0.55, 0.54, 0.51, 0.4, 0.38, 0.34, 0.3]
    negative = [0.7, 0.53, 0.52, 0.505, 0.39, 0.37, 0.36, 0.35, 0.33, 0.1]
    p_fa, p_hit, thresholds = roc_curve(positive, negative)
    at = thresholds == 0.54
    assert (p_fa[at], p_hit[at]) == (pytest.approx(0.1), pytest.approx(0.5))
    # 68 of the 100 pairs are in order.
    assert roc_auc(positive, negative) == pytest.approx(0.68)


def test_speechbrains_example() -> None:
    # The docstrings of EER and minDCF in speechbrain/utils/metric_stats.py.
    positive, negative = [0.6, 0.7, 0.8, 0.5], [0.4, 0.3, 0.2, 0.1]
    assert eer(positive, negative).rate == 0.0
    assert min_dcf(positive, negative).value == 0.0
