"""The reality check: how often it calls luck a gain, and a gain luck."""

import numpy as np
import pytest

from vivavoce.tuning.chance import Chance, judge

SPEAKERS, DRAWS = 40, 200


def study(truth: np.ndarray, seed: int, noise: float = 0.1, common: float = 0.2, speakers: int = SPEAKERS) -> Chance:
    """Judge trials of a true metric on speakers who differ in how hard they are, alike for all trials and apart."""
    rng = np.random.default_rng(seed)
    errors = truth[:, None] + common * rng.normal(size=speakers) + noise * rng.normal(size=(len(truth), speakers))
    draws = rng.multinomial(speakers, np.full(speakers, 1 / speakers), size=DRAWS)
    found = judge(list(range(len(truth))), errors.mean(axis=1), errors @ draws.T / speakers, speakers, 0)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("trials", "speakers", "allowed"), [(2, 40, 0.08), (10, 40, 0.08), (60, 40, 0.08), (20, 10, 0.08)]
)
def test_pure_luck_is_seldom_called_a_gain(trials: int, speakers: int, allowed: float) -> None:
    """5 % are meant; 400 studies leave that uncertain by ±2 %, and ten speakers are enough."""
    called = np.mean([study(np.full(trials, 0.1), seed, speakers=speakers).beyond for seed in range(400)])
    assert called <= allowed


def test_luck_alone_gains_ever_more_with_more_trials() -> None:
    """Which is why it is compared with a bound that grows, too: a fixed one would call most of these gains."""
    gains, bounds = (
        [float(np.mean([getattr(study(np.full(n, 0.1), seed), name) for seed in range(100)])) for n in (2, 10, 60)]
        for name in ("gain", "by_chance")
    )
    assert gains[0] < gains[1] < gains[2]
    assert bounds[0] < bounds[1] < bounds[2]
    # sd of the difference of two trials; the best of n gains about its mean maximum: 0.56, 1.54 and 2.32 sd of one.
    assert gains[2] == pytest.approx(2.32 * 0.1 / SPEAKERS**0.5, rel=0.15)


def test_a_clear_gain_is_called_one_and_a_small_one_is_not() -> None:
    sd = 0.1 / SPEAKERS**0.5
    truth = np.full(30, 0.1)
    truth[17] -= 8 * sd
    found = [study(truth, seed) for seed in range(100)]
    assert np.mean([chance.beyond and chance.best == 17 for chance in found]) > 0.97
    truth[17] = 0.1 - 0.5 * sd
    assert np.mean([study(truth, seed).beyond for seed in range(100)]) < 0.15


def test_hopeless_trials_do_not_hide_a_gain() -> None:
    """White's test alone would take the wide scatter of bad trials for what chance can do."""
    sd = 0.1 / SPEAKERS**0.5
    rng = np.random.default_rng(0)
    errors = np.full((30, SPEAKERS), 0.1) + 0.1 * rng.normal(size=(30, SPEAKERS))
    errors[5] -= 8 * sd
    errors[10:] += 0.9 + 0.8 * rng.normal(size=(20, SPEAKERS))
    draws = rng.multinomial(SPEAKERS, np.full(SPEAKERS, 1 / SPEAKERS), size=DRAWS)
    found = judge(list(range(30)), errors.mean(axis=1), errors @ draws.T / SPEAKERS, SPEAKERS, 0)
    assert found is not None
    assert found.beyond
    assert found.by_chance < 6 * sd


def test_what_cannot_be_compared_is_not() -> None:
    drawn = np.random.default_rng(0).normal(size=(2, 50))
    values = np.array([0.1, 0.2])
    assert judge([0], values[:1], drawn[:1], 10, 0) is None
    assert judge([0, 1], values, drawn, 9, 0) is None
    drawn[0, ::2] = np.nan
    drawn[1, 1::2] = np.nan
    assert judge([0, 1], values, drawn, 10, 0) is None


def test_without_a_start_gains_count_from_the_median() -> None:
    values = np.array([0.4, 0.1, 0.3, 0.2, 0.5])
    drawn = values[:, None] + 0.01 * np.random.default_rng(0).normal(size=(5, 100))
    found = judge([3, 5, 6, 8, 9], values, drawn, 20, None)
    assert found is not None
    assert (found.reference, found.best, found.is_start) == (6, 5, False)
    assert found.gain == pytest.approx(0.2)
    assert "the median one" in found.sentence("eer")
    assert "20.00 points" in found.sentence("eer")
    unbeaten = judge([3, 5, 6, 8, 9], values, drawn, 20, 5)
    assert unbeaten is not None
    assert not unbeaten.beyond
    assert unbeaten.sentence("eer") == "None of the 5 trials that ended is better than trial 5, which you began with."
    pruned = judge([3, 5, 6, 8, 9], values, drawn, 20, 4)
    assert pruned == found
