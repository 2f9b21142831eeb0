import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.detection import eer, min_dcf
from vivavoce.evaluation.metrics.rates import error_rates_at, spoofing_curve
from vivavoce.evaluation.metrics.spoofing import (
    A_DCF1,
    ASVSPOOF5,
    ADcfCosts,
    act_a_dcf,
    min_a_dcf,
    min_a_dcf_of,
    sasv_eer,
    spf_eer,
    sv_eer,
)

from .drawn import assert_stacked, scores


def test_a_dcf_by_hand() -> None:
    # At the threshold 2.5: 1 of 4 targets missed, 1 of 2 non-targets let in, no spoof.
    # Weights 0.9, 0.5, 1: 0.9 / 4 + 0.5 / 2 = 0.475; at 3.5 only targets, half of them: 0.45, over min(0.9, 1.5).
    targets, nontargets, spoofs = [2.0, 3.0, 4.0, 5.0], [1.0, 3.25], [0.0, 2.25]
    found = min_a_dcf(targets, nontargets, spoofs, A_DCF1)
    assert found.value == pytest.approx(0.45 / 0.9)
    assert 3.25 < found.threshold <= 4
    # Where other speakers cost next to nothing, only the spoof at 2.25 does: a quarter of the targets is missed.
    careless = A_DCF1.model_copy(update={"c_fa_nontarget": 1e-9})
    assert min_a_dcf(targets, nontargets, spoofs, careless).value == pytest.approx(0.9 / 4 / 0.9)


@given(seed=st.integers(0, 50), p_spoof=st.floats(0.01, 0.4), c_spoof=st.floats(0.1, 50))
def test_a_dcf_is_the_least_of_all_thresholds(seed: int, p_spoof: float, c_spoof: float) -> None:
    rng = np.random.default_rng(seed)
    targets, nontargets, spoofs = (rng.normal(mean, 1, 12).round(1) for mean in (1.5, 0, 0.5))
    costs = ADcfCosts(p_target=0.95 - p_spoof, p_nontarget=0.05, p_spoof=p_spoof, c_fa_spoof=c_spoof)
    found = min_a_dcf(targets, nontargets, spoofs, costs)
    weights = np.array([0.95 - p_spoof, 0.5, c_spoof * p_spoof])

    def cost(threshold: float) -> float:
        rates = [(targets < threshold).mean(), (nontargets >= threshold).mean(), (spoofs >= threshold).mean()]
        return float(weights @ rates / min(weights[0], weights[1] + weights[2]))

    levels = np.append(np.unique(np.concatenate([targets, nontargets, spoofs])), np.inf)
    assert found.value == pytest.approx(min(cost(level) for level in levels))
    assert found.value == pytest.approx(cost(found.threshold))
    assert found.value <= 1 + 1e-12
    assert act_a_dcf(targets, nontargets, spoofs, found.threshold, costs).value == pytest.approx(found.value)
    assert act_a_dcf(targets, nontargets, spoofs, 0.7, costs).value == pytest.approx(cost(0.7))


@given(scores, scores, scores)
def test_a_dcf_without_spoofs_that_matter_is_the_detection_cost(
    targets: np.ndarray, nontargets: np.ndarray, spoofs: np.ndarray
) -> None:
    costs = ADcfCosts(p_target=0.3 - 1e-12, p_nontarget=0.7, p_spoof=1e-12, c_miss=3, c_fa_nontarget=2, c_fa_spoof=1)
    assert min_a_dcf(targets, nontargets, spoofs, costs).value == pytest.approx(
        min_dcf(targets, nontargets, 0.3, 3, 2).value
    )


@given(scores, scores, scores)
def test_rising_transforms_and_copies_leave_the_a_dcf(
    targets: np.ndarray, nontargets: np.ndarray, spoofs: np.ndarray
) -> None:
    cost = min_a_dcf(targets, nontargets, spoofs).value
    mapped = min_a_dcf(np.exp(targets / 6), np.exp(nontargets / 6), np.exp(spoofs / 6))
    assert mapped.value == pytest.approx(cost)
    assert min_a_dcf(np.tile(targets, 2), nontargets, np.tile(spoofs, 3)).value == pytest.approx(cost)
    assert act_a_dcf(targets, nontargets, spoofs, 1.0).value >= cost - 1e-12


@given(scores, scores, scores)
def test_rates_of_resamples_give_what_scores_give(
    targets: np.ndarray, nontargets: np.ndarray, spoofs: np.ndarray
) -> None:
    rates, thresholds = spoofing_curve(targets, nontargets, spoofs)
    assert_stacked(min_a_dcf_of, rates, min_a_dcf(targets, nontargets, spoofs).value)
    np.testing.assert_array_equal(rates.p_fa_spoof, error_rates_at(thresholds, targets, spoofs).p_fa)


@given(scores)
def test_separated_classes_cost_nothing(values: np.ndarray) -> None:
    assert min_a_dcf(values + 30, values, values).value == 0
    assert [sv_eer(values + 30, values).rate, spf_eer(values + 30, values).rate] == [0, 0]


@given(scores, scores, scores)
def test_sasv_eer_lies_between_those_of_its_parts(
    targets: np.ndarray, nontargets: np.ndarray, spoofs: np.ndarray
) -> None:
    parts = sorted([sv_eer(targets, nontargets).rate, spf_eer(targets, spoofs).rate])
    assert parts[0] - 1e-9 <= sasv_eer(targets, nontargets, spoofs).rate <= parts[1] + 1e-9
    assert spf_eer(targets, spoofs) == eer(targets, spoofs)


def test_presets_are_the_published_ones() -> None:
    # Shim et al. 2024: priors 0.9, 0.05, 0.05 and costs 1, 10, 20; ASVspoof 5: 0.95 * 0.99, 0.95 * 0.01, 0.05.
    assert A_DCF1.weights == pytest.approx((0.9, 0.5, 1.0))
    assert ASVSPOOF5.weights == pytest.approx((0.95 * 0.99, 10 * 0.95 * 0.01, 10 * 0.05))


def test_costs_carry_their_parameters() -> None:
    expected = (
        "min a-DCF(p_target=0.9405, p_nontarget=0.0095, p_spoof=0.05, c_miss=1, c_fa_nontarget=10, c_fa_spoof=10)"
    )
    assert min_a_dcf([1.0], [0.0], [0.0]).label == expected
    assert act_a_dcf([1.0], [0.0], [0.0], 0.5).label == expected.replace("min", "act")


@pytest.mark.parametrize("bad", [{"p_spoof": 0.2}, {"p_target": 0.95, "p_nontarget": 0.0}, {"c_miss": 0.0}])
def test_impossible_priors_and_costs_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"sum to 1|greater than 0"):
        ADcfCosts(**{"p_target": 0.9, "p_nontarget": 0.05, "p_spoof": 0.05, **bad})


def test_empty_classes_are_refused() -> None:
    for metric in (min_a_dcf, sasv_eer):
        with pytest.raises(UserError, match="no spoof score"):
            metric([1.0], [0.0], [])
    with pytest.raises(UserError, match="no spoof score"):
        spf_eer([1.0], [])
