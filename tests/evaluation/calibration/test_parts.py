import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.parts import (
    Calibration,
    LivenessCalibration,
    LogisticCalibration,
    PartCalibration,
    intraclass_correlation,
)
from vivavoce.evaluation.metrics.detection import eer

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
    mouth = LivenessCalibration.fit([1.0, 2.0, 3.0], [0.0, 1.5])
    for calibration in (Calibration(speaker=part, liveness=mouth), Calibration(speaker=part)):
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


def crops(rng, growth, speakers=200):
    """Scores whose log-likelihood ratio is known: ``2 * score * (seconds / 3) ** growth``."""
    seconds = rng.choice([2.0, 3.0, 6.0], speakers * 20)
    drift = 2.0 * (seconds / 3) ** growth  # ratio a unit of score; scores N(±m, s²) with 2 m / s² = drift
    live = rng.random(seconds.size) < 0.5
    scores = np.where(live, 1, -1) * 1.0 + rng.normal(size=seconds.size) * np.sqrt(2 / drift)
    return scores, seconds, live


@pytest.mark.parametrize("growth", [0.0, 0.5, 1.0])
def test_what_a_second_more_is_worth_is_found(growth):
    scores, seconds, live = crops(np.random.default_rng(1), growth)
    whole = LivenessCalibration.fit(scores[live], scores[~live])
    fitted = whole.with_durations(scores[live], scores[~live], seconds[live], seconds[~live])
    assert fitted.growth == pytest.approx(growth, abs=0.15)
    true = 2.0 * scores * (seconds / 3) ** growth
    sure = np.abs(true) < 4
    np.testing.assert_allclose(fitted.evidence_of(scores, seconds)[sure], true[sure], atol=0.6)
    assert (fitted.threshold, fitted.eer, fitted.n_target) == (whole.threshold, whole.eer, whole.n_target)


@given(score=st.floats(-100, 100), seconds=st.floats(0.5, 60))
def test_evidence_is_bounded_rises_with_the_score_and_with_time(score, seconds):
    part = LivenessCalibration(
        scale=1.0, offset=0.0, threshold=0.0, eer=0.1, n_target=99, n_nontarget=499, growth=0.5, reference_s=3.0
    )
    value = float(part.evidence_of(score, seconds))
    assert -np.log(100) - 1e-9 <= value <= np.log(500) + 1e-9
    assert part.evidence_of(score + 1, seconds) >= value
    assert abs(part.evidence_of(score, 2 * seconds)) >= abs(value)


@pytest.mark.parametrize("true", [0.0, 0.4, 0.8])
def test_the_correlation_of_one_speakers_recordings_is_found(true):
    rng = np.random.default_rng(0)
    speakers = np.repeat(np.arange(300), 5)
    values = np.sqrt(true) * rng.normal(size=300)[speakers] + np.sqrt(1 - true) * rng.normal(size=1500)
    assert intraclass_correlation(values, speakers) == pytest.approx(true, abs=0.07)


def test_few_speakers_get_a_careful_correlation():
    rng = np.random.default_rng(0)
    assert intraclass_correlation(rng.normal(size=12), np.repeat(["a", "b", "c"], 4)) >= 0.5
    assert intraclass_correlation([1.0, 2.0], ["a", "b"]) == 0.5
    assert intraclass_correlation([1.0, 1.0, 2.0, 2.0], ["a", "a", "b", "b"]) == 1.0
