import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.evaluation.scoring import normalisation
from vivavoce.evaluation.scoring.backends import Cosine, singles, unit_length
from vivavoce.evaluation.scoring.normalisation import Cohort, NormalisationConfig

COSINE, S_NORM = Cosine(), NormalisationConfig(type="s_norm")


def vectors(seed: int, count: int, dimensions: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimensions))


def cohort_of(seed: int, count: int = 40) -> Cohort:
    return Cohort(vectors(seed, count), tuple(f"c{number // 2}" for number in range(count)))


def normalised(config: NormalisationConfig, left: np.ndarray, right: np.ndarray, cohort: Cohort) -> np.ndarray:
    """Scores of every enrolment with every test, ``(enrolments, tests)``."""
    enrolled, tested = COSINE.enrolled(left, singles(len(left))), COSINE.tested(right)
    sides = config.sides(enrolled, tested, cohort, COSINE)
    enrolment, test = (places.ravel() for places in np.indices((len(left), len(right))))
    return sides.normalise((enrolled @ tested.T).ravel(), enrolment, test).reshape(len(left), len(right))


@given(
    st.integers(0, 99),
    st.sampled_from([S_NORM, NormalisationConfig(type="as_norm", top_n=25)]),
)
def test_swapping_enrolment_and_test_changes_no_score(seed, config):
    one, other, cohort = vectors(seed, 4), vectors(seed + 1, 3), cohort_of(seed + 2)
    np.testing.assert_allclose(
        normalised(config, one, other, cohort), normalised(config, other, one, cohort).T, atol=1e-9
    )


@given(st.integers(0, 99), st.integers(20, 50))
def test_as_norm_with_the_whole_cohort_is_s_norm(seed, count):
    one, other, cohort = vectors(seed, 4), vectors(seed + 1, 3), cohort_of(seed + 2, count)
    whole = NormalisationConfig(type="as_norm", top_n=count)
    np.testing.assert_allclose(normalised(whole, one, other, cohort), normalised(S_NORM, one, other, cohort))


@pytest.mark.parametrize("block", [1, 10**6])
def test_as_norm_is_the_formula_of_its_paper(monkeypatch, block):
    monkeypatch.setattr(normalisation, "BLOCK_CELLS", block)
    one, other, cohort = vectors(0, 3), vectors(1, 5), cohort_of(2)
    found = normalised(NormalisationConfig(type="as_norm", top_n=20), one, other, cohort)
    one, other, others = (unit_length(part) for part in (one, other, cohort.embeddings))
    for i, j in np.ndindex(found.shape):
        score = one[i] @ other[j]
        sides = [np.sort(others @ vector)[-20:] for vector in (one[i], other[j])]
        assert found[i, j] == pytest.approx(np.mean([(score - top.mean()) / top.std() for top in sides]))


def test_the_scores_of_strangers_get_mean_zero_and_deviation_one():
    """With a cohort of the same sort as the trials' speakers, a stranger's normalised score is a standard one."""
    found = normalised(S_NORM, vectors(0, 200), vectors(1, 200), cohort_of(2, 2000))
    assert abs(found.mean()) < 0.05
    assert found.std() == pytest.approx(1, abs=0.05)


def test_a_cohort_of_speakers_holds_their_means():
    cohort = cohort_of(0)
    means = cohort.speaker_means()
    assert means.speakers == tuple(sorted(set(cohort.speakers)))
    first = unit_length(cohort.embeddings)[np.array(cohort.speakers) == means.speakers[3]].mean(axis=0)
    np.testing.assert_allclose(means.embeddings[3], unit_length(first))


def test_speakers_are_taken_out_with_their_embeddings():
    cohort = cohort_of(0)
    left = cohort.without({"c1", "stranger"})
    assert set(cohort.speakers) - set(left.speakers) == {"c1"}
    np.testing.assert_array_equal(left.embeddings, cohort.embeddings[np.array(cohort.speakers) != "c1"])


@pytest.mark.parametrize(
    ("count", "gone", "said"),
    [(19, set(), "holds 19 embeddings; give"), (20, {"c0"}, "18 embeddings, and 2 more")],
)
def test_a_cohort_that_is_too_small_is_refused(count, gone, said):
    with pytest.raises(UserError, match=said):
        cohort_of(0, count).without(gone)


def test_asking_for_more_than_the_cohort_holds_is_refused():
    with pytest.raises(UserError, match="holds 40 embeddings, and as_norm asks for the 300"):
        normalised(NormalisationConfig(type="as_norm"), vectors(0, 1), vectors(1, 1), cohort_of(2))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_cohort_of_copies_is_refused(kind):
    copies = Cohort(np.repeat(vectors(0, 1), 30, axis=0).astype(kind), ("c",) * 30)
    with pytest.raises(UserError, match="all the same"):
        normalised(S_NORM, vectors(1, 2), vectors(2, 2), copies)
