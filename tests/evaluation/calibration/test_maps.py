import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.config import CalibrationConfig
from vivavoce.evaluation.calibration.known import UNKNOWN, Known
from vivavoce.evaluation.calibration.mapping import Scored, fit_maps, measured_quality, quality_notes, with_maps
from vivavoce.evaluation.calibration.maps import IsotonicMap, LogisticMap, RatioMaps
from vivavoce.evaluation.calibration.parts import PartCalibration
from vivavoce.evaluation.metrics.ratios import cllr, min_cllr

scores = arrays(np.float64, st.integers(1, 30), elements=st.floats(-50, 50))
coarse = arrays(np.float64, st.integers(1, 30), elements=st.integers(-50, 50).map(float))


def gaussian(size: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose ratio is 2 x - 2."""
    rng = np.random.default_rng(seed)
    return rng.normal(2, 1, size), rng.normal(0, 1, size)


def scored(targets: np.ndarray, nontargets: np.ndarray, known: Known | None = None) -> Scored:
    """Ten speakers, each with as much of both classes as the others."""
    size = len(targets) + len(nontargets)
    person = np.arange(size) % 10
    return Scored(
        np.concatenate([targets, nontargets]), np.arange(size) < len(targets), known or Known(), person, person
    )


@given(scores, scores)
def test_every_map_rises_is_finite_and_is_no_surer_than_its_trials(targets: np.ndarray, nontargets: np.ndarray) -> None:
    both, which = np.concatenate([targets, nontargets]), np.arange(targets.size + nontargets.size) < targets.size
    grid = np.unique(np.concatenate([both, np.linspace(-60, 60, 25)]))
    for one in (LogisticMap.of_known(both, which), IsotonicMap.fit(targets, nontargets)):
        ratios = one.ratios(grid)
        assert np.isfinite(ratios).all()
        assert (np.diff(ratios) >= 0).all()
        assert (one.bounded(ratios) <= np.log(nontargets.size + 1) + 1e-9).all()
        assert (one.bounded(ratios) >= -np.log(targets.size + 1) - 1e-9).all()


def test_isotonic_ratios_cost_what_the_best_rising_map_costs() -> None:
    targets, nontargets = gaussian()
    one = IsotonicMap.fit(targets, nontargets)
    reached = cllr(one.ratios(targets), one.ratios(nontargets))
    # Above the least by what one more trial of each class at either end comes to, and never below it.
    assert 0 <= reached - min_cllr(targets, nontargets) < 0.002


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_gaussian_scores_become_calibrated(method) -> None:
    maps, _ = fit_maps(scored(*gaussian()), CalibrationConfig(method=method))
    targets, nontargets = gaussian(seed=1)
    assert cllr(maps.ratios(targets), maps.ratios(nontargets)) < min_cllr(targets, nontargets) + 0.02
    sure = (targets > -0.5) & (targets < 2.5)
    np.testing.assert_allclose(maps.ratios(targets[sure]), 2 * targets[sure] - 2, atol=0.8)


@given(coarse, coarse, st.floats(-3, 3))
def test_the_score_at_a_ratio_reaches_it(targets: np.ndarray, nontargets: np.ndarray, ratio: float) -> None:
    both, which = np.concatenate([targets, nontargets]), np.arange(targets.size + nontargets.size) < targets.size
    assume(both.std() > 1e-3)  # a line through scores that are all alike is as steep as rounding makes it
    for one in (LogisticMap.of_known(both, which), IsotonicMap.fit(targets, nontargets)):
        score = float(one.score_at(ratio))
        if np.isfinite(score):
            assert one.ratios(score) == pytest.approx(ratio, abs=1e-6)
        else:
            assert (one.ratios([-1e9, 1e9]) >= ratio).all() if score < 0 else (one.ratios([-1e9, 1e9]) < ratio).all()


def noisy(size: int = 3000, seed: int = 0) -> Scored:
    """Scores that fall by 0.1 a dB of noise in both classes; in truth the ratio is 2 (score + 0.1 noise) - 2."""
    rng = np.random.default_rng(seed)
    snr_db = rng.uniform(0, 20, 2 * size)
    is_target = np.arange(2 * size) < size
    values = rng.normal(np.where(is_target, 2.0, 0.0)) + 0.1 * (snr_db - 20)
    person = np.arange(2 * size) % 10
    return Scored(values, is_target, Known(measures={"snr_db": snr_db}), person, person)


def test_a_quality_measure_takes_its_effect_back() -> None:
    found = noisy()
    maps, _ = fit_maps(found, CalibrationConfig(quality=("snr_db",)))
    assert isinstance(maps.pooled, LogisticMap)
    (term,) = maps.pooled.terms
    assert term.weight == pytest.approx(-0.2, rel=0.1)  # nats a dB
    new = noisy(seed=1)
    plain, _ = fit_maps(found, CalibrationConfig())
    costs = [
        cllr(ratios[new.is_target], ratios[~new.is_target])
        for ratios in (maps.ratios(new.scores, new.known), plain.ratios(new.scores))
    ]
    assert costs[0] < costs[1] - 0.01


def test_a_measure_beyond_what_was_seen_counts_as_the_last_seen_and_an_unknown_one_not_at_all() -> None:
    maps, _ = fit_maps(noisy(), CalibrationConfig(quality=("snr_db",)))
    assert isinstance(maps.pooled, LogisticMap)
    far, edge = (maps.ratios(1.0, Known(measures={"snr_db": value})) for value in (90.0, maps.pooled.terms[0].high))
    assert far == edge
    unknown = maps.ratios([1.0, 1.0], Known(measures={"snr_db": [np.nan, 10.0]}))
    assert maps.plain is not None
    assert unknown[0] == maps.plain.ratios(1.0)
    assert unknown[1] == maps.ratios(1.0, Known(measures={"snr_db": 10.0}))
    assert maps.ratios(1.0) == maps.plain.ratios(1.0)
    assert np.isnan(maps.ratios(np.nan))


def by_posture(seed: int = 0) -> Scored:
    """On a stand scores tell much, in the hand they are half as large; at the ear there are few."""
    rng = np.random.default_rng(seed)
    posture = np.array(["stand"] * 500 + ["handheld"] * 500 + ["ear"] * 12 + [UNKNOWN] * 8)
    is_target = rng.random(len(posture)) < 0.5
    is_target[1000:1012] = np.arange(12) < 3
    size = np.where(posture == "handheld", 0.5, 1.0)
    values = size * rng.normal(np.where(is_target, 2.0, 0.0))
    person = np.arange(len(posture)) % 10
    return Scored(values, is_target, Known(conditions={"posture": posture}), person, person)


def test_each_condition_has_its_map_and_rare_or_unknown_ones_the_pooled() -> None:
    maps, notes = fit_maps(by_posture(), CalibrationConfig(condition="posture"))
    assert set(maps.maps) == {"stand", "handheld"}
    assert len(notes) == 1
    assert "ear" in notes[0]

    def asked(posture: str | None) -> float:
        return float(maps.ratios(1.0, Known(conditions={"posture": posture} if posture is not None else {})))

    assert asked("handheld") == pytest.approx(2.0, abs=0.7)  # of unit normals at 2 and 0, twice the score
    assert asked("stand") == pytest.approx(0.0, abs=0.4)
    pooled = float(maps.pooled.ratios(1.0))
    assert asked("ear") == asked("table") == asked(UNKNOWN) == asked(None) == pooled
    assert asked("stand") != pooled


def test_durations_are_binned_where_there_are_as_many() -> None:
    found = scored(*gaussian(300))
    seconds = np.random.default_rng(0).uniform(1, 7, found.scores.size)
    maps, notes = fit_maps(found._replace(known=Known(seconds)), CalibrationConfig(condition="duration"))
    assert notes == []
    assert maps.edges_s == pytest.approx((3, 5), abs=0.4)
    assert len(maps.maps) == 3
    short, long = (maps.ratios(1.0, Known(value)) for value in (0.5, 60.0))
    names = list(maps.maps)
    assert short == next(maps.maps[name] for name in names if name.startswith("under")).ratios(1.0)
    assert long == next(maps.maps[name] for name in names if name.endswith("more")).ratios(1.0)


def test_an_unknown_condition_everywhere_is_told() -> None:
    maps, notes = fit_maps(scored(*gaussian(50)), CalibrationConfig(condition="device"))
    assert maps.maps == {}
    assert "No validation recording says its device" in notes[0]


@pytest.mark.parametrize("config", [
    CalibrationConfig(method="isotonic", condition="posture"),
    CalibrationConfig(condition="posture"),
])  # fmt: skip
def test_maps_survive_json(config) -> None:
    found = by_posture()
    maps, _ = fit_maps(found, config)
    again = RatioMaps.model_validate(json.loads(json.dumps(maps.model_dump(mode="json"))))
    assert again == maps
    np.testing.assert_array_equal(again.ratios(found.scores, found.known), maps.ratios(found.scores, found.known))


@pytest.mark.parametrize("change", [
    {"scores": (0.0, 0.0)}, {"values": (1.0, 0.0)}, {"scores": (0.0,)}, {"values": (0.0, float("inf"))},
])  # fmt: skip
def test_a_stored_isotonic_map_is_checked(change) -> None:
    stored = {"scores": (0.0, 1.0), "values": (0.0, 1.0), "n_target": 3, "n_nontarget": 3}
    IsotonicMap.model_validate(stored)
    with pytest.raises(ValidationError):
        IsotonicMap.model_validate(stored | change)


def test_a_class_without_the_measure_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="no target score"):
        LogisticMap.of_known([1.0, 0.0], [True, False], Known(measures={"snr_db": [np.nan, 3.0]}), ("snr_db",))


def test_quality_goes_with_lines_alone() -> None:
    with pytest.raises(ValidationError, match="logistic"):
        CalibrationConfig(method="isotonic", quality=("duration",))


def test_what_does_not_hold_on_other_people_is_told() -> None:
    """Each of ten speakers has a device of his own: maps by device learn ten people, and know nothing of others."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(10), 40)
    is_target = np.arange(400) % 2 == 0
    values = rng.normal(np.where(is_target, 1.0, 0.0)) + rng.normal(0, 1, 10)[person]
    found = Scored(values, is_target, Known(conditions={"device": person.astype(str)}), person, person)
    config = CalibrationConfig(condition="device")
    part, _ = with_maps(PartCalibration.fit(values[is_target], values[~is_target]), found, config)
    quality = measured_quality(None, part, found, config)
    assert quality.before == 1.0
    assert quality.held_out is not None
    assert quality.after < quality.held_out
    isotonic = CalibrationConfig(method="isotonic", condition="device")
    part, _ = with_maps(part, found, isotonic)
    worse = measured_quality(None, part, found, isotonic)
    assert quality_notes("speaker", worse)[0].startswith("Speaker: on people held out, a plain line is better")
    assert quality_notes("speaker", quality._replace(held_out=None)) == []


def test_few_speakers_cannot_be_held_out() -> None:
    found = scored(*gaussian(30))
    alone = found._replace(first=np.zeros(60, int), second=np.zeros(60, int))
    part = PartCalibration.fit(found.scores[found.is_target], found.scores[~found.is_target])
    assert measured_quality(part, part, alone, CalibrationConfig()).held_out is None
