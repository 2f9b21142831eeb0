import numpy as np
import pytest

from vivavoce.evaluation.bootstrap import Bootstrap, ClassScores
from vivavoce.evaluation.measures import LEAST_TRIALS, Measure
from vivavoce.evaluation.measuring import (
    DCF_PRIORS,
    Resampled,
    detection_measures,
    error_rate,
    figure,
    ratio_measures,
    share_measure,
)
from vivavoce.evaluation.metrics.attacks import apcer, bpcer
from vivavoce.evaluation.metrics.detection import bayes_threshold, eer, min_dcf
from vivavoce.evaluation.metrics.ratios import cllr, min_cllr
from vivavoce.evaluation.presentations import Presentations, attack_decisions, attack_measures


def _classes(seed: int = 0, speakers: int = 20, each: int = 20) -> dict[str, ClassScores]:
    rng = np.random.default_rng(seed)
    own = np.repeat(np.arange(speakers), each)
    other = (own + rng.integers(1, speakers, own.size)) % speakers
    return {
        "target": ClassScores.of(rng.normal(2, 1.4, own.size), own),
        "nontarget": ClassScores.of(rng.normal(-2, 1.4, own.size), own, other),
    }


def _by_key(measures: list[Measure]) -> dict[str, Measure]:
    return {f"{measure.key} {measure.species or ''}".strip(): measure for measure in measures}


def test_figures_are_those_of_the_metrics_and_lie_inside_their_intervals() -> None:
    classes = _classes()
    found = Resampled(classes, Bootstrap(20), [0.5])
    measures = detection_measures(found, threshold=0.5)
    targets, nontargets = classes["target"].scores, classes["nontarget"].scores
    values = [measure.value for measure in measures]
    assert values[0] == eer(targets, nontargets).rate
    assert values[1:3] == [min_dcf(targets, nontargets, prior).value for prior in DCF_PRIORS]
    assert values[-2:] == [(targets < 0.5).mean(), (nontargets >= 0.5).mean()]
    for measure in measures:
        assert measure.value is not None
        assert measure.low is not None
        assert measure.high is not None
        assert measure.low <= measure.value <= measure.high
    assert measures[-2].errors == (targets < 0.5).sum()
    assert measures[1].name == f"minDCF(p_target={DCF_PRIORS[0]:g}, c_miss=1, c_fa=1)"


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    from scipy.stats import norm

    inside = {"eer": 0, "miss": 0}
    for seed in range(40):
        found = Resampled(_classes(seed), Bootstrap(20, resamples=200, seed=seed), [1.0])
        by_key = _by_key(detection_measures(found, threshold=1.0))
        for key, truth in (("eer", norm.cdf(-2 / 1.4)), ("miss", norm.cdf(-1 / 1.4))):
            low, high = by_key[key].low, by_key[key].high
            assert low is not None
            assert high is not None
            inside[key] += low <= truth <= high
    assert min(inside.values()) >= 33  # 95 % of 40 is 38; fewer than 33 has probability below 0.5 %


def test_ratios_are_measured_in_bits_and_at_bayes_thresholds() -> None:
    classes = _classes(1)
    thresholds = [bayes_threshold(prior) for prior in DCF_PRIORS]
    by_key = _by_key(ratio_measures(Resampled(classes, Bootstrap(20), thresholds)))
    scores = classes["target"].scores, classes["nontarget"].scores
    assert by_key["cllr"].value == cllr(*scores)
    assert by_key["min_cllr"].value == min_cllr(*scores)
    assert by_key["act_dcf"].threshold == thresholds[-1]
    for measure in by_key.values():
        assert measure.low is not None
        assert measure.high is not None
        assert measure.value is not None
        assert measure.low <= measure.high
        assert abs(measure.value - (measure.low + measure.high) / 2) < measure.high - measure.low + 1e-9


