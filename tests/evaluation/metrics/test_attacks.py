import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.attacks import (
    APCER_LIMITS,
    acer,
    apcer,
    apnrr,
    bpcer,
    bpcer_at_apcer,
    bpcer_at_apcer_of,
    bpnrr,
    iapar,
)
from vivavoce.evaluation.metrics.rates import det_curve

from .drawn import assert_stacked, scores

ATTACKS = {"replay_stand": [-2.0, -1.0, 0.5, np.nan], "tts": [0.5, 1.5, -3.0, -1.0, 2.0]}
LIVE = [2.0, 1.0, -0.5, np.nan, 3.0]


def test_rates_by_hand() -> None:
    found = apcer(ATTACKS, 0.0)
    # The presentation without a response is in no error rate of classification.
    assert found.by_species == pytest.approx({"replay_stand": 1 / 3, "tts": 3 / 5})
    assert found.presentations == {"replay_stand": 3, "tts": 5}
    assert found.worst == ("tts", pytest.approx(0.6))
    assert bpcer(LIVE, 0.0) == 0.25
    assert acer(found, 0.25) == pytest.approx((0.6 + 0.25) / 2)
    assert apnrr(ATTACKS).by_species == {"replay_stand": 0.25, "tts": 0.0}
    assert bpnrr(LIVE) == 0.2


def test_decisions_are_scores_of_zero_and_one() -> None:
    decisions = {species: np.where(np.isnan(part), np.nan, np.greater(part, 0)) for species, part in ATTACKS.items()}
    assert apcer(decisions, 0.5) == apcer(ATTACKS, 0.0)


def test_an_attack_without_an_answer_is_not_accepted_by_the_full_system() -> None:
    found = iapar({species: np.asarray(part) >= 0 for species, part in ATTACKS.items()})
    assert found.by_species == {"replay_stand": 0.25, "tts": pytest.approx(0.6)}
    assert found.name == "IAPAR"


def test_bpcer_at_apcer_by_hand() -> None:
    live, attacks = np.arange(20) + 0.5, {"easy": np.full(7, -5.0), "hard": np.arange(20) - 10.0}
    # One of the 20 hard attacks may pass at 5 %, the one at 9: the eight live recordings below 8 are lost.
    found = bpcer_at_apcer(live, attacks, 0.05)
    assert found.value == pytest.approx(8 / 20)
    assert 8 < found.threshold <= 8.5
    assert found.apcer.worst == ("hard", pytest.approx(0.05))
    assert bpcer_at_apcer(live, attacks, 0.01).value == pytest.approx(9 / 20)
    assert bpcer_at_apcer(live, attacks, 0.10).value == pytest.approx(7 / 20)
    assert found.label == "BPCER@APCER=5%"


@given(scores, scores, scores, st.sampled_from([0.0, *APCER_LIMITS, 0.5]))
def test_bpcer_at_apcer_is_the_least_that_keeps_the_limit(
    live: np.ndarray, one: np.ndarray, other: np.ndarray, limit: float
) -> None:
    attacks = {"one": one, "other": other}
    found = bpcer_at_apcer(live, attacks, limit)
    assert apcer(attacks, found.threshold) == found.apcer
    assert found.apcer.worst[1] <= limit + 1e-9
    assert bpcer(live, found.threshold) == pytest.approx(found.value)
    for threshold in np.arange(-13.0, 14.0):
        if apcer(attacks, threshold).worst[1] <= limit + 1e-9:
            assert bpcer(live, threshold) >= found.value - 1e-12


@given(scores, scores)
def test_bpcer_at_apcer_holds_for_transforms_copies_and_resamples(live: np.ndarray, attack: np.ndarray) -> None:
    value = bpcer_at_apcer(live, {"attack": attack}, 0.1).value
    assert bpcer_at_apcer(np.exp(live / 5), {"attack": np.exp(attack / 5)}, 0.1).value == pytest.approx(value)
    assert bpcer_at_apcer(np.tile(live, 2), {"attack": np.tile(attack, 3)}, 0.1).value == pytest.approx(value)
    assert bpcer_at_apcer(attack + 30, {"attack": attack}, 0.0).value == 0
    p_miss, p_fa, _ = det_curve(live, attack)
    assert_stacked(lambda miss, fa: bpcer_at_apcer_of(miss, fa, 0.1), (p_miss, p_fa), value)


def test_one_of_twenty_is_five_percent_however_it_is_rounded() -> None:
    p_miss, p_fa = np.array([0.0, 0.2, 1.0]), np.array([1.0, 1 - 19 / 20, 0.0])
    assert p_fa[1] > 0.05
    assert bpcer_at_apcer_of(p_miss, p_fa, 0.05) == 0.2


def test_an_absent_class_gives_no_number() -> None:
    p_miss, p_fa = np.array([[0.0, 1.0]] * 2), np.array([[1.0, 0.0], [np.nan, np.nan]])
    assert np.isnan(bpcer_at_apcer_of(p_miss, p_fa, 0.1)).tolist() == [False, True]
    assert np.isnan(bpcer_at_apcer_of(p_fa[1], p_miss[0, ::-1], 0.1))


@pytest.mark.parametrize("metric", [lambda part: apcer(part, 0.0), iapar, apnrr])
def test_missing_attacks_are_refused(metric) -> None:
    with pytest.raises(UserError, match="no attack to compute"):
        metric({})
    with pytest.raises(UserError, match="no tts attack"):
        metric({"replay_stand": [1.0], "tts": []})


def test_missing_live_recordings_and_impossible_limits_are_refused() -> None:
    with pytest.raises(UserError, match="no live"):
        bpnrr([])
    with pytest.raises(UserError, match="no live score"):
        bpcer([np.nan], 0.0)
    with pytest.raises(ValueError, match="no limit"):
        bpcer_at_apcer([1.0], {"tts": [0.0]}, 1.0)
