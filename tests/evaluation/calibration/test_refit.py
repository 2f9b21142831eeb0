import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.config import CalibrationConfig
from vivavoce.evaluation.calibration.decision import CostAim, FalseAcceptAim
from vivavoce.evaluation.calibration.known import Known
from vivavoce.evaluation.calibration.parts import Calibration, LivenessCalibration, PartCalibration
from vivavoce.evaluation.calibration.refit import refit, stated
from vivavoce.evaluation.calibration.split import CalibrationSplit
from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5

NAN = float("nan")
SPEAKERS, EACH = 20, 30
FUSIONS = ("rule", "product", "logistic")


def make_split(seed: int = 0, speakers: int = SPEAKERS) -> CalibrationSplit:
    """Each speaker has live recordings, replays (easy) and swapped mouths (hard), and one recording without a probe."""
    rng = np.random.default_rng(seed)
    kinds = np.array((["live"] * EACH + ["replay_stand"] * 10 + ["swapped_mouth"] * 10 + ["probe_absent"]) * speakers)
    person = np.repeat(np.arange(speakers), EACH + 21)
    means = {"live": 2.0, "replay_stand": -6.0, "swapped_mouth": -1.0, "probe_absent": NAN}
    liveness = rng.normal([means[kind] for kind in kinds], 1.2)
    items = np.arange(len(kinds))
    live = items[kinds == "live"]
    other = rng.choice(live, 10 * len(live) // 3)
    claims = rng.integers(0, speakers, other.size)
    other, claims = other[claims != person[other]], claims[claims != person[other]]
    test = np.concatenate([live, other, items[kinds != "live"]])
    labels = np.concatenate([["target"] * live.size, ["nontarget"] * other.size, kinds[kinds != "live"]])
    return CalibrationSplit(
        liveness=liveness,
        is_live=kinds == "live",
        is_attack=np.isin(kinds, ["replay_stand", "swapped_mouth"]),
        person=person,
        known=Known(rng.uniform(2, 6, len(kinds)), {"posture": rng.choice(["stand", "handheld"], len(kinds))}, {}),
        doubted=np.zeros(len(kinds), bool),
        speaker=rng.normal(np.where(labels == "nontarget", 0.1, 0.7), 0.14),
        labels=labels,
        test=test,
        enrolled=np.concatenate([person[live], claims, person[kinds != "live"]]),
    )


def parts_of(split: CalibrationSplit) -> Calibration:
    heard = ~np.isnan(split.liveness)
    return Calibration(
        speaker=PartCalibration.fit(split.speaker[split.is_target], split.speaker[split.is_nontarget]),
        liveness=LivenessCalibration.fit(split.liveness[split.is_live & heard], split.liveness[split.is_attack]),
    )


SPLIT = make_split()
PARTS = parts_of(SPLIT)


def far(rate: float, *, extrapolate: bool = False) -> FalseAcceptAim:
    return FalseAcceptAim(rate=rate, extrapolate=extrapolate, costs=ASVSPOOF5)


def accepted(calibration: Calibration, split: CalibrationSplit = SPLIT) -> np.ndarray:
    fused = calibration.fused(split.speaker, split.liveness[split.test], known=split.known_of_trials)
    return fused >= calibration.threshold


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("method", ["logistic", "isotonic"])
@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_a_false_accept_rate_is_kept_on_the_validation_split(fusion, method, rate) -> None:
    found = refit(PARTS, SPLIT, CalibrationConfig(method=method, fusion=fusion, aim=far(rate)))
    yes = accepted(found)
    assert yes[SPLIT.is_nontarget].mean() <= rate
    assert yes[SPLIT.is_spoof].mean() <= rate
    assert found.decision is not None
    risk = found.decision.risk
    assert risk.miss.rate == pytest.approx(1 - yes[SPLIT.is_target].mean())
    assert risk.miss.rate < 0.5
    assert risk.speakers is not None
    assert risk.attacks is not None
    for stated_rate, which in ((risk.speakers, SPLIT.is_nontarget), (risk.attacks, SPLIT.is_spoof)):
        assert stated_rate.rate == pytest.approx(yes[which].mean())
        assert stated_rate.low <= stated_rate.rate <= stated_rate.high
        assert stated_rate.trials == which.sum()
    assert set(risk.species) == {"replay_stand", "swapped_mouth"}
    assert set(risk.questions) == ({"speaker", "liveness"} if fusion == "rule" else set())


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_is_calibrated_costs_little_more_than_the_best_threshold_would(fusion) -> None:
    found = refit(PARTS, SPLIT, CalibrationConfig(fusion=fusion))
    assert found.decision is not None
    best = found.decision.optimum
    assert best.least <= best.cost < best.least + 0.05
    assert found.decision.notes == ()


def test_no_answer_is_neither_accepted_nor_counted_as_a_miss() -> None:
    found = refit(PARTS, SPLIT, CalibrationConfig(fusion="product"))
    fused = found.fused(SPLIT.speaker, SPLIT.liveness[SPLIT.test], known=SPLIT.known_of_trials)
    silent = np.isnan(SPLIT.liveness[SPLIT.test])
    assert silent.any()
    assert np.isnan(fused[silent]).all()
    assert np.isfinite(fused[~silent]).all()
    quiet = SPLIT.liveness.copy()
    quiet[np.flatnonzero(SPLIT.is_live)[::4]] = NAN
    other = refit(PARTS, replace(SPLIT, liveness=quiet), CalibrationConfig(fusion="product"))
    assert other.decision is not None
    assert other.decision.risk.unanswered == pytest.approx(0.25, abs=0.01)
    assert other.decision.risk.miss.trials == pytest.approx(0.75 * SPLIT.is_target.sum(), abs=5)


def test_doubted_recordings_are_refused_and_counted() -> None:
    doubted = SPLIT.is_attack | (np.arange(len(SPLIT.is_live)) % 10 == 0)
    found = refit(PARTS, replace(SPLIT, doubted=doubted), CalibrationConfig(fusion="product"))
    assert found.decision is not None
    risk = found.decision.risk
    assert risk.attacks is not None
    assert risk.attacks.errors == 0
    assert risk.miss.errors >= doubted[SPLIT.test][SPLIT.is_target].sum()


def test_a_rate_below_what_the_trials_show_is_refused_or_extrapolated() -> None:
    with pytest.raises(UserError, match=r"400 trials of attacks.*takes 3000.*--extrapolate"):
        refit(PARTS, SPLIT, CalibrationConfig(aim=far(0.001)))
    found = refit(PARTS, SPLIT, CalibrationConfig(aim=far(0.005, extrapolate=True), fusion="product"))
    assert found.decision is not None
    assert "extrapolated" in found.decision.notes[0]
    lower = refit(PARTS, SPLIT, CalibrationConfig(aim=far(0.01), fusion="product"))
    assert found.threshold > lower.threshold
    fresh = make_split(1)
    assert accepted(found, fresh)[fresh.is_spoof].mean() <= 0.01


def test_a_threshold_that_nobody_reaches_is_refused() -> None:
    with pytest.raises(UserError, match="accepts none of the user's"):
        refit(PARTS, SPLIT, CalibrationConfig(method="isotonic", aim=far(1e-5, extrapolate=True)))


def test_a_missing_class_is_a_clear_error_and_a_small_one_is_told() -> None:
    with pytest.raises(UserError, match="no trials of attacks"):
        refit(PARTS, _without_attack_trials(), CalibrationConfig())
    few = _without_attack_trials(kept=3)
    found = refit(PARTS, few, CalibrationConfig())
    assert found.decision is not None
    assert "only 3 trials of attacks" in found.decision.notes[0]


def _without_attack_trials(kept: int = 0) -> CalibrationSplit:
    """Attacks that claim nobody who is enrolled, but for some."""
    chosen = ~SPLIT.is_spoof
    chosen[np.flatnonzero(SPLIT.is_spoof)[:kept]] = True
    names = ("speaker", "labels", "test", "enrolled")
    return replace(SPLIT, **{name: getattr(SPLIT, name)[chosen] for name in names})


def test_a_run_that_knows_one_question_is_decided_by_its_ratio() -> None:
    voice = refit(PARTS.model_copy(update={"liveness": None}), SPLIT, CalibrationConfig(aim=far(0.02)))
    assert voice.decision is not None
    assert voice.decision.fusion is None
    assert voice.decision.risk.attacks is None
    yes = voice.fused(SPLIT.speaker, np.full(SPLIT.speaker.shape, NAN)) >= voice.threshold
    assert yes[SPLIT.is_nontarget].mean() <= 0.02
    recordings = replace(
        SPLIT,
        speaker=np.full(SPLIT.liveness.shape, NAN),
        labels=np.where(SPLIT.is_live, "target", np.where(SPLIT.is_attack, "replay_stand", "probe_absent")),
        test=np.arange(len(SPLIT.liveness)),
        enrolled=SPLIT.person,
    )
    mouth = refit(PARTS.model_copy(update={"speaker": None}), recordings, CalibrationConfig(aim=far(0.02)))
    assert mouth.decision is not None
    assert mouth.decision.risk.speakers is None
    yes = mouth.fused(recordings.speaker, SPLIT.liveness) >= mouth.threshold
    assert yes[SPLIT.is_attack].mean() <= 0.02
    assert yes[SPLIT.is_live].mean() > 0.7
    with pytest.raises(UserError, match="joins two answers"):
        refit(PARTS.model_copy(update={"liveness": None}), SPLIT, CalibrationConfig(fusion="product"))


def test_the_thresholds_of_a_rule_are_the_scores_that_its_ratios_come_to() -> None:
    found = refit(PARTS, SPLIT, CalibrationConfig(aim=far(0.02)))
    assert found.speaker is not None
    assert found.liveness is not None
    heard = ~np.isnan(SPLIT.liveness[SPLIT.test])
    both = found.speaker.accepts(SPLIT.speaker) & found.liveness.accepts(SPLIT.liveness[SPLIT.test])
    np.testing.assert_array_equal(both[heard], accepted(found)[heard])


def test_the_risk_of_the_calibration_before_is_that_of_its_thresholds() -> None:
    assert PARTS.speaker is not None
    assert PARTS.liveness is not None
    risk, optimum = stated(PARTS, SPLIT, ASVSPOOF5)
    yes = PARTS.speaker.accepts(SPLIT.speaker) & PARTS.liveness.accepts(SPLIT.liveness[SPLIT.test])
    assert risk.miss.rate == pytest.approx(1 - yes[SPLIT.is_target].mean())
    assert risk.attacks is not None
    assert risk.attacks.rate == pytest.approx(yes[SPLIT.is_spoof].mean())
    assert optimum.least <= optimum.cost


@pytest.mark.parametrize("config", [
    CalibrationConfig(fusion="product", condition="posture"),
    CalibrationConfig(fusion="logistic", quality=("duration",), aim=far(0.05)),
    CalibrationConfig(method="isotonic", condition="duration"),
])  # fmt: skip
def test_all_of_it_survives_json_and_decides_the_same(config) -> None:
    found = refit(PARTS, SPLIT, config, "validation.jsonl.gz 0123")
    again = Calibration.model_validate(json.loads(json.dumps(found.model_dump(mode="json"), allow_nan=False)))
    assert again == found
    np.testing.assert_array_equal(accepted(again), accepted(found))
    assert again.measures == set(config.quality)


def test_the_ranges_of_scores_are_kept() -> None:
    found = refit(PARTS, SPLIT, CalibrationConfig())
    assert found.speaker is not None
    target = found.speaker.seen["target"]
    values = SPLIT.speaker[SPLIT.is_target]
    assert (target.lowest, target.highest, target.n) == (values.min(), values.max(), values.size)


# A calibration.json as runs of earlier versions hold it.
OLD = {
    "speaker": {
        "scale": 14.1, "offset": -9.2, "threshold": 0.7, "eer": 0.0, "n_target": 40, "n_nontarget": 260,
        "source": "validation",
    },
    "liveness": {
        "scale": 1.4, "offset": 0.9, "threshold": -0.95, "eer": 0.026, "n_target": 77, "n_nontarget": 77,
        "source": "validation", "growth": 0.5, "reference_s": 3.0, "correlation": 0.5, "segment_threshold": -2.6,
    },
}  # fmt: skip


@given(speaker=st.floats(-1, 1), liveness=st.floats(-20, 20), seconds=st.floats(0.5, 30))
def test_a_calibration_of_an_earlier_version_decides_by_its_two_thresholds(speaker, liveness, seconds) -> None:
    old = Calibration.model_validate(OLD)
    yes = bool(old.fused(speaker, liveness, seconds) >= old.threshold)
    assert yes == (speaker >= 0.7 and liveness >= -0.95)
    assert np.isnan(old.fused(speaker, NAN, seconds))
    voice = Calibration.model_validate({"speaker": OLD["speaker"], "liveness": None})
    assert voice.fused(speaker, NAN) == pytest.approx(14.1 * speaker - 9.2)
    mouth = Calibration.model_validate({"speaker": None, "liveness": OLD["liveness"]})
    assert (mouth.fused(NAN, liveness, seconds) >= mouth.threshold) == (liveness >= -0.95)


def test_costs_move_the_threshold_the_way_they_should() -> None:
    def at(c_spoof: float) -> float:
        costs = ASVSPOOF5.model_copy(update={"c_fa_spoof": c_spoof})
        return refit(PARTS, SPLIT, CalibrationConfig(fusion="product", aim=CostAim(costs=costs))).threshold

    assert at(1.0) < at(10.0) < at(50.0)
