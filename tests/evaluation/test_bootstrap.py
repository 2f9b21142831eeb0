import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.evaluation import bootstrap
from vivavoce.evaluation.bootstrap import Bootstrap, ClassScores, Interval, interval
from vivavoce.evaluation.metrics.rates import det_curve, error_rates_at


def _classes(seed: int, speakers: int = 6, trials: int = 60, decimals: int = 1) -> dict[str, ClassScores]:
    """Targets of one person each, non-targets of two; rounded, so that scores are tied."""
    rng = np.random.default_rng(seed)
    own, first = rng.integers(0, speakers, trials), rng.integers(0, speakers, 2 * trials)
    second = (first + rng.integers(1, speakers, first.size)) % speakers
    return {
        "target": ClassScores.of(rng.normal(1, 1, own.size).round(decimals), own),
        "nontarget": ClassScores.of(rng.normal(0, 1, first.size).round(decimals), first, second),
    }


def _copied(trials: ClassScores, draw: np.ndarray) -> np.ndarray:
    """Scores as often as their speakers are drawn."""
    same = trials.first == trials.second
    return np.repeat(trials.scores, (draw[trials.first] * np.where(same, 1, draw[trials.second])).astype(int))


@given(seed=st.integers(0, 50), speakers=st.integers(2, 9))
def test_each_resample_has_the_rates_of_copied_trials(seed: int, speakers: int) -> None:
    classes = _classes(seed, speakers)
    boot = Bootstrap(speakers, resamples=8, seed=seed)
    curves = boot.curves(classes)
    p_miss, p_fa = curves.p_miss("target"), curves.p_fa("nontarget")
    for number, draw in enumerate(boot.draws):
        targets, others = (_copied(classes[name], draw) for name in ("target", "nontarget"))
        if not targets.size or not others.size:
            continue
        rates = error_rates_at(curves.thresholds, targets, others)
        np.testing.assert_allclose(p_miss[number], rates.p_miss, atol=1e-12)
        np.testing.assert_allclose(p_fa[number], rates.p_fa, atol=1e-12)


def test_the_draw_of_everybody_once_gives_the_curve_itself() -> None:
    classes = _classes(1)
    boot = Bootstrap(6, resamples=1)
    boot.draws[:] = 1
    curves = boot.curves(classes)
    p_miss, p_fa, thresholds = det_curve(classes["target"].scores, classes["nontarget"].scores)
    np.testing.assert_array_equal(curves.thresholds, thresholds)
    np.testing.assert_allclose(curves.p_miss("target")[0], p_miss)
    np.testing.assert_allclose(curves.p_fa("nontarget")[0], p_fa, atol=1e-15)


def test_classes_together_weigh_by_their_trials() -> None:
    classes = _classes(2)
    boot = Bootstrap(6, resamples=5)
    both = boot.curves(classes)
    joined = {
        "all": ClassScores(
            *(
                np.concatenate([getattr(classes[name], part) for name in classes])
                for part in ("scores", "first", "second")
            )
        )
    }
    np.testing.assert_allclose(both.p_fa("target", "nontarget"), boot.curves(joined).p_fa("all"), atol=1e-12)


def test_rates_at_a_given_threshold_are_those_of_the_trials() -> None:
    classes = _classes(3, decimals=8)
    boot = Bootstrap(6, resamples=20)
    curves = boot.curves(classes, thresholds=[0.123, -50.0])
    wrong = classes["nontarget"].scores >= 0.123
    np.testing.assert_allclose(
        curves.p_fa("nontarget")[:, curves.at(0.123)], boot.means(wrong, classes["nontarget"]), atol=1e-12
    )
    assert (curves.p_fa("nontarget")[:, curves.at(-50.0)] == 1).all()
    with pytest.raises(ValueError, match="none of the levels"):
        curves.at(0.5)


def test_many_levels_are_thinned_and_rates_stay_within_a_per_cent_of_themselves(monkeypatch) -> None:
    classes = _classes(4, speakers=40, trials=4000, decimals=9)
    exact = Bootstrap(40, resamples=3)
    whole = exact.curves(classes)
    monkeypatch.setattr(bootstrap, "LEVELS_OF_A_CLASS", 1000)
    thinned = exact.curves(classes)
    assert len(thinned.thresholds) < 0.4 * len(whole.thresholds)
    for name in classes:
        for rate, fine in ((thinned.p_fa(name), whole.p_fa(name)), (thinned.p_miss(name), whole.p_miss(name))):
            for row, fine_row in zip(rate, fine, strict=True):
                there = np.interp(whole.thresholds[:-1], thinned.thresholds[:-1], row[:-1])
                few = 40 / len(classes[name])
                assert np.abs(there - fine_row[:-1]).max() <= few + 0.02


def test_means_are_those_of_copied_trials_and_none_where_nobody_is_drawn() -> None:
    trials = _classes(5)["nontarget"]
    boot = Bootstrap(6, resamples=30)
    value = np.sin(trials.scores)
    lonely = ClassScores(trials.scores[:1], trials.first[:1], trials.second[:1])
    for draw, mean, one in zip(boot.draws, boot.means(value, trials), boot.means(value[:1], lonely), strict=True):
        weight = draw[trials.first] * draw[trials.second]
        assert mean == pytest.approx((weight @ value) / weight.sum())
        drawn = draw[trials.first[0]] * draw[trials.second[0]] > 0
        assert (one == pytest.approx(value[0])) if drawn else np.isnan(one)


def test_an_interval_leaves_out_resamples_without_the_figure() -> None:
    assert interval(np.full(9, np.nan)) is None
    found = interval(np.array([np.nan, 0.1, 0.2, np.inf, 0.3]))
    assert found is not None
    assert 0.1 <= found.low < found.high <= 0.3
    assert interval(np.zeros(9), trials=50) == Interval(0.0, 0.06, "rule of 3")
    cost = interval(np.zeros(9))
    assert cost is not None
    assert cost.high == 0, "only a rate has a rule of 3"


def test_draws_are_seeded_and_as_many_as_there_are_speakers() -> None:
    assert (Bootstrap(7, 20, seed=1).draws == Bootstrap(7, 20, seed=1).draws).all()
    assert (Bootstrap(7, 20, seed=1).draws != Bootstrap(7, 20, seed=2).draws).any()
    assert (Bootstrap(7, 20).draws.sum(axis=1) == 7).all()
    with pytest.raises(ValueError, match="speakers=0"):
        Bootstrap(0)
