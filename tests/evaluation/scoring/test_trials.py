import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.scoring.backends import Averaged, Cosine, members_of, singles
from vivavoce.evaluation.scoring.normalisation import Cohort, NormalisationConfig
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.table import NONTARGET, Trial, Trials, references

from ...synthetic import make_rows

ROWS = make_rows(["a", "b", "c"], [Kind.LIVE, Kind.REPLAY_STAND], utterances=6)
NAMES = references(ROWS)
TRIALS = Trials.of(make_trials(ROWS, enrol=3))


def draw(seed: int, count: int = len(ROWS)) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)


def cohort_of(seed: int, speakers: int = 30) -> Cohort:
    return Cohort(draw(seed, speakers), tuple(f"other{number}" for number in range(speakers)))


@given(st.integers(0, 99))
def test_scores_do_not_depend_on_the_order_of_trials_nor_on_how_they_are_listed(seed):
    embeddings, order = draw(seed), np.random.default_rng(seed).permutation(len(TRIALS))
    whole = score_trials(TRIALS, ROWS, embeddings)
    for trials in (TRIALS.take(order), [TRIALS[int(index)] for index in order]):
        some = score_trials(trials, ROWS, embeddings)
        np.testing.assert_allclose(some.scores, whole.scores[order], atol=1e-6)
        np.testing.assert_array_equal(some.test_index, whole.test_index[order])


@given(st.integers(0, 99), st.sampled_from([Cosine(), Averaged(Cosine())]))
def test_the_length_of_an_embedding_changes_no_score(seed, backend):
    embeddings = draw(seed)
    lengths = np.random.default_rng(seed).uniform(0.01, 100, (len(ROWS), 1))
    scores = score_trials(TRIALS, ROWS, embeddings, backend=backend).scores
    np.testing.assert_allclose(
        score_trials(TRIALS, ROWS, embeddings * lengths, backend=backend).scores, scores, atol=1e-5
    )


def test_averaged_scores_are_the_mean_over_the_recordings_of_an_enrolment():
    embeddings = draw(3)
    averaged = score_trials(TRIALS, ROWS, embeddings, backend=Averaged(Cosine())).scores
    for trial, score in zip(TRIALS, averaged, strict=True):
        parts = score_trials([Trial((name,), trial.test, trial.label) for name in trial.enrol], ROWS, embeddings)
        assert score == pytest.approx(parts.scores.mean(), abs=1e-6)


def test_of_one_recording_mean_and_averaged_scores_are_the_same():
    embeddings = draw(4)
    trials = [Trial((NAMES[0],), NAMES[5], NONTARGET), Trial((NAMES[3],), NAMES[7], NONTARGET)]
    mean, averaged = (score_trials(trials, ROWS, embeddings, backend=b).scores for b in (Cosine(), Averaged(Cosine())))
    np.testing.assert_allclose(mean, averaged, atol=1e-6)


def test_normalised_scores_of_a_list_are_those_of_each_trial_alone():
    embeddings, config = draw(5), NormalisationConfig(type="as_norm", top_n=20)
    whole = score_trials(TRIALS, ROWS, embeddings, normalisation=config, cohort=cohort_of(6)).scores
    for index in (0, len(TRIALS) - 1):
        alone = score_trials([TRIALS[index]], ROWS, embeddings, normalisation=config, cohort=cohort_of(6)).scores
        assert alone[0] == pytest.approx(whole[index], abs=1e-5)


def test_speakers_of_the_trials_are_left_out_of_the_cohort():
    embeddings, config, cohort = draw(7), NormalisationConfig(type="s_norm"), cohort_of(8)
    with_users = Cohort(
        np.concatenate([cohort.embeddings, embeddings]), cohort.speakers + tuple(row.speaker for row in ROWS)
    )
    scores = [
        score_trials(TRIALS, ROWS, embeddings, normalisation=config, cohort=chosen).scores
        for chosen in (cohort, with_users)
    ]
    np.testing.assert_array_equal(*scores)


def test_a_cohort_of_the_users_themselves_is_refused():
    cohort = Cohort(draw(9), tuple(row.speaker for row in ROWS))
    config = NormalisationConfig(type="s_norm")
    with pytest.raises(UserError, match=r"holds 0 embeddings, and 36 more are of speakers in the trials"):
        score_trials(TRIALS, ROWS, draw(9), normalisation=config, cohort=cohort)


def test_embeddings_of_other_recordings_are_a_mistake_of_the_program():
    with pytest.raises(ValueError, match="35 embeddings for 36 recordings"):
        score_trials(TRIALS, ROWS, draw(0, 35))


def test_an_empty_enrolment_is_a_mistake_of_the_program():
    with pytest.raises(ValueError, match="one recording at least"):
        members_of([[0], []], 2)


def test_each_recording_enrolled_alone_is_itself():
    embeddings = draw(10)
    np.testing.assert_array_equal(singles(len(embeddings)) @ embeddings, embeddings)


def test_a_zero_embedding_scores_zero_with_everybody():
    embeddings = draw(11)
    embeddings[NAMES.index(TRIALS[0].test)] = 0
    scored = score_trials(TRIALS, ROWS, embeddings)
    of_it = scored.test_index == scored.test_index[0]
    np.testing.assert_array_equal(scored.scores[of_it], 0)
    assert (scored.scores[~of_it] != 0).all()
