import numpy as np
import pytest

from vivavoce.evaluation.calibration.drift import FALSE_ALARMS, drift_notes, unseen_notes
from vivavoce.evaluation.calibration.parts import Calibration, LivenessCalibration, PartCalibration
from vivavoce.evaluation.calibration.seen import SeenScores

NAN = float("nan")


def calibration(
    rng: np.random.Generator, size: int = 300, correlation: float = 0.0, speakers: int | None = None
) -> Calibration:
    """Speaker scores N(2, 1) and N(0, 1), liveness scores N(3, 1) and N(-3, 1)."""
    line = {"scale": 1.0, "offset": 0.0, "threshold": 0.0, "eer": 0.1, "n_target": size, "n_nontarget": size}
    who = None if speakers is None else np.arange(size) % speakers

    def seen(*means: float) -> dict[str, SeenScores]:
        values = (draw(rng, mean, size, correlation, speakers) for mean in means)
        found = (SeenScores.of(one, correlation, who) for one in values)
        return dict(zip(("target", "nontarget"), found, strict=True))

    return Calibration(
        speaker=PartCalibration(**line, seen=seen(2, 0)), liveness=LivenessCalibration(**line, seen=seen(3, -3))
    )


def draw(rng, mean, size, correlation=0.0, speakers=None) -> np.ndarray:
    own = rng.normal(size=speakers or size)[np.arange(size) % (speakers or size)]
    return mean + np.sqrt(correlation) * own + np.sqrt(1 - correlation) * rng.normal(size=size)


@pytest.mark.parametrize(("correlation", "speakers"), [(0.0, None), (0.5, 20)])
@pytest.mark.parametrize("labelled", [False, True])
def test_scores_of_the_same_kind_raise_no_more_alarms_than_stated(labelled, correlation, speakers) -> None:
    rng = np.random.default_rng(0)
    rounds, alarms = 200, 0
    for _ in range(rounds):
        found = calibration(rng, 200, correlation, speakers)
        voices = np.concatenate([draw(rng, mean, 150, correlation, speakers) for mean in (2, 0)])
        mouths = np.concatenate([draw(rng, mean, 150, correlation, speakers) for mean in (3, -3)])
        labels = np.repeat(["target", "nontarget"], 150) if labelled else None
        kinds = np.repeat(["live", "replay_stand"], 150) if labelled else None
        alarms += bool(drift_notes(found, voices, mouths, labels, kinds))
    assert alarms / rounds <= 2.5 * FALSE_ALARMS  # 2 expected at the most, and more than 5 in 200 once in sixty


def test_a_mixture_of_classes_unlike_the_calibrations_is_no_drift() -> None:
    rng = np.random.default_rng(1)
    alarms = [bool(drift_notes(calibration(rng), rng.normal(2, 1, 500), rng.normal(-3, 1, 500))) for _ in range(100)]
    assert np.mean(alarms) <= 2.5 * FALSE_ALARMS


def test_scores_that_have_shifted_are_told_with_the_numbers() -> None:
    rng = np.random.default_rng(2)
    found = calibration(rng)
    voices, mouths = rng.normal(2, 1, 200), rng.normal(9, 1, 200)
    (note,) = drift_notes(found, voices, mouths)
    assert "of 200 liveness scores lie outside" in note
    assert "vivavoce calibrate" in note
    assert len(drift_notes(found, voices + 9, mouths)) == 2
    assert drift_notes(found, voices, np.full(200, NAN)) == []
    assert drift_notes(found, None, None) == []


def test_a_class_that_moves_into_the_other_is_told_where_truth_is_known() -> None:
    rng = np.random.default_rng(3)
    found = calibration(rng)
    voices = np.concatenate([rng.normal(-2, 1, 100), rng.normal(0, 1, 100)])
    labels = np.repeat(["target", "nontarget"], 100)
    assert "speaker scores of the user" in drift_notes(found, voices, None, labels)[0]
    attacks = drift_notes(found, None, rng.normal(3, 1, 100), kinds=np.repeat(["swapped_mouth"], 100))
    assert "liveness scores of attacks" in attacks[0]
    assert drift_notes(found, None, rng.normal(3, 1, 100), kinds=np.repeat(["probe_absent"], 100)) == []


def test_a_calibration_without_ranges_says_nothing() -> None:
    bare = Calibration(speaker=PartCalibration.fit([1.0, 2.0], [0.0, 0.5]))
    assert drift_notes(bare, np.full(100, 99.0), np.full(100, 99.0)) == []
    assert unseen_notes(bare, 99.0, 99.0) == []


def test_one_score_beyond_all_that_was_seen_is_told() -> None:
    found = calibration(np.random.default_rng(4))
    assert unseen_notes(found, 1.0, 0.0) == []
    assert unseen_notes(found, NAN, NAN) == []
    (note,) = unseen_notes(found, 1.0, 50.0)
    assert note.startswith("The liveness score 50.00 lies outside")
    assert len(unseen_notes(found, -50.0, -50.0)) == 2


def test_ranges_leave_a_thousandth_out_where_there_are_scores_enough() -> None:
    values = np.arange(10_000.0)
    seen = SeenScores.of(values)
    assert (seen.lowest, seen.highest) == (0, 9999)
    assert (seen.outside, seen.low, seen.high) == (10, 9, 9990)
    assert (SeenScores.of(values[:500]).low, SeenScores.of(values[:500]).high) == (0, 499)


def test_scores_of_few_speakers_are_worth_few() -> None:
    values = np.arange(100.0)
    assert SeenScores.of(values, 1.0, np.repeat(np.arange(5), 20)).worth == pytest.approx(5)
    assert SeenScores.of(values, 0.0, np.repeat(np.arange(5), 20)).worth == 100
    assert SeenScores.of(values, 0.5).worth == 100
