import numpy as np
import pytest

from vivavoce.errors import UserError
from vivavoce.evaluation.bootstrap import Bootstrap
from vivavoce.evaluation.intervals import Interval, bootstrap_interval, rate_interval
from vivavoce.evaluation.metrics.detection import eer


def _trials(seed: int, speakers: int = 30, each: int = 10, between: float = 0.0):
    """Scores with an offset a speaker; non-targets pair two people."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(0, between, speakers)
    own = np.repeat(np.arange(speakers), each)
    first = np.repeat(np.arange(speakers), each)
    second = (first + rng.integers(1, speakers, first.size)) % speakers
    targets = rng.normal(2, 1, own.size) + offset[own]
    nontargets = rng.normal(0, 1, first.size) + offset[first]
    return targets, nontargets, own, first, second


def test_intervals_are_quantiles_of_trials_copied_as_often_as_both_people_are_drawn() -> None:
    targets, nontargets, own, first, second = _trials(9, speakers=6, each=5)
    draws = Bootstrap(6, resamples=40, seed=3).draws.astype(int)
    weights = draws[:, first] * draws[:, second]
    drawn_eers = [
        eer(np.repeat(targets, count[own]), np.repeat(nontargets, weight)).rate
        for count, weight in zip(draws, weights, strict=True)
        if weight.any()
    ]
    found = bootstrap_interval(targets, nontargets, own, first, second, resamples=40, seed=3)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn_eers, [0.025, 0.975])))
    wrong = nontargets > 1
    rates = (weights @ wrong / weights.sum(axis=1))[weights.any(axis=1)]
    found = rate_interval(wrong, first, second, resamples=40, seed=3)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(rates, [0.025, 0.975])))
    assert found != rate_interval(wrong, first, second, resamples=40, seed=4)
    assert found != rate_interval(wrong, first, resamples=40, seed=3), "the other person counts"


def test_few_errors_are_no_rule_of_three() -> None:
    wrong = np.arange(60) == 0  # of one speaker, whom many resamples leave out
    interval = rate_interval(wrong, np.arange(60) % 6)
    assert interval is not None
    assert interval.low == 0 < interval.high
    assert interval.method == "bootstrap by speaker"


def test_the_interval_holds_the_rate_and_is_seeded() -> None:
    targets, nontargets, own, first, second = _trials(2)
    interval = bootstrap_interval(targets, nontargets, own, first, second)
    assert interval is not None
    assert 0 < interval.low < eer(targets, nontargets).rate < interval.high < 0.5
    assert interval.method == "bootstrap by speaker"
    assert interval == bootstrap_interval(targets, nontargets, own, first, second)


def test_speakers_who_differ_widen_the_interval() -> None:
    # Resampling trials would miss exactly this.
    def width(between: float) -> float:
        interval = bootstrap_interval(*_trials(4, each=40, between=between))
        assert interval is not None
        return interval.high - interval.low

    assert width(1.0) > 1.5 * width(0.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    from scipy.stats import norm

    inside = 0
    for seed in range(40):
        interval = bootstrap_interval(*_trials(100 + seed), resamples=200)
        assert interval is not None
        inside += interval.low <= norm.cdf(-1.0) <= interval.high
    assert inside >= 33  # 95 % of 40 is 38; fewer than 33 has probability below 0.5 %


def test_no_error_gives_the_rule_of_three() -> None:
    interval = bootstrap_interval([3.0, 4.0, 5.0], [0.0, 1.0] * 3, ["a", "b", "c"], ["a", "b"] * 3)
    assert interval == Interval(0.0, 1.0, "rule of 3")
    plain = rate_interval(np.zeros(60, bool), np.arange(60) % 6)
    assert plain == Interval(0.0, 0.05, "rule of 3")


def test_a_rate_interval_matches_the_binomial_for_independent_speakers() -> None:
    wrong = np.arange(400) % 5 == 0  # 20 %
    interval = rate_interval(wrong, np.arange(400))
    assert interval is not None
    half = 1.96 * np.sqrt(0.2 * 0.8 / 400)
    assert interval.low == pytest.approx(0.2 - half, abs=0.008)
    assert interval.high == pytest.approx(0.2 + half, abs=0.008)


def test_one_speaker_leaves_nothing_to_resample() -> None:
    assert bootstrap_interval([1.0, 2.0], [0.0], ["a", "a"], ["a"]) is None
    assert rate_interval([True, False], ["a", "a"]) is None


def test_a_missing_class_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="needs target and non-target"):
        bootstrap_interval([], [1.0], [], ["a"])
