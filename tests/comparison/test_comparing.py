from dataclasses import replace

import numpy as np
import pytest

from vivavoce.comparison.comparing import compare
from vivavoce.comparison.results import Comparison, Difference
from vivavoce.errors import UserError
from vivavoce.evaluation.scores import TrialScores

from .made import make_scores, make_trials

TRIALS = make_trials()
COMMON = np.random.default_rng(1).normal(size=len(TRIALS))
GOOD = make_scores("good", TRIALS, gap=3.5, seed=1, common=COMMON, threshold=1.5)
BAD = make_scores("bad", TRIALS, gap=2.0, seed=2, common=COMMON, threshold=1.0)
CURVES = ("min_a_dcf", "sasv_eer", "spf_eer", "sv_eer", "min_dcf")
DECISIONS = ("act_a_dcf", "frr", "far", "iapar", "iapar_worst")


def _compare(*systems: TrialScores) -> Comparison:
    return compare(systems, resamples=199)


def _of(found: Comparison, key: str) -> Difference:
    return next(one for one in found.differences if one.key == key)


def test_a_clearly_better_system_is_found_better() -> None:
    found = _compare(BAD, GOOD)
    for key in ("min_a_dcf", "sasv_eer", "spf_eer", "sv_eer", "frr", "iapar"):
        one = _of(found, key)
        assert (one.status, one.better) == ("better", "good")
        assert one.value is not None
        assert one.low is not None
        assert one.value > 0
        assert one.low > 0
        assert one.verdict.startswith("good is better (by ")
    assert found.headline.startswith("good is better in ")


def test_swapping_two_systems_negates_every_difference_and_interval() -> None:
    one, other = _compare(GOOD, BAD), _compare(BAD, GOOD)
    assert {first.key for first in one.differences} == {*CURVES, *DECISIONS}
    for first, second in zip(one.differences, other.differences, strict=True):
        assert first.value is not None
        assert second.value is not None
        assert (first.figure, first.value) == (second.figure, -second.value)
        assert (first.low, first.high) == (-(second.high or 0.0), -(second.low or 0.0))
        assert (first.better, first.p_holm) == (second.better, second.p_holm)


def test_a_system_against_itself_differs_by_exactly_nothing() -> None:
    found = _compare(GOOD, replace(GOOD, name="again"))
    for one in found.differences:
        assert (one.value, one.low, one.high, one.p_holm) == (0, 0, 0, 1)
        assert (one.status, one.verdict) == ("same", "the same scores")
    assert found.headline == "good and again both come to the same figures."


def test_the_same_scores_at_another_threshold_differ_in_decisions_alone() -> None:
    found = _compare(BAD, replace(BAD, name="lax", threshold=-1.0))
    assert all(_of(found, key).verdict == "the same scores" for key in CURVES)
    assert _of(found, "far").better == "bad"
    assert _of(found, "frr").better == "lax"


def test_a_monotone_transform_changes_no_curve() -> None:
    bent = replace(GOOD, name="bent", score=np.exp(GOOD.score / 3), threshold=None)
    found = _compare(GOOD, bent)
    assert {one.key for one in found.differences} == set(CURVES)
    for one in found.differences:
        assert (one.value, one.low, one.high) == (0, 0, 0)
        assert (one.status, one.verdict) == ("same", "the same figure, on every draw of speakers")
    assert any("threshold of bent is not known" in note for note in found.notes)


def test_the_order_of_trials_does_not_matter() -> None:
    mixed = BAD.take(np.random.default_rng(0).permutation(len(TRIALS)))
    assert _compare(GOOD, mixed) == _compare(GOOD, BAD)


def test_systems_that_share_their_hard_trials_are_told_apart_better_than_apart() -> None:
    """The paired interval is narrower than that of two independent ones."""
    found = _compare(GOOD, BAD)
    one = _of(found, "sv_eer")
    own, theirs = (system.measures[one.figure] for system in found.systems)
    apart = np.hypot((own.high or 0) - (own.low or 0), (theirs.high or 0) - (theirs.low or 0))
    assert (one.high or 0) - (one.low or 0) < apart
    assert one.detectable == ((one.high or 0) - (one.low or 0)) / 2


def test_equal_systems_are_seldom_found_different() -> None:
    """Five in a hundred are to be expected; 200 comparisons of one figure scatter by 1.5 points."""
    trials = make_trials(16, 4, attacks=())
    different = 0
    for seed in range(200):
        pair = [make_scores(name, trials, seed=2 * seed + turn) for turn, name in enumerate("ab")]
        different += _of(compare(pair, resamples=99, seed=seed), "sv_eer").status == "better"
    assert different <= 200 * 0.05 + 3 * np.sqrt(200 * 0.05 * 0.95)


def test_among_several_systems_p_is_holms() -> None:
    third = make_scores("third", TRIALS, gap=3.4, seed=3, common=COMMON, threshold=1.5)
    found = compare([GOOD, BAD, third])
    pairs = [one for one in found.differences if one.key == "sv_eer"]
    assert [(one.first, one.second) for one in pairs] == [("good", "bad"), ("good", "third"), ("bad", "third")]
    least = min(pairs, key=lambda one: one.p_value or 1)
    assert least.p_holm == pytest.approx(3 * (least.p_value or 1))
    assert "good" in found.headline
    assert "is better than bad" in found.headline
    for one in pairs:
        assert (one.status == "better") == ((one.p_holm or 1) <= 0.05)


