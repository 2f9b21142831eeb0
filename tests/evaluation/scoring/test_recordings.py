from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.scoring import recordings as scoring
from vivavoce.evaluation.scoring.recordings import score_recordings
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.table import NONTARGET, TARGET, Trial, references
from vivavoce.features.store import FeatureStore

from ...synthetic import make_rows, make_store, small_model

ROWS = make_rows(["a", "b", "c"], [Kind.LIVE, Kind.REPLAY_STAND, Kind.PROBE_ABSENT], utterances=5)


@pytest.fixture(scope="module")
def store() -> FeatureStore:
    return make_store(ROWS)


def part(store: FeatureStore, items: list[int]) -> FeatureStore:
    """The same features, chosen recordings only, laid out anew."""
    spans = [slice(store.starts[i], store.starts[i] + store.frames[i]) for i in items]
    frames = store.frames[items]
    voice, echo = (np.concatenate([a[span] for span in spans]) for a in (store.voice, store.echo))
    return FeatureStore(voice, echo, np.cumsum(frames) - frames, frames, [store.quality[i] for i in items])


@pytest.mark.parametrize("crop_s", [None, 1.0])
@pytest.mark.parametrize("batch_frames", [1, 700, 10**6])
def test_batch_mates_and_batch_size_change_no_score(store, model, monkeypatch, crop_s, batch_frames):
    whole = score_recordings(model, store, crop_s)
    monkeypatch.setattr(scoring, "BATCH_FRAMES", batch_frames)
    other = score_recordings(model, store, crop_s)
    np.testing.assert_allclose(whole.embeddings, other.embeddings, atol=1e-5)
    np.testing.assert_allclose(whole.liveness, other.liveness, atol=1e-4)


@settings(max_examples=8, deadline=None)
@given(items=st.lists(st.integers(0, len(ROWS) - 1), min_size=1, max_size=7, unique=True))
def test_a_recording_scores_the_same_in_any_company_and_order(items):
    store, model = make_store(ROWS), small_model()
    whole, some = score_recordings(model, store), score_recordings(model, part(store, items))
    np.testing.assert_allclose(some.embeddings, whole.embeddings[items], atol=1e-5)
    np.testing.assert_allclose(some.liveness, whole.liveness[items], atol=1e-4)


def test_liveness_is_answered_exactly_where_there_is_a_probe(store, model):
    scores = score_recordings(model, store)
    absent = np.array([row.meta.kind is Kind.PROBE_ABSENT for row in ROWS])
    assert np.isnan(scores.liveness[absent]).all()
    assert np.isfinite(scores.liveness[~absent]).all()
    np.testing.assert_allclose(np.linalg.norm(scores.embeddings, axis=1), 1, atol=1e-5)
    assert scores.quality == store.quality


def test_a_crop_is_the_middle_and_touches_only_liveness(store, model):
    whole, cropped = score_recordings(model, store), score_recordings(model, store, liveness_crop_s=1.0)
    np.testing.assert_array_equal(whole.embeddings, cropped.embeddings)
    assert not np.allclose(whole.liveness, cropped.liveness, equal_nan=True)
    first = (store.frames[0] - 100) // 2
    span = slice(store.starts[0] + first, store.starts[0] + first + 100)
    voice, echo = (torch.from_numpy(np.array(array[span], np.float32))[None] for array in (store.voice, store.echo))
    with torch.inference_mode():
        alone = model.liveness(voice, echo).utterance[0]
    assert cropped.liveness[0] == pytest.approx(float(alone), abs=1e-4)
    # A crop longer than every recording is all of it.
    np.testing.assert_allclose(score_recordings(model, store, 60.0).liveness, whole.liveness, atol=1e-5)


def test_trials_score_the_cosine_with_the_mean_of_the_enrolment():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(len(ROWS), 8))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    trials = make_trials(ROWS, enrol=2)
    scored = score_trials(trials, ROWS, embeddings)
    number = {name: index for index, name in enumerate(references(ROWS))}
    for trial, score, test in zip(trials, scored.scores, scored.test_index, strict=True):
        mean = sum(embeddings[number[name]] for name in trial.enrol)
        other = embeddings[number[trial.test]]
        assert test == number[trial.test]
        assert score == pytest.approx(mean @ other / np.linalg.norm(mean) / np.linalg.norm(other))


def test_the_order_within_an_enrolment_does_not_matter():
    embeddings = np.random.default_rng(1).normal(size=(len(ROWS), 8))
    names = references(ROWS)
    trials = [
        Trial((names[0], names[3], names[6]), names[9], TARGET),
        Trial((names[6], names[0], names[3]), names[9], TARGET),
    ]
    scores = score_trials(trials, ROWS, embeddings).scores
    assert scores[0] == pytest.approx(scores[1])


@pytest.mark.parametrize("place", ["enrol", "test"])
def test_a_trial_with_an_unknown_recording_is_refused(place):
    names = references(ROWS)
    good = Trial((names[0],), names[1], NONTARGET)
    bad = replace(good, test="ghost.wav") if place == "test" else replace(good, enrol=("ghost.wav",))
    with pytest.raises(UserError, match=r"names ghost\.wav"):
        score_trials([good, bad], ROWS, np.ones((len(ROWS), 4)))


def test_no_trial_at_all_is_refused():
    with pytest.raises(UserError, match="no trial"):
        score_trials([], ROWS, np.ones((len(ROWS), 4)))
