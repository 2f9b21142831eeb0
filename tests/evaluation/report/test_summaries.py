import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.detection import eer, min_dcf
from vivavoce.evaluation.report.results import EvaluationResult
from vivavoce.evaluation.report.summaries import (
    collect_scores,
    distance_bins,
    summarise_conditions,
    summarise_data,
    summarise_liveness,
    summarise_speaker,
    summarise_verdicts,
)

KINDS = ["live"] * 6 + ["replay_stand"] * 4 + ["shifted"] * 2 + ["probe_absent"] * 2
SCORES = [3.0, 2.0, 2.5, 0.5, np.nan, 4.0, -1.0, -2.0, 1.0, np.nan, -3.0, -4.0, 9.0, np.nan]
SPEAKERS = ["a", "b", "c"] * 2 + ["a", "b", "c", "a"] + ["a", "b"] + ["a", "b"]


def test_speaker_summary_by_hand() -> None:
    scores = [0.9, 0.8, 0.2, 0.7, 0.1, 0.3, 0.6, 0.0, 0.95]
    labels = ["target"] * 4 + ["nontarget"] * 4 + ["replay_stand"]
    who, test = list("aabbaabba"), list("aabbbbaaa")
    found = summarise_speaker(scores, labels, who, test, threshold=0.5, p_target=0.05)
    assert (found.n_target, found.n_nontarget, found.n_speakers) == (4, 4, 2)
    assert found.eer.value == eer(scores[:4], scores[4:8]).rate
    assert found.min_dcf.value == min_dcf(scores[:4], scores[4:8], 0.05).value
    assert found.min_dcf.p_target == 0.05
    assert found.miss is not None
    assert (found.miss.errors, found.miss.trials, found.miss.value) == (1, 4, 0.25)
    assert found.false_alarm is not None
    assert (found.false_alarm.errors, found.false_alarm.trials) == (1, 4)


def test_without_a_threshold_there_are_no_rates_at_it() -> None:
    found = summarise_speaker([1.0, 0.0], ["target", "nontarget"], ["a", "a"])
    assert (found.miss, found.false_alarm, found.threshold) == (None, None, None)
    assert found.eer.low is None  # one speaker: nothing to resample


def test_a_list_without_targets_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="no target score"):
        summarise_speaker([1.0], ["nontarget"], ["a"])


def test_liveness_summary_by_hand() -> None:
    rows, pooled = summarise_liveness(SCORES, KINDS, SPEAKERS, threshold=0.6)
    assert [row.species for row in rows] == ["replay_stand", "shifted"]
    stand = rows[0]
    assert (stand.n_live, stand.n_spoof, stand.live_abstained, stand.spoof_abstained) == (5, 3, 1, 1)
    assert stand.apcer is not None
    assert stand.bpcer is not None
    assert (stand.apcer.errors, stand.apcer.trials) == (1, 3)
    assert (stand.bpcer.errors, stand.bpcer.trials) == (1, 5)
    assert stand.eer.value == eer([3.0, 2.0, 2.5, 0.5, 4.0], [-1.0, -2.0, 1.0]).rate
    assert pooled is not None
    assert (pooled.species, pooled.n_spoof, pooled.spoof_abstained) == ("all", 5, 1)


def test_kinds_whose_probe_cannot_be_read_do_not_count() -> None:
    rows, pooled = summarise_liveness(SCORES, KINDS, SPEAKERS)
    assert "probe_absent" not in [row.species for row in rows]
    assert pooled == summarise_liveness(SCORES[:12], KINDS[:12], SPEAKERS[:12])[1]


def test_liveness_never_scored_gives_no_rows() -> None:
    assert summarise_liveness([np.nan] * 3, ["live"] * 3, ["a"] * 3) == ([], None)
    assert summarise_liveness([1.0, np.nan], ["live", "tts"], ["a"] * 2) == ([], None)


def test_infinite_liveness_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="1 liveness scores are infinite"):
        summarise_liveness([np.inf, 0.0], ["live", "tts"], ["a", "a"])


def test_conditions_compare_like_with_like() -> None:
    kinds = ["live", "live", "tts", "tts", "live"]
    scores = [1.0, 5.0, 0.0, 4.0, 9.0]
    postures = ["stand", "handheld", "stand", "handheld", None]
    found = summarise_conditions(scores, kinds, ["a"] * 5, postures, [10, 10.0, 10, 10, None])
    assert [(row.posture, row.distance, row.species) for row in found] == [
        (posture, "7–14 cm", species) for posture in ("handheld", "stand") for species in ("all", "tts")
    ]
    assert all(row.eer.value == 0 and row.n_live == 1 for row in found)  # pooled over postures it would be 1/2


def test_distances_fall_into_the_bins_they_are_named_after() -> None:
    named = distance_bins([4, 7, 10, 14.0, 20, 28, 40, None, float("nan")])
    assert named.tolist() == [
        "up to 7 cm", "up to 7 cm", "7–14 cm", "7–14 cm", "14–28 cm", "14–28 cm", "over 28 cm", "unknown", "unknown",
    ]  # fmt: skip


def test_verdicts_are_counted_by_truth() -> None:
    rows = summarise_verdicts(
        ["probe_absent", "target", "target", "nontarget"], ["abstain", "accept", "not_live", "not_the_speaker"]
    )
    assert [row.truth for row in rows] == ["target", "nontarget", "probe_absent"]
    assert rows[0].counts == {"accept": 1, "not_the_speaker": 0, "not_live": 1, "abstain": 0}
    assert (rows[0].total, rows[0].share("accept")) == (2, 0.5)


@pytest.mark.parametrize(("truth", "verdict", "wrong"), [("target", "maybe", "maybe"), ("friend", "accept", "friend")])
def test_unknown_verdicts_and_truths_are_refused(truth: str, verdict: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=f"unknown verdict or truth: {wrong}"):
        summarise_verdicts([truth], [verdict])


def test_data_counts() -> None:
    counts = summarise_data(["tts", "live", "live"], ["a", "a", "b"], [1800, 3600, 3600])
    assert [(c.kind, c.recordings, c.speakers, c.hours) for c in counts] == [("live", 2, 2, 2.0), ("tts", 1, 1, 0.5)]


def test_scores_behind_the_figures_leave_out_abstentions() -> None:
    found = collect_scores([1.0, 0.0, 0.5], ["target", "nontarget", "tts"], SCORES, KINDS)
    assert (found.speaker_target.tolist(), found.speaker_nontarget.tolist()) == ([1.0], [0.0])
    assert {kind: len(values) for kind, values in found.liveness.items()} == {
        "live": 5, "replay_stand": 3, "shifted": 2,
    }  # fmt: skip
    assert collect_scores().liveness == {}


def test_the_summary_is_json_without_raw_scores(result: EvaluationResult, tmp_path: Path) -> None:
    text = json.dumps(result.summary(), allow_nan=False)
    assert "scores" not in json.loads(text)
    assert len(text) < 40_000
    assert EvaluationResult.model_validate(json.loads(text)).summary() == result.summary()
    result.write_scores(tmp_path / "scores.npz")
    with np.load(tmp_path / "scores.npz") as stored:
        assert set(stored.files) == set(result.score_arrays())
        np.testing.assert_array_equal(stored["liveness_live"], result.scores.liveness["live"])


def test_the_same_scores_give_the_same_result(build_result: Callable[..., EvaluationResult]) -> None:
    assert build_result(seed=5).summary() == build_result(seed=5).summary()