def test_many_pairs_get_enough_draws_for_the_least_p_value_to_count() -> None:
    trials = make_trials(12, 2, attacks=())
    systems = [make_scores(f"s{turn}", trials, gap=turn, seed=turn) for turn in range(7)]
    found = compare(systems)
    pairs = [one for one in found.differences if one.key == "sv_eer"]
    assert len(pairs) == 21
    assert min(one.p_holm or 1 for one in pairs) < 0.05


def test_trials_without_an_answer_leave_the_curves_and_are_rejections() -> None:
    silent = BAD.score.copy()
    chosen = np.flatnonzero(TRIALS.is_target)[:7]
    silent[chosen] = np.nan
    found = _compare(GOOD, replace(BAD, score=silent))
    good, bad = found.systems
    assert bad.unanswered == {"target": 7, "nontarget": 0, "spoof": 0}
    assert found.trials["target"] == 80
    assert found.compared["target"] == 73
    assert good.measures["SV-EER"].trials == bad.measures["SV-EER"].trials == {"target": 73, "nontarget": 80}
    rejects = next(measure for measure in bad.measures.values() if measure.key == "frr")
    answered = np.delete(BAD.score, chosen)[np.delete(TRIALS.is_target, chosen)]
    assert rejects.errors == 7 + (answered < 1.0).sum()
    assert rejects.trials == {"target": 80}
    assert "bad gives no answer on 7 trials (7 of the user, live)." in found.notes
    assert any("73 target, 80 nontarget, 160 spoof" in note for note in found.notes)


def test_liveness_counts_each_recording_once() -> None:
    answer = {name: turn % 7 - (3.0 if "live" not in name else 0.0) for turn, name in enumerate(TRIALS.tests)}
    liveness = np.array([answer[trial.test] for trial in TRIALS])
    found = _compare(replace(GOOD, liveness=liveness), replace(BAD, liveness=-liveness))
    one = _of(found, "liveness_eer")
    assert one.better == "good"
    assert found.systems[0].measures[one.figure].trials == {"live": 80, "spoof": 160}
    assert not any(one.key == "liveness_eer" for one in _compare(replace(GOOD, liveness=liveness), BAD).differences)


def test_too_few_trials_of_a_class_give_an_interval_and_no_verdict() -> None:
    few = np.flatnonzero(~TRIALS.is_target | (np.cumsum(TRIALS.is_target) <= 9))
    found = _compare(GOOD.take(few), BAD.take(few))
    one = _of(found, "sv_eer")
    assert (one.value, one.status, one.p_value, one.detectable) == (None, "no verdict", None, None)
    assert one.low is not None
    assert one.verdict.startswith("no verdict, too few trials: 95 % of the resamples lie between ")
    assert _of(found, "iapar").value is not None


@pytest.mark.parametrize(
    ("speakers", "words"),
    [(1, "one speaker alone, so there is nothing to resample"), (9, "too few speakers (9; 10 are the least): 95 %")],
)
def test_few_speakers_give_no_verdict(speakers: int, words: str) -> None:
    trials = make_trials(speakers, 20)
    pair = [make_scores(name, trials, gap=gap, seed=1) for name, gap in (("good", 5.0), ("bad", 0.0))]
    found = _compare(*pair)
    one = _of(found, "spf_eer")
    assert (one.status, one.p_value) == ("no verdict", None)
    assert one.value is not None
    assert one.verdict.startswith(f"no verdict, {words}")
    assert found.headline == "These trials are too few to tell good and bad apart."


def test_two_systems_without_an_error_may_still_differ_by_three_in_so_many_trials() -> None:
    perfect = replace(GOOD, score=TRIALS.is_target + 0.1 * COMMON, threshold=None)
    other = replace(BAD, score=TRIALS.is_target - 0.1 * COMMON, threshold=None)
    one = _of(_compare(perfect, other), "sv_eer")
    assert (one.value, one.low, one.high) == (0, 0, 0)
    assert (one.status, one.better, one.detectable) == ("not shown", None, 3 / 80)
    assert one.verdict == (
        "no difference shown: no draw of speakers has one; one below about 3.8 points could not have shown"
    )


def test_trials_that_no_answer_is_due_to_are_left_out() -> None:
    trials = make_trials(attacks=("replay_stand", "probe_absent"))
    pair = [make_scores(name, trials, seed=turn) for turn, name in enumerate("ab")]
    assert _compare(*pair).trials == {"target": 80, "nontarget": 80, "spoof": 80}


def test_unknown_speakers_are_said() -> None:
    bare = replace(TRIALS, speakers=None, test_speakers=None)
    found = _compare(replace(GOOD, trials=bare), replace(BAD, trials=bare))
    assert any("do not say who speaks" in note for note in found.notes)
    # One of the systems knows them, and that is enough.
    assert not any("do not say" in note for note in _compare(replace(GOOD, trials=bare), BAD).notes)


@pytest.mark.parametrize("label", ["is_target", "is_nontarget"])
def test_one_class_alone_is_refused(label: str) -> None:
    only = np.flatnonzero(getattr(TRIALS, label))
    with pytest.raises(UserError, match="There is no"):
        compare([GOOD.take(only), BAD.take(only)])


def test_systems_that_never_answer_a_user_together_are_refused() -> None:
    silent = replace(GOOD, name="silent", score=np.where(TRIALS.is_target, np.nan, GOOD.score))
    with pytest.raises(UserError, match="All systems answer no trial of the user"):
        compare([silent, BAD])


def test_fewer_than_two_systems_or_one_name_twice_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="distinct names"):
        compare([GOOD])
    with pytest.raises(ValueError, match="distinct names"):
        compare([GOOD, GOOD])
