import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import root
from scipy.stats import norm

from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.metrics.rates import SpoofingRates, det_curve, spoofing_curve
from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5
from vivavoce.evaluation.metrics.tandem import (
    SpeakerRates,
    min_t_dcf,
    min_t_dcf_of,
    speaker_rates,
    t_eer,
    t_eer_of,
)

from .drawn import assert_stacked, scores

# The organisers' speaker system, from calculate_metrics.py of the ASVspoof 5 evaluation package.
ASVSPOOF5_SPEAKER = SpeakerRates(0.01880141010575793, 0.01881016557566423, 0.4607082907604729)
GRID = norm.ppf((np.arange(4000) + 0.5) / 4000)


def test_t_dcf_by_hand() -> None:
    # One of four live recordings is missed, one of two attacks passes, at the best threshold one or the other.
    speaker = SpeakerRates(0.1, 0.2, 0.5)
    base = 0.9405 * 0.1 + 0.095 * 0.2
    miss, fooled = 0.9405 - base, 0.5 * 0.5
    found = min_t_dcf([1.0, 3.0, 4.0, 5.0], [0.0, 2.0], speaker)
    assert found.value == pytest.approx((base + min(miss / 4, fooled / 2)) / (base + min(miss, fooled)))
    assert found.threshold == pytest.approx(0.5)
    legacy = min_t_dcf([1.0, 3.0, 4.0, 5.0], [0.0, 2.0], speaker, legacy=True)
    assert legacy.value == pytest.approx(min(miss / 4, fooled / 2) / min(miss, fooled))


@given(scores, scores)
def test_t_dcf_runs_from_the_speaker_scores_errors_to_one(live: np.ndarray, attacks: np.ndarray) -> None:
    # The reference code prints this least value of its normalised cost for an error-free countermeasure.
    reject, accept, let_in = ASVSPOOF5.weights
    base = reject * ASVSPOOF5_SPEAKER[0] + accept * ASVSPOOF5_SPEAKER[1]
    floor = base / (base + min(reject - base, let_in * ASVSPOOF5_SPEAKER[2]))
    assert floor - 1e-12 <= min_t_dcf(live, attacks, ASVSPOOF5_SPEAKER).value <= 1 + 1e-12
    assert min_t_dcf(attacks + 30, attacks, ASVSPOOF5_SPEAKER).value == pytest.approx(floor)
    assert min_t_dcf(attacks + 30, attacks, ASVSPOOF5_SPEAKER, legacy=True).value == pytest.approx(0)


@given(scores, scores)
def test_rising_transforms_and_copies_leave_the_t_dcf(live: np.ndarray, attacks: np.ndarray) -> None:
    for legacy in (False, True):
        cost = min_t_dcf(live, attacks, ASVSPOOF5_SPEAKER, legacy=legacy).value
        mapped = min_t_dcf(np.sinh(live / 4), np.sinh(attacks / 4), ASVSPOOF5_SPEAKER, legacy=legacy)
        assert mapped.value == pytest.approx(cost)
        copied = min_t_dcf(np.tile(live, 2), np.tile(attacks, 3), ASVSPOOF5_SPEAKER, legacy=legacy)
        assert copied.value == pytest.approx(cost)


@given(scores, scores)
def test_t_dcf_of_resamples_gives_what_scores_give(live: np.ndarray, attacks: np.ndarray) -> None:
    p_miss, p_fa, _ = det_curve(live, attacks)
    expected = min_t_dcf(live, attacks, ASVSPOOF5_SPEAKER).value

    def of(miss: np.ndarray, fa: np.ndarray, *rates: np.ndarray) -> np.ndarray:
        return min_t_dcf_of(miss, fa, SpeakerRates(*rates))

    assert_stacked(of, (p_miss, p_fa, *map(np.asarray, ASVSPOOF5_SPEAKER)), expected)


def test_a_speaker_score_without_error_leaves_nothing_to_normalise_by() -> None:
    assert np.isnan(min_t_dcf([1.0, 2.0], [0.0], SpeakerRates(0.0, 0.0, 0.0)).value)
    # The form of 2019 leaves the speaker score's own errors out.
    for speaker in (SpeakerRates(0.1, 0.1, 0.0), SpeakerRates(0.95, 0.95, 0.5)):
        assert np.isnan(min_t_dcf([1.0, 2.0], [0.0], speaker, legacy=True).value)
        assert 0 <= min_t_dcf([1.0, 2.0], [0.0], speaker).value <= 1


def test_t_dcf_carries_its_parameters() -> None:
    label = min_t_dcf([1.0], [0.0], ASVSPOOF5_SPEAKER).label
    assert label.startswith("min t-DCF(p_target=0.9405, p_nontarget=0.0095, p_spoof=0.05, c_miss=1, ")
    assert label.endswith("asv_p_miss=0.0188, asv_p_fa_nontarget=0.01881, asv_p_fa_spoof=0.4607, 2020 form)")


