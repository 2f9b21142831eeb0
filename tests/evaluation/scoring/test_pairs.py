import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.evaluation.scoring import pairs
from vivavoce.evaluation.scoring.pairs import pair_scores


def draw_pairs(seed: int, enrolments: int, tests: int, trials: int, factors: int = 24):
    rng = np.random.default_rng(seed)
    left, right = (rng.normal(size=(count, factors)).astype(np.float32) for count in (enrolments, tests))
    left, right = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (left, right))
    return left, right, rng.integers(0, enrolments, trials), rng.integers(0, tests, trials)


@given(
    st.integers(0, 99), st.integers(1, 12), st.integers(1, 40), st.integers(0, 300), st.sampled_from([0.0, 0.1, 1e9])
)
def test_every_trial_has_the_product_that_a_loop_gives(seed, enrolments, tests, trials, cells):
    left, right, enrolment, test = draw_pairs(seed, enrolments, tests, trials)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "CELLS_PER_DIMENSION", cells)  # all gathered, either, or all through the matrix
        patch.setattr(pairs, "BLOCK_CELLS", 50)
        patch.setattr(pairs, "CHUNK_VALUES", 100)
        scores = pair_scores(left, right, enrolment, test)
    wanted = [float(left[e].astype(np.float64) @ right[t]) for e, t in zip(enrolment, test, strict=True)]
    np.testing.assert_allclose(scores, wanted, atol=1e-6)
    assert scores.dtype == np.float32


@pytest.mark.parametrize(("tests", "dense"), [(10, True), (5_000, False)])
def test_only_enrolments_that_meet_many_tests_are_scored_against_all(monkeypatch, tests, dense):
    left, right, enrolment, test = draw_pairs(0, 3, tests, 60)
    seen = []
    monkeypatch.setattr(pairs, "_fill_dense", lambda scores, trials, *_: seen.append(len(trials)))
    pair_scores(left, right, enrolment, test)
    assert seen == [60 if dense else 0]


def test_the_order_of_trials_changes_no_score():
    left, right, enrolment, test = draw_pairs(1, 8, 30, 500)
    order = np.random.default_rng(2).permutation(500)
    np.testing.assert_allclose(
        pair_scores(left, right, enrolment[order], test[order]),
        pair_scores(left, right, enrolment, test)[order],
        atol=1e-6,
    )
