import json
from dataclasses import replace

import numpy as np
import pytest

from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.parts import Calibration, LivenessCalibration, PartCalibration
from vivavoce.evaluation.evaluate import evaluate_rows
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.scoring.recordings import score_recordings
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.features.store import FeatureStore
from vivavoce.signal.quality import ProbeQuality
from vivavoce.signal.reasons import Reason

from ..synthetic import make_rows, make_store, small_model

KINDS = [Kind.LIVE, Kind.REPLAY_STAND, Kind.SWAPPED_MOUTH, Kind.PROBE_ABSENT]
ROWS = make_rows([f"s{i}" for i in range(4)], KINDS)
SPEAKER = PartCalibration(scale=5.0, offset=-1.0, threshold=0.37, eer=0.1, n_target=9, n_nontarget=9)
LIVENESS = LivenessCalibration(scale=1.0, offset=0.0, threshold=0.05, eer=0.1, n_target=9, n_nontarget=9)
BOTH = Calibration(speaker=SPEAKER, liveness=LIVENESS)


@pytest.fixture(scope="module")
def store() -> FeatureStore:
    return make_store(ROWS)


def evaluated(model, store, calibration=BOTH, rows=ROWS, trials=None, **more):
    trials = make_trials(rows) if trials is None else trials
    return evaluate_rows(model, calibration, rows, store, trials, run_id="r", data_name="d", command="c", **more)


def test_the_figures_are_those_of_the_raw_scores(model, store):
    result = evaluated(model, store)
    scores = score_recordings(model, store)
    trials = make_trials(ROWS)
    cosine = score_trials(trials, ROWS, scores.embeddings).scores
    labels = np.array([trial.label for trial in trials])
    assert result.speaker is not None
    assert result.speaker.eer.value == eer(cosine[labels == "target"], cosine[labels == "nontarget"]).rate
    assert (result.speaker.n_target, result.speaker.n_nontarget) == (
        (labels == "target").sum(),
        (labels == "nontarget").sum(),
    )
    kinds = np.array([row.meta.kind.value for row in ROWS])
    assert [row.species for row in result.liveness] == ["replay_stand", "swapped_mouth"]
    for row in result.liveness:
        live, spoof = scores.liveness[kinds == "live"], scores.liveness[kinds == row.species]
        assert row.eer.value == pytest.approx(eer(live, spoof).rate)
        assert row.apcer is not None
        assert row.apcer.errors == (spoof >= 0.05).sum()


def test_thresholds_are_those_of_the_validation_split_not_of_these_trials(model, store):
    result = evaluated(model, store)
    assert result.speaker is not None
    assert result.speaker.threshold == 0.37
    assert all(row.threshold == 0.05 for row in [*result.liveness, *result.conditions])


def test_every_trial_gets_one_verdict_and_those_without_a_probe_abstain(model, store):
    trials = make_trials(ROWS)
    result = evaluated(model, store, trials=trials)
    assert sum(row.total for row in result.verdicts) == len(trials)
    by_truth = {row.truth: row for row in result.verdicts}
    assert by_truth["probe_absent"].share("abstain") == 1
    assert by_truth["target"].counts.get("abstain", 0) == 0


def test_a_voice_only_corpus_gives_speaker_figures_and_abstains(model, store):
    nothing = ProbeQuality(False, float("-inf"), float("-inf"), "no probe in the recording")
    deaf = FeatureStore(store.voice, store.echo, store.starts, store.frames, [nothing] * len(ROWS))
    result = evaluated(model, deaf)
    assert result.liveness == []
    assert result.liveness_pooled is None
    assert result.speaker is not None
    assert all(row.share("abstain") == 1 for row in result.verdicts)


def test_a_run_without_liveness_gives_no_liveness_rates(model, store):
    result = evaluated(model, store, Calibration(speaker=SPEAKER))
    assert all(row.apcer is None and row.threshold is None for row in result.liveness)
    assert all(row.share("abstain") == 1 for row in result.verdicts)