def test_speaker_rates_are_taken_at_the_equal_error_rate_or_a_given_threshold() -> None:
    targets, nontargets, spoofs = [2.0, 4.0, 5.0, 6.0], [0.0, 1.0, 1.5, 3.0], [1.0, 7.0]
    assert speaker_rates(targets, nontargets, spoofs) == (0.25, 0.25, 0.5)
    assert speaker_rates(targets, nontargets, spoofs, 1.0) == (0.0, 0.75, 1.0)


def test_t_eer_of_gaussians_solves_its_equations() -> None:
    # Unit normals: speaker score of targets at 3, of spoofs at 2.5; liveness of live recordings at 2.
    def equations(thresholds: np.ndarray) -> np.ndarray:
        speaker, liveness = thresholds
        live, attack = norm.sf(liveness - 2), norm.sf(liveness)
        miss = 1 - live * norm.sf(speaker - 3)
        return np.array([miss - live * norm.sf(speaker), miss - attack * norm.sf(speaker - 2.5)])

    speaker, liveness = root(equations, [1.5, 1.0]).x
    expected = norm.sf(liveness - 2) * norm.sf(speaker)
    assert t_eer(GRID + 3, GRID, GRID + 2.5, GRID + 2, GRID) == pytest.approx(expected, abs=5e-4)
    assert expected > max(eer(GRID + 3, GRID).rate, eer(GRID + 2, GRID).rate)


@given(scores, scores, scores)
def test_a_perfect_liveness_score_leaves_the_speakers_eer(
    targets: np.ndarray, nontargets: np.ndarray, spoofs: np.ndarray
) -> None:
    rate = t_eer(targets, nontargets, spoofs, [1.0, 2.0], [0.0])
    assert rate == pytest.approx(eer(targets, nontargets).rate)


@given(scores, scores)
def test_spoofs_that_the_speaker_score_rejects_leave_its_eer(targets: np.ndarray, live: np.ndarray) -> None:
    nontargets = targets - 3
    rate = t_eer(targets, nontargets, nontargets - 50, live, live - 1)
    assert rate == pytest.approx(eer(targets, nontargets).rate)


def test_attacks_that_pass_as_the_user_leave_a_liveness_score_below_a_coin_its_eer() -> None:
    rate = t_eer(GRID + 2, GRID, GRID + 9, GRID, GRID + 0.5)
    assert rate == pytest.approx(eer(GRID, GRID + 0.5).rate)
    assert rate > 0.5


@given(scores)
def test_separated_classes_have_no_error(values: np.ndarray) -> None:
    assert t_eer(values + 30, values, values, values + 30, values) == 0
    # Spoofs that no speaker score could tell from the user are the liveness score's to stop.
    assert t_eer(values + 30, values, values + 30, values + 30, values) == 0


def test_attacks_that_are_no_other_than_other_speakers_leave_the_speakers_eer() -> None:
    # A liveness score that is one number for all recordings is a coin.
    rate = t_eer(GRID + 2, GRID, GRID, np.zeros(8), np.zeros(5))
    assert rate == pytest.approx(eer(GRID + 2, GRID).rate, abs=1e-3)


@settings(max_examples=40)
@given(scores, scores, scores, scores, scores)
def test_rising_transforms_and_copies_leave_the_t_eer(
    targets: np.ndarray, nontargets: np.ndarray, spoofs: np.ndarray, live: np.ndarray, attacks: np.ndarray
) -> None:
    rate = t_eer(targets, nontargets, spoofs, live, attacks)
    assert 0 <= rate <= 1
    mapped = t_eer(np.exp(targets / 5), np.exp(nontargets / 5), np.exp(spoofs / 5), np.arctan(live), np.arctan(attacks))
    assert mapped == pytest.approx(rate)
    copied = t_eer(np.tile(targets, 2), np.tile(nontargets, 3), spoofs, np.tile(live, 2), np.tile(attacks, 3))
    assert copied == pytest.approx(rate)


@settings(max_examples=40)
@given(scores, scores, scores, scores, scores)
def test_t_eer_of_resamples_gives_what_scores_give(
    targets: np.ndarray, nontargets: np.ndarray, spoofs: np.ndarray, live: np.ndarray, attacks: np.ndarray
) -> None:
    rates, _ = spoofing_curve(targets, nontargets, spoofs)
    p_miss, p_fa, _ = det_curve(live, attacks)
    assert_stacked(
        lambda miss, fa, *speaker: t_eer_of(miss, fa, SpoofingRates(*speaker)),
        (p_miss, p_fa, *rates),
        t_eer(targets, nontargets, spoofs, live, attacks),
    )


def test_an_absent_class_gives_no_number() -> None:
    up, down = np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.5, 0.0])
    absent = np.array([0.0, np.nan, np.nan])
    for position in range(5):
        rates = [up, down, up, down, down]
        rates[position] = absent
        assert np.isnan(t_eer_of(rates[0], rates[1], SpoofingRates(*rates[2:])))
    assert np.isnan(min_t_dcf_of(absent, down, ASVSPOOF5_SPEAKER))


def test_empty_classes_are_refused() -> None:
    with pytest.raises(UserError, match="no spoof score"):
        t_eer([1.0], [0.0], [], [1.0], [0.0])
    with pytest.raises(UserError, match="no target score"):
        min_t_dcf([], [0.0], ASVSPOOF5_SPEAKER)
