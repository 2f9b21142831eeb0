import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.fusion import LogisticFusion, ProductFusion, RuleFusion, share_of_attacks
from vivavoce.evaluation.calibration.thresholds import (
    asked_weights,
    bayes_threshold,
    check_shown,
    extrapolated_threshold,
    false_accept_threshold,
)
from vivavoce.evaluation.metrics.spoofing import A_DCF1, ASVSPOOF5, ADcfCosts, act_a_dcf, min_a_dcf

nats = st.floats(-30, 30)
FUSIONS = [
    RuleFusion(speaker=0.5, liveness=-1.0),
    ProductFusion(rho=0.3),
    LogisticFusion(speaker=0.2, liveness=0.1, weaker=0.7, offset=0.3),
]


def calibrated(size: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratios of targets, other speakers and attacks, which are what they say: N(±2, 4) and N(±1.5, 3) nats.

    Others are live, and attacks have the right voice.
    """
    rng = np.random.default_rng(seed)
    truth = np.repeat([0, 1, 2], size)
    speaker = rng.normal(np.where(truth == 1, -2.0, 2.0), 2.0)
    liveness = rng.normal(np.where(truth == 2, -1.5, 1.5), np.sqrt(3.0))
    return speaker, liveness, truth


def act_cost(fused: np.ndarray, truth: np.ndarray, costs: ADcfCosts) -> float:
    """The cost at the Bayes threshold."""
    miss, *accepts = asked_weights(costs)
    threshold = bayes_threshold(miss, *accepts)
    return act_a_dcf(fused[truth == 0], fused[truth == 1], fused[truth == 2], threshold, costs).value


def least_cost(fused: np.ndarray, truth: np.ndarray, costs: ADcfCosts) -> float:
    return min_a_dcf(fused[truth == 0], fused[truth == 1], fused[truth == 2], costs).value


@given(voice=nats, mouth=nats)
def test_the_rule_is_two_thresholds(voice, mouth) -> None:
    rule = RuleFusion(speaker=0.5, liveness=-1.0)
    assert (rule.fuse(voice, mouth) >= 0) == (voice >= 0.5 and mouth >= -1.0)


@given(voice=nats, mouth=nats, more=st.floats(0, 10))
@pytest.mark.parametrize("fusion", FUSIONS)
def test_more_of_either_answer_never_lowers_the_fused_score(fusion, voice, mouth, more) -> None:
    here = fusion.fuse(voice, mouth)
    assert fusion.fuse(voice + more, mouth) >= here - 1e-9
    assert fusion.fuse(voice, mouth + more) >= here - 1e-9


@given(voice=st.floats(0, 30), mouth=nats, rho=st.floats(0.05, 0.95))
def test_a_perfect_voice_does_not_make_up_for_a_mouth_that_is_not_there(voice, mouth, rho) -> None:
    assert ProductFusion(rho=rho).fuse(voice, mouth) <= mouth - np.log(rho) + 1e-9


@pytest.mark.parametrize("costs", [A_DCF1, ASVSPOOF5])
def test_the_bayes_threshold_costs_least_where_ratios_are_calibrated(costs: ADcfCosts) -> None:
    speaker, liveness, truth = calibrated()
    fused = ProductFusion(rho=share_of_attacks(costs)).fuse(speaker, liveness)
    actual, least = act_cost(fused, truth, costs), least_cost(fused, truth, costs)
    assert least <= actual < least * 1.03
    rule = RuleFusion(speaker=0, liveness=0).fuse(speaker, liveness)
    assert actual < least_cost(rule, truth, costs) + 0.01


@pytest.mark.parametrize("costs", [A_DCF1, ASVSPOOF5])
def test_a_trained_fusion_comes_near_the_optimum_and_is_calibrated(costs: ADcfCosts) -> None:
    speaker, liveness, truth = calibrated(5000)
    fusion = LogisticFusion.fit(speaker, liveness, truth, costs)
    assert min(fusion.speaker, fusion.liveness, fusion.weaker) >= 0
    product = ProductFusion(rho=share_of_attacks(costs))
    speaker, liveness, truth = calibrated(5000, seed=1)
    trained, best = (act_cost(one.fuse(speaker, liveness), truth, costs) for one in (fusion, product))
    assert trained < best * 1.1


def test_a_trained_fusion_of_separable_trials_is_finite() -> None:
    fusion = LogisticFusion.fit([9.0, 9.0, -9.0, 9.0], [9.0, 8.0, 9.0, -9.0], [0, 0, 1, 2], ASVSPOOF5)
    fused = fusion.fuse([9.0, -9.0, 9.0], [9.0, 9.0, -9.0])
    assert np.isfinite(fused).all()
    assert fused[0] > max(fused[1:])


def test_one_question_alone_weighs_what_it_is_asked() -> None:
    miss, others, attacks = ASVSPOOF5.weights
    assert asked_weights(ASVSPOOF5, liveness=False) == (miss, others, 0.0)
    live = ASVSPOOF5.c_miss * (ASVSPOOF5.p_target + ASVSPOOF5.p_nontarget)
    assert asked_weights(ASVSPOOF5, speaker=False) == (live, 0.0, attacks)


@given(
    others=st.lists(st.floats(-5, 5), min_size=20, max_size=60),
    users=st.lists(st.floats(-5, 5), min_size=1, max_size=30),
    rate=st.sampled_from([0.05, 0.1, 0.25]),
)
def test_the_lowest_threshold_that_keeps_the_rate(others, users, rate) -> None:
    first, second = np.array(others[::2]), np.array(others[1::2])
    at = false_accept_threshold({"speakers": first, "attacks": second}, np.array(users), rate)

    def worst(threshold: float) -> float:
        return max(float(np.mean(part >= threshold)) for part in (first, second))

    assert worst(at) <= rate
    lower = [value for value in others if value < at]
    if lower:
        assert worst(max(lower)) > rate


def test_what_is_refused_already_needs_no_threshold() -> None:
    assert false_accept_threshold({"attacks": np.full(20, -np.inf)}, np.array([1.0, 2.0]), 0.1) == 1.0


def test_a_rate_that_the_trials_cannot_show_is_refused_with_what_they_can() -> None:
    counts = {"trials of other speakers": 3000, "trials of attacks": 300}
    assert check_shown(counts, 0.01, False) == []
    with pytest.raises(UserError, match=r"300 trials of attacks.* 0\.01 at best .*takes 3000"):
        check_shown(counts, 0.001, False)
    (note,) = check_shown(counts, 0.001, True)
    assert "extrapolated" in note


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.001])
def test_calibrated_ratios_keep_an_extrapolated_rate(rate) -> None:
    speaker, liveness, truth = calibrated(200_000)
    assert np.mean(speaker[truth == 1] >= extrapolated_threshold(rate)) <= rate
    rho = 0.3
    fused = ProductFusion(rho=rho).fuse(speaker, liveness)
    at = extrapolated_threshold(rate, min(rho, 1 - rho))
    for code in (1, 2):
        assert np.mean(fused[truth == code] >= at) <= rate