def test_a_run_without_speakers_answers_liveness_alone(model, store):
    result = evaluated(model, store, Calibration(liveness=LIVENESS), trials=[])
    assert result.speaker is None
    assert result.enrolment is None
    assert [row.species for row in result.liveness] == ["replay_stand", "swapped_mouth"]
    by_truth = {row.truth: row for row in result.verdicts}
    assert {name: row.total for name, row in by_truth.items()} == {
        "target": 24,
        "replay_stand": 24,
        "swapped_mouth": 24,
        "probe_absent": 24,
    }
    for row in result.liveness:
        assert row.apcer is not None
        assert by_truth[row.species].counts["accept"] == row.apcer.errors
    assert by_truth["probe_absent"].share("abstain") == 1


def test_abstentions_are_told_by_reason_and_never_succeed(model, store):
    said = [
        ProbeQuality(True, -30.0, 40.0, Reason.MOVING.value)
        if row.meta.kind == "swapped_mouth" and index % 8 == 2
        else one
        for index, (row, one) in enumerate(zip(ROWS, store.quality, strict=True))
    ]
    result = evaluated(model, replace(store, quality=said))
    rows = {row.kind: row for row in result.abstentions}
    assert rows["probe_absent"].reasons == {"absent": 24}
    assert rows["probe_absent"].share == 1
    assert rows["live"].reasons == {}
    turned = sum(one.label == "hold still" for one in said)
    assert 0 < turned < 24
    assert rows["swapped_mouth"].reasons == {"hold still": turned}
    swapped = result.liveness[1]
    assert swapped.success is not None
    assert swapped.apcer is not None
    assert (swapped.success.errors, swapped.success.trials) == (swapped.apcer.errors, 24)
    assert swapped.apcer.trials == 24 - turned


def test_words_that_do_not_belong_are_never_accepted(model, store):
    """Above every frame's logit all of a recording is doubted; below, nothing."""
    doubting, trusting = (
        evaluated(model, store, Calibration(speaker=SPEAKER, liveness=LIVENESS.model_copy(update=change)))
        for change in ({"segment_threshold": 1e3, "threshold": -1e9}, {"segment_threshold": -1e3, "threshold": -1e9})
    )
    assert all(row.share("accept") == 0 for row in doubting.verdicts)
    assert all(row.apcer is not None and row.apcer.errors == 0 for row in doubting.liveness)
    assert all(row.apcer is not None and row.apcer.value == 1 for row in trusting.liveness)
    assert [row.eer for row in doubting.liveness] == [row.eer for row in trusting.liveness]


def test_a_crop_changes_liveness_alone(model, store):
    whole, cropped = evaluated(model, store), evaluated(model, store, liveness_crop_s=1.0)
    assert whole.speaker == cropped.speaker
    assert whole.liveness != cropped.liveness


def test_the_same_evaluation_gives_the_same_figures(model, store):
    changing = {"date", "timings_s"}
    first, second = (evaluated(model, store).summary() for _ in range(2))
    assert {k: v for k, v in first.items() if k not in changing} == {
        k: v for k, v in second.items() if k not in changing
    }


def test_the_summary_is_plain_json(model, store):
    summary = evaluated(model, store).summary()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["enrolment"] == 3
    assert {count["kind"]: count["recordings"] for count in summary["data"]} == {kind.value: 24 for kind in KINDS}


def test_one_speaker_alone_is_refused(model):
    rows = make_rows(["a"], KINDS)
    with pytest.raises(UserError, match="non-target"):
        evaluated(model, make_store(rows), rows=rows)


def test_no_trials_are_refused(model, store):
    with pytest.raises(UserError, match="no target and no non-target trial"):
        evaluated(model, store, trials=[])


def test_data_outside_the_training_range_are_counted_and_told(store):
    ranged = small_model(echo_norm={"type": "minmax"})
    inside = evaluated(ranged, store)
    assert 0 <= inside.out_of_range["echo"] < 1e-3  # too few to be told of
    assert inside.notes == []
    louder = replace(store, echo=store.echo + np.float16(25))
    for _ in range(2):  # counted anew each time
        result = evaluated(ranged, louder)
        assert 0.01 < result.out_of_range["echo"] < 1
        assert result.summary()["out_of_range"] == result.out_of_range
        assert [note for note in result.notes if "of the echo features lie outside the range" in note] == result.notes
        assert len(result.notes) == 1


def test_a_model_without_a_range_has_nothing_to_tell_of_it(model, store):
    assert evaluated(model, store).out_of_range == {}
