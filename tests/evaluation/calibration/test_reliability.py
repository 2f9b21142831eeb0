import numpy as np
import pytest

from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.reliability import reliability


def calibrated(targets: int, nontargets: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(1, np.sqrt(2), targets), rng.normal(-1, np.sqrt(2), nontargets)


@pytest.mark.parametrize("nontargets", [20_000, 2_000])
def test_calibrated_ratios_come_true_whatever_the_classes_sizes(nontargets) -> None:
    found = reliability(*calibrated(20_000, nontargets))
    assert sum(one.count for one in found) == 20_000 + nontargets
    for one in found:
        assert one.low <= one.predicted <= one.high
        assert one.observed == pytest.approx(one.predicted, abs=0.04)
        assert one.lowest <= one.observed <= one.highest
    assert np.mean([one.lowest <= one.predicted <= one.highest for one in found]) >= 0.8


def test_overconfident_ratios_do_not() -> None:
    targets, nontargets = calibrated(5000, 5000)
    first, *_, last = reliability(3 * targets, 3 * nontargets)
    assert first.observed > first.highest or first.observed > first.predicted + 0.03
    assert last.observed < last.predicted - 0.03


def test_bins_without_a_trial_are_left_out_and_few_trials_say_little() -> None:
    found = reliability([5.0], [-5.0], bins=4)
    assert [(one.count, one.observed) for one in found] == [(1, 0.0), (1, 1.0)]
    assert found[0].highest > 0.9


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="no target"):
        reliability([], [1.0])
    with pytest.raises(ValueError, match="bins"):
        reliability([1.0], [0.0], bins=0)
