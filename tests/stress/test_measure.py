"""Measures of a level, their differences from another, and what is said of them."""

import numpy as np
import pytest

from vivavoce.corpus.cuts import Row
from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.table import Trials
from vivavoce.stress.config import StressConfig
from vivavoce.stress.measure import Answers, Meter
from vivavoce.stress.protocol import Protocol, protocol_of
from vivavoce.stress.results import Change, CurveResult, Level
from vivavoce.stress.words import NONE, breaking, sentences


@pytest.fixture(scope="module")
def found(rows: list[Row]) -> Protocol:
    return protocol_of(rows, Trials.of(make_trials(rows)))


def answers(found: Protocol, apart: float, abstain: bool = False, seed: int = 0) -> Answers:
    """Scores of two classes so many deviations apart."""
    rng = np.random.default_rng(seed)
    live = found.kinds == "live"
    liveness = rng.normal(apart * live)
    liveness[(found.kinds == "probe_absent") | abstain] = np.nan
    speaker = rng.normal(apart * ~found.trials.is_nontarget)
    return Answers(liveness, speaker, np.minimum(speaker, liveness[found.trials.test]))


def test_values_are_those_of_the_metrics(found: Protocol) -> None:
    scores = answers(found, 1.5)
    measured = Meter(found, 0.0, 200, 0).measure(scores).measures
    trials, live, attack = found.trials, found.kinds == "live", found.kinds == "replay_stand"
    assert scores.speaker is not None
    assert scores.liveness is not None
    wanted = eer(scores.speaker[trials.is_target], scores.speaker[trials.is_nontarget]).rate
    assert measured["speaker_eer"].value == pytest.approx(wanted)
    assert measured["liveness_eer"].value == pytest.approx(eer(scores.liveness[live], scores.liveness[attack]).rate)
    assert measured["liveness_eer/replay_stand"].value == measured["liveness_eer"].value
    assert measured["live_abstained"].value == 0
    assert "p_spoof" in measured["a_dcf"].name
    for measure in measured.values():
        assert measure.low is not None
        assert measure.high is not None
        assert measure.low <= measure.high


def test_a_system_without_an_answer_lets_nobody_in(found: Protocol) -> None:
    measured = Meter(found, 0.0, 200, 0).measure(answers(found, 9.0, abstain=True)).measures
    assert measured["live_abstained"].value == 1
    assert "liveness_eer" not in measured
    assert measured["a_dcf"].value == pytest.approx(1)
    assert (measured["act_a_dcf"].value or 0) >= 1


def test_perfect_scores_cost_nothing_and_their_interval_says_what_few_trials_can(found: Protocol) -> None:
    measure = Meter(found, 25.0, 200, 0).measure(answers(found, 50.0)).measures["a_dcf"]
    assert measure.value == 0
    assert measure.low == 0
    assert measure.method == "rule of 3"
    assert 0 < (measure.high or 0) <= 1


def test_the_same_scores_do_not_differ_and_worse_ones_do(found: Protocol) -> None:
    meter = Meter(found, 0.0, 200, 0)
    good, same, bad = (meter.measure(answers(found, apart)) for apart in (6.0, 6.0, 0.0))
    assert all(change == Change(value=0, low=0, high=0) for change in same.changes_from(good).values())
    changes = bad.changes_from(good)
    assert changes["speaker_eer"].worse
    assert not good.changes_from(bad)["speaker_eer"].worse


def test_few_trials_have_an_interval_and_no_figure(found: Protocol) -> None:
    few = np.arange(len(found.tests)) < 6
    measured = Meter(found, 0.0, 200, 0).measure(answers(found, 1.0), few).measures
    assert measured
    assert all(measure.value is None and measure.low is not None for measure in measured.values())


def curve(values: list[float | None], worse: list[bool]) -> CurveResult:
    levels = []
    for number, (value, is_worse) in enumerate(zip(values, worse, strict=True)):
        measures = {} if value is None else {"speaker_eer": _measure(value)}
        change = {"speaker_eer": Change(value=0.1, low=0.01 if is_worse else -0.1, high=0.2)} if number else {}
        name = f"{(99, 30, 20, 10, 0)[number]} dB" if number else "unchanged"
        levels.append(
            Level(name=name, value=None, recordings=50, measures=measures, changes=change if measures else {})
        )
    return CurveResult(name="snr", how="applied", levels=levels)


def _measure(value: float):
    from vivavoce.evaluation.measures import Measure

    return Measure(key="speaker_eer", name="EER", unit="rate", value=value, trials={"target": 20, "nontarget": 20})


def test_the_breaking_point_is_where_all_that_follow_are_worse() -> None:
    found = curve([0.01, 0.01, 0.02, 0.1, 0.3], [False, False, False, True, True])
    assert breaking(found, "speaker_eer") == "from 10 dB on"
    assert sentences(found) == [
        "Speaker EER: 1.0 % unchanged; from 10 dB on worse beyond chance: 10 dB (10.0 %), 0 dB (30.0 %)."
    ]


def test_a_level_that_is_worse_among_better_ones_is_named_alone() -> None:
    assert (
        breaking(curve([0.01, 0.1, 0.02, 0.1, 0.01], [False, True, False, True, False]), "speaker_eer")
        == "30 dB, 10 dB"
    )


def test_where_nothing_is_worse_the_highest_is_named() -> None:
    found = curve([0.01, 0.01, 0.03, None, None], [False] * 5)
    assert breaking(found, "speaker_eer").startswith(NONE)
    assert sentences(found) == [
        "Speaker EER: 1.0 % unchanged; at no level worse beyond chance, highest at 20 dB (3.0 %). "
        "Too few answers for a figure: 10 dB, 0 dB."
    ]


def test_a_draw_keeps_all_speakers_and_both_classes(rows: list[Row]) -> None:
    trials = Trials.of(make_trials(rows))
    found = protocol_of(rows, trials, 16, seed=3)
    assert len(found.tests) == 16
    drawn = [rows[index] for index in found.tests]
    assert sum(row.meta.kind == "live" for row in drawn) == 8
    assert {(row.speaker, row.meta.kind) for row in drawn} == {(row.speaker, row.meta.kind) for row in rows}
    assert set(found.trials.tests) <= set(trials.tests)
    assert protocol_of(rows, trials, 16, seed=3).tests.tolist() == found.tests.tolist()
    assert protocol_of(rows, trials, 16, seed=4).tests.tolist() != found.tests.tolist()


def test_one_speaker_is_refused(rows: list[Row]) -> None:
    with pytest.raises(UserError, match="1 speaker"):
        protocol_of([row for row in rows if row.speaker == "a"], None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"snr": (20, 20)},
        {"snr": (200,)},
        {"rate": (4_000,)},
        {"codec": ("aac-64",)},
        {"band": ("3400-300",)},
        {"duration": (0.01,)},
        {"distance": (10,)},
        {"noise": "folder", "made_noise": "white"},
        {"curves": ("snr", "snr")},
        {"curves": ()},
    ],
)
def test_levels_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        StressConfig.model_validate(wrong)
