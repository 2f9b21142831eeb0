import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.evaluation.localise import best_path, cell_logits, intersection_over_union, segments

CELLS = st.lists(st.tuples(st.integers(4, 15), st.booleans()), min_size=1, max_size=8)


def planted(runs: list[tuple[int, bool]], level: float = 3.0) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Frame logits of alternating runs of cells, and the spans that are false."""
    live = np.repeat([live for _, live in runs], [cells for cells, _ in runs])
    edges = np.flatnonzero(np.diff(np.r_[0, ~live, 0].astype(int))).reshape(-1, 2)
    return np.repeat(np.where(live, level, -level), 5), [(a / 10, b / 10) for a, b in edges.tolist()]


@settings(deadline=None)
@given(CELLS)
def test_planted_spans_are_found_to_the_cell(runs):
    logits, truth = planted(runs)
    found = segments(logits)
    np.testing.assert_allclose(np.array(found).reshape(-1, 2), np.array(truth).reshape(-1, 2), atol=1e-9)
    assert intersection_over_union(found, truth) == pytest.approx(1)


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_noise_on_the_frames_moves_no_span_by_much(seed):
    rng = np.random.default_rng(seed)
    logits, truth = planted([(20, True), (8, False), (25, True)], level=2.0)
    found = segments(logits + rng.normal(0, 2, len(logits)))
    assert len(found) == 1
    assert intersection_over_union(found, truth) >= 0.7


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_nothing_is_found_in_the_noise_of_a_live_recording(seed):
    rng = np.random.default_rng(seed)
    assert segments(1.5 + rng.normal(0, 2, 500)) == []


@settings(deadline=None)
@given(
    st.lists(st.floats(-4, 4).map(lambda x: round(x, 2)), min_size=1, max_size=9),
    st.floats(0, 6).map(lambda x: round(x, 2)),
)
def test_the_path_is_the_best_of_all_paths(evidence, cost):
    evidence = np.array(evidence)

    def score(path: tuple[int, ...] | np.ndarray) -> float:
        signs = np.where(np.asarray(path, dtype=bool), 0.5, -0.5)
        return float(signs @ evidence - cost * np.count_nonzero(np.diff(signs)))

    best = max(score(path) for path in itertools.product((0, 1), repeat=len(evidence)))
    assert score(best_path(evidence, cost)) == pytest.approx(best, abs=1e-9)


def test_threshold_shortest_span_and_the_last_cell():
    logits = np.r_[np.full(50, 3.0), np.full(33, 1.0)]
    assert segments(logits) == []
    assert segments(logits, threshold=2.0) == [(1.0, 1.66)]
    assert segments(logits, threshold=2.0, shortest_s=0.7) == []
    assert segments(np.zeros(0)) == []
    brief = np.r_[np.full(50, 3.0), np.full(5, -9.0), np.full(50, 3.0)]
    assert segments(brief, change_cost=0.5) == []
    assert segments(brief, change_cost=0.5, shortest_s=0.1) == [(1.0, 1.1)]


def test_cells_are_means_and_no_cell_is_surer_than_four_logits():
    logits = np.r_[np.arange(5.0), np.full(5, 99.0), 1.0, 2.0]
    np.testing.assert_allclose(cell_logits(logits), [2.0, 4.0, 1.5])
    np.testing.assert_allclose(cell_logits(logits, threshold=1.0), [1.0, 4.0, 0.5])


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        ([], [], 1.0),
        ([(1.0, 2.0)], [], 0.0),
        ([], [(1.0, 2.0)], 0.0),
        ([(1.0, 2.0)], [(1.5, 2.5)], 1 / 3),
        ([(0.0, 1.0), (2.0, 3.0)], [(0.0, 3.0)], 2 / 3),
        ([(0.0, 2.0), (1.0, 3.0)], [(0.0, 3.0)], 1.0),
    ],
)
def test_intersection_over_union(found, truth, expected):
    assert intersection_over_union(found, truth) == pytest.approx(expected)
    assert intersection_over_union(truth, found) == pytest.approx(expected)