def test_apcer_is_by_species_and_the_worst_species_counts() -> None:
    rng = np.random.default_rng(3)
    own = np.repeat(np.arange(15), 10)
    classes = {
        name: ClassScores.of(rng.normal(mean, 1, own.size), own)
        for name, mean in (("live", 3), ("replay_stand", -1), ("swapped_mouth", 1))
    }
    boot = Bootstrap(15)
    answered = np.arange(own.size) % 7 > 0

    def presentations(name: str) -> Presentations:
        return Presentations(classes[name], answered, (classes[name].scores >= 1.5) & answered)

    attacks = {name: presentations(name) for name in ("replay_stand", "swapped_mouth")}
    by_key = _by_key(
        [
            *attack_measures(Resampled(classes, boot), ["replay_stand", "swapped_mouth"]),
            *attack_decisions(boot, presentations("live"), attacks),
        ]
    )
    scores = {name: np.where(answered, classes[name].scores, np.nan) for name in classes}
    rates = apcer({name: scores[name] for name in ("replay_stand", "swapped_mouth")}, 1.5)
    for name, rate in rates.by_species.items():
        assert by_key[f"apcer {name}"].value == rate
    worst = by_key["apcer_worst"]
    assert worst.value == rates.worst[1]
    each = [by_key[f"apcer {name}"] for name in rates.by_species]
    # In every resample the worst is at least as bad as each.
    assert worst.low is not None
    assert worst.high is not None
    assert worst.low >= max(one.low or 0 for one in each)
    assert worst.high >= max(one.high or 0 for one in each)
    missed = by_key["bpcer"].value
    assert missed == bpcer(scores["live"], 1.5)
    assert by_key["bpnrr"].value == by_key["apnrr replay_stand"].value == (~answered).mean()
    assert by_key["acer"].value == pytest.approx((rates.worst[1] + missed) / 2)
    # What keeps all species to a limit keeps each of them.
    pooled, one = by_key["bpcer_at_apcer all"].value, by_key["bpcer_at_apcer replay_stand"].value
    assert pooled is not None
    assert one is not None
    assert pooled >= one
    for end in ("low", "high"):
        ends = [getattr(by_key[f"bpcer_at_apcer {name}"], end) for name in ("all", "replay_stand", "swapped_mouth")]
        assert ends[0] >= max(ends[1:])


@pytest.mark.parametrize("unit", ["rate", "cost"])
def test_a_class_of_few_trials_gets_an_interval_and_no_figure(unit) -> None:
    few = figure("x", "x", 0.0, np.zeros(50), {"target": LEAST_TRIALS - 1, "nontarget": 500}, unit=unit)
    assert few.too_few
    assert few.low == 0
    assert few.high is not None
    # Nine trials without an error: the exact upper bound is 1 - 0.025^(1/9).
    assert few.high == pytest.approx(1 - 0.025 ** (1 / 9) if unit == "rate" else 1.0)
    enough = figure("x", "x", 0.0, np.zeros(50), {"target": LEAST_TRIALS, "nontarget": 500}, unit=unit)
    assert enough.value == 0
    assert (enough.high, enough.method) == ((0.3, "rule of 3") if unit == "rate" else (0.0, "bootstrap by speaker"))


def test_one_speaker_leaves_figures_without_intervals() -> None:
    rng = np.random.default_rng(0)
    classes = {
        name: ClassScores.of(rng.normal(mean, 1, 30), np.zeros(30, int))
        for name, mean in (("target", 2), ("nontarget", 0))
    }
    for measure in detection_measures(Resampled(classes, Bootstrap(1), [1.0]), threshold=1.0):
        assert measure.value is not None
        assert measure.low is None


def test_a_class_that_is_not_there_gives_no_measures() -> None:
    found = Resampled({"target": _classes()["target"]}, Bootstrap(20))
    assert detection_measures(found) == ratio_measures(found) == []


def test_a_rate_at_a_threshold_is_the_share_of_the_decisions() -> None:
    classes = _classes(4)
    boot = Bootstrap(20)
    at = error_rate(Resampled(classes, boot, [0.2]), "far", "rate", "nontarget", 0.2, accepted=True)
    share = share_measure(boot, "far", "rate", classes["nontarget"].scores >= 0.2, classes["nontarget"], "nontarget")
    assert at.model_dump(exclude={"threshold", "low", "high"}) == share.model_dump(exclude={"threshold", "low", "high"})
    assert (at.low, at.high) == pytest.approx((share.low, share.high))
