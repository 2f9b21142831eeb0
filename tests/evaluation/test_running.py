import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.evaluation.calibration.parts import Calibration, LivenessCalibration, PartCalibration
from vivavoce.evaluation.running import Outcome, SequentialTest, decide_together
from vivavoce.evaluation.verdict import Answer, Evidence, Ratios, decide
from vivavoce.signal.quality import ProbeQuality
from vivavoce.signal.reasons import Reason

PART = {"scale": 1.0, "offset": 0.0, "threshold": 0.0, "eer": 0.1, "n_target": 999, "n_nontarget": 999}
BOTH = Calibration(speaker=PartCalibration(**PART), liveness=LivenessCalibration(**PART))
MOUTH = Calibration(liveness=LivenessCalibration(**PART))
ratio_lists = st.lists(st.floats(-8, 8), min_size=1, max_size=12)


def together(ratios: list[tuple[float | None, float | None]], calibration=BOTH, **rates: float):
    """Recordings of these log-likelihood ratios (speaker, liveness); None: no answer."""
    found = [
        decide(
            Evidence(
                math.nan if who is None else who,
                math.nan if mouth is None else mouth,
                ProbeQuality(True, -30.0, 50.0, "" if mouth is not None else Reason.MOVING.value),
            ),
            calibration,
        )
        for who, mouth in ratios
    ]
    weights = [Ratios(who if calibration.speaker else None, mouth) for who, mouth in ratios]
    return decide_together(found, weights, calibration, SequentialTest.model_validate({"correlation": 0.0, **rates}))


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("mean", [0.5, 2.0])
def test_the_error_rates_asked_for_are_kept(correlation: float, mean: float) -> None:
    """Calibrated ratios: normal with a variance of twice their mean, which has the class's sign; 20 000 people."""
    test = SequentialTest(false_accept=0.02, false_reject=0.05, correlation=correlation)
    rng = np.random.default_rng(3)
    shared = np.sqrt(correlation) * rng.normal(size=(20_000, 1))
    noise = shared + np.sqrt(1 - correlation) * rng.normal(size=(20_000, 40))
    for sign, wrong, limit in ((-1, "upper", 0.02), (1, "lower", 0.05)):
        joint = test.joint(sign * mean + np.sqrt(2 * mean) * noise)
        up, down = ((joint >= test.upper), (joint <= test.lower))
        first = np.where(up.any(1), up.argmax(1), 99), np.where(down.any(1), down.argmax(1), 99)
        errors = first[0] < first[1] if wrong == "upper" else first[1] < first[0]
        assert errors.mean() <= limit * 1.1
        if correlation == 0:
            assert errors.mean() > limit / 20  # a bound, and no empty one
            assert np.mean(np.minimum(*first) < 99) > 0.95


def test_correlated_recordings_are_worth_no_more_than_the_bound() -> None:
    test = SequentialTest(correlation=0.25)
    joint = test.joint(np.ones(1000))
    assert np.all(np.diff(joint) > 0)
    assert joint[0] == 1
    assert joint[-1] == pytest.approx(4, rel=0.01)  # 1 / 0.25


@given(ratios=ratio_lists, more=st.floats(0, 5), correlation=st.floats(0, 1))
def test_more_evidence_never_takes_a_yes_away_nor_delays_it(ratios, more, correlation) -> None:
    test = SequentialTest(correlation=correlation)
    before, at = test.outcome(ratios)
    after, then = test.outcome([value + more for value in ratios])
    if before is Outcome.YES:
        assert (after, then <= at) == (Outcome.YES, True)
    if after is Outcome.NO:
        assert (before, at <= then) == (Outcome.NO, True)


@given(ratios=ratio_lists, extra=st.floats(-8, 8))
def test_a_decision_stays_when_more_is_said(ratios, extra) -> None:
    before, at = SequentialTest().outcome(ratios)
    if before is not Outcome.OPEN:
        assert SequentialTest().outcome([*ratios, extra]) == (before, at)


@given(ratios=ratio_lists, factor=st.floats(1.5, 100))
def test_lower_error_rates_never_need_fewer_recordings(ratios, factor) -> None:
    loose = SequentialTest(false_accept=0.02, false_reject=0.05)
    strict = SequentialTest(false_accept=0.02 / factor, false_reject=0.05 / factor)
    (_, soon), (answer, late) = loose.outcome(ratios), strict.outcome(ratios)
    assert late >= soon or answer is Outcome.OPEN


@given(who=ratio_lists, mouth=ratio_lists, correlation=st.floats(0, 1))
def test_an_accept_needs_both_answers_to_be_sure(who, mouth, correlation) -> None:
    pairs = list(zip(who, mouth, strict=False))
    found = together(pairs, correlation=correlation)
    if found.verdict is Answer.ACCEPT:
        test = SequentialTest(correlation=correlation)
        for values in ([pair[0] for pair in pairs], [pair[1] for pair in pairs]):
            assert test.joint(values)[found.used - 1] >= test.upper
        assert found.log_ratio >= found.needed


def test_a_replay_of_the_voice_and_a_living_mouth_do_not_add_up() -> None:
    """One recording live by the attacker, one a replay of the user, again and again."""
    found = together([(-6.0, 7.0), (7.0, -6.0)] * 10, false_reject=1e-12)
    assert found.verdict is not Answer.ACCEPT


@pytest.mark.parametrize(
    ("ratios", "answer", "used"),
    [
        ([(5.0, 5.0)], Answer.ACCEPT, 1),
        ([(2.5, 2.5), (2.5, 2.5), (0.0, 0.0)], Answer.ACCEPT, 2),
        ([(9.0, -5.0)], Answer.NOT_LIVE, 1),
        ([(-5.0, 9.0)], Answer.NOT_THE_SPEAKER, 1),
        ([(-5.0, -5.0)], Answer.NOT_LIVE, 1),
        ([(1.0, 1.0)], Answer.ABSTAIN, 1),
        ([(9.0, None), (5.0, 5.0)], Answer.ACCEPT, 2),
        ([(9.0, None)] * 5, Answer.ABSTAIN, 5),
        ([(-9.0, None)] * 5, Answer.ABSTAIN, 5),
    ],
)
def test_the_table_of_running_verdicts(ratios, answer, used) -> None:
    found = together(ratios)
    assert (found.verdict, found.used) == (answer, used)
    assert found.reason.endswith(".")
    assert len(found.recordings) == len(ratios)
    assert (found.advice is not None) == (answer is Answer.ABSTAIN)


def test_the_advice_is_the_last_recordings_and_to_say_another_sentence() -> None:
    assert together([(1.0, 1.0)]).advice == "Say another sentence."
    assert together([(1.0, 1.0), (1.0, None)]).advice == "Hold the phone still while you speak. Say another sentence."


def test_a_run_without_speakers_decides_on_the_mouth_alone() -> None:
    assert together([(None, 5.0)], MOUTH).verdict is Answer.ACCEPT
    assert together([(None, -5.0)], MOUTH).verdict is Answer.NOT_LIVE


def test_nothing_to_decide_on_is_refused() -> None:
    with pytest.raises(ValueError, match="one or more recordings"):
        decide_together([], [], BOTH, SequentialTest())
