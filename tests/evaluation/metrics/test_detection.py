import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm
from sklearn import metrics as sklearn_metrics

from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.detection import eer, min_dcf
from vivavoce.evaluation.metrics.rates import det_curve, error_rates_at
from vivavoce.evaluation.metrics.spoofing import min_a_dcf

# Whole numbers give many ties, which is where error rates go wrong.
scores = arrays(np.float64, st.integers(1, 40), elements=st.integers(-12, 12).map(float))


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


def test_a_dcf_by_hand() -> None:
    # At the threshold 2.5: 1 of 4 targets missed, 1 of 2 non-targets let in, no spoof.
    # Weights 0.9, 0.5, 1: 0.9 / 4 + 0.5 / 2 = 0.475; at 3.5 only targets, half of them: 0.45, over min(0.9, 1.5).
    targets, nontargets, spoofs = [2.0, 3.0, 4.0, 5.0], [1.0, 3.25], [0.0, 2.25]
    found = min_a_dcf(targets, nontargets, spoofs)
    assert found.value == pytest.approx(0.45 / 0.9)
    assert 3.25 < found.threshold <= 4
    # Where other speakers cost next to nothing, only the spoof at 2.25 does: a quarter of the targets is missed.
    assert min_a_dcf(targets, nontargets, spoofs, c_fa_nontarget=1e-9).value == pytest.approx(0.9 / 4 / 0.9)


@given(seed=st.integers(0, 50), p_spoof=st.floats(0.01, 0.4), c_spoof=st.floats(0.1, 50))
def test_a_dcf_is_the_least_of_all_thresholds(seed: int, p_spoof: float, c_spoof: float) -> None:
    rng = np.random.default_rng(seed)
    targets, nontargets, spoofs = (rng.normal(mean, 1, 12).round(1) for mean in (1.5, 0, 0.5))
    found = min_a_dcf(targets, nontargets, spoofs, p_spoof=p_spoof, c_fa_spoof=c_spoof)
    weights = np.array([0.95 - p_spoof, 0.5, c_spoof * p_spoof])

    def cost(threshold: float) -> float:
        rates = [(targets < threshold).mean(), (nontargets >= threshold).mean(), (spoofs >= threshold).mean()]
        return float(weights @ rates / min(weights[0], weights[1] + weights[2]))

    levels = np.append(np.unique(np.concatenate([targets, nontargets, spoofs])), np.inf)
    assert found.value == pytest.approx(min(cost(level) for level in levels))
    assert found.value == pytest.approx(cost(found.threshold))
    assert found.value <= 1 + 1e-12


def test_a_dcf_without_spoofs_that_matter_is_the_detection_cost() -> None:
    rng = np.random.default_rng(0)
    targets, nontargets = rng.normal(2, 1, 300), rng.normal(0, 1, 300)
    found = min_a_dcf(targets, nontargets, nontargets, 0.25, 0.25, 1.0, 1.0, 1.0)
    assert found.value == pytest.approx(min_dcf(targets, nontargets, 0.5).value)
    assert found.threshold == min_dcf(targets, nontargets, 0.5).threshold


def test_a_dcf_refuses_impossible_priors_and_empty_classes() -> None:
    with pytest.raises(ValueError, match="above 0"):
        min_a_dcf([1.0], [0.0], [0.0], p_nontarget=0.5, p_spoof=0.5)
    with pytest.raises(UserError, match="no spoof score"):
        min_a_dcf([1.0], [0.0], [])
