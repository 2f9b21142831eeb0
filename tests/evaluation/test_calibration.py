import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from vivavoce.errors import UserError
from vivavoce.evaluation.calibration import Calibration, LogisticCalibration, PartCalibration
from vivavoce.evaluation.metrics import eer

scores = arrays(np.float64, st.integers(1, 30), elements=st.floats(-50, 50))


def test_gaussian_scores_get_their_true_ratio() -> None:
    # Unit normals at d and 0 have the log-likelihood ratio d x - d^2 / 2.
    rng = np.random.default_rng(0)
    line = LogisticCalibration.fit(rng.normal(2, 1, 20_000), rng.normal(0, 1, 40_000))
    assert line.scale == pytest.approx(2.0, rel=0.05)
    assert line.offset == pytest.approx(-2.0, rel=0.06)


def test_the_ratio_does_not_depend_on_how_many_trials_a_class_has() -> None:
    rng = np.random.default_rng(1)
    targets, nontargets = rng.normal(1.5, 1, 5000), rng.normal(0, 1, 5000)
    few, many = LogisticCalibration.fit(targets, nontargets), LogisticCalibration.fit(targets, np.tile(nontargets, 20))
    assert many.log_likelihood_ratio(0.7) == pytest.approx(few.log_likelihood_ratio(0.7), abs=0.02)


@given(scores, scores)
def test_any_scores_give_a_finite_rising_line(targets: np.ndarray, nontargets: np.ndarray) -> None:
    line = LogisticCalibration.fit(targets, nontargets)
    grid = np.linspace(-60, 60, 7)
    probability = line.probability(grid)
    assert (np.diff(line.log_likelihood_ratio(grid)) > 0).all()
    assert (np.diff(probability) >= 0).all()
    assert ((probability >= 0) & (probability <= 1)).all()


@given(scores, scores, st.floats(0.1, 100), st.floats(-100, 100))
def test_a_change_of_scale_changes_nothing(
    targets: np.ndarray, nontargets: np.ndarray, stretch: float, shift: float
) -> None:
    if np.concatenate([targets, nontargets]).std() < 1e-3:
        return
    plain = LogisticCalibration.fit(targets, nontargets).log_likelihood_ratio(targets)
    moved = LogisticCalibration.fit(targets * stretch + shift, nontargets * stretch + shift)
    np.testing.assert_allclose(moved.log_likelihood_ratio(targets * stretch + shift), plain, rtol=1e-2, atol=1e-2)


def test_separable_scores_stay_modest_and_grow_with_evidence() -> None:
    def ratio(count: int) -> float:
        rng = np.random.default_rng(2)
        line = LogisticCalibration.fit(10 + rng.random(count), rng.random(count))
        return float(line.log_likelihood_ratio(10.5))

    assert 0.5 < ratio(2) < ratio(20) < ratio(200) < 12


def test_scores_the_wrong_way_round_say_no_evidence() -> None:
    rng = np.random.default_rng(3)
    line = LogisticCalibration.fit(rng.normal(-2, 1, 100), rng.normal(2, 1, 100))
    assert abs(line.log_likelihood_ratio(3.0)) < 0.02


def test_the_prior_moves_the_probability() -> None:
    line = LogisticCalibration(scale=1.0, offset=0.0)
    assert line.probability(0.0) == pytest.approx(0.5)
    assert line.probability(0.0, prior=0.01) == pytest.approx(0.01)


def test_the_threshold_is_the_eer_point() -> None:
    rng = np.random.default_rng(4)
    targets, nontargets = rng.normal(2, 1, 200), rng.normal(0, 1, 300)
    part = PartCalibration.fit(targets, nontargets)
    assert (part.eer, part.threshold) == eer(targets, nontargets)
    assert (part.n_target, part.n_nontarget, part.source) == (200, 300, "validation")
    assert part.accepts([part.threshold, part.threshold - 1e-6]).tolist() == [True, False]


def test_a_calibration_survives_json() -> None:
    part = PartCalibration.fit([1.0, 2.0, 3.0], [0.0, 1.5])
    for calibration in (Calibration(speaker=part, liveness=part), Calibration(speaker=part)):
        stored = json.dumps(calibration.model_dump(mode="json"))
        assert Calibration.model_validate(json.loads(stored)) == calibration


@pytest.mark.parametrize("change", [{"scale": 0.0}, {"scale": -1.0}, {"threshold": float("nan")}, {"source": "test"}])
def test_a_stored_calibration_is_checked(change: dict[str, object]) -> None:
    stored = PartCalibration.fit([1.0, 2.0], [0.0]).model_dump()
    with pytest.raises(ValidationError):
        PartCalibration.model_validate(stored | change)


@pytest.mark.parametrize(("targets", "nontargets", "words"), [
    ([], [1.0], "no target score"),
    ([1.0], [], "no non-target score"),
    ([1.0], [np.inf], "not finite"),
])  # fmt: skip
def test_a_missing_class_is_a_clear_error(targets: list[float], nontargets: list[float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        PartCalibration.fit(targets, nontargets)


def test_a_prior_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(ValueError, match="prior"):
        LogisticCalibration.fit([1.0], [0.0], prior=1.0)
