"""Products of many pairs of vectors: what scoring a list of trials comes down to."""

import numpy as np
from numpy.typing import NDArray

# One gathered product of 192 to 512 dimensions takes the time of about dimensions / 10 cells of a matrix product on two
# cores (benchmarks/trial_scoring.py): an enrolment that meets a larger share of the tests is scored against all.
CELLS_PER_DIMENSION = 0.1
# Cells of a block of the matrix, and values of a chunk of gathered vectors: what the cache of a core still serves.
BLOCK_CELLS, CHUNK_VALUES = 4_000_000, 1_000_000


def pair_scores(
    left: NDArray[np.floating], right: NDArray[np.floating], enrolment: NDArray[np.integer], test: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Compute ``left[enrolment] · right[test]`` of every trial.

    Enrolments that meet many of the tests go through a block of the matrix ``left · rightᵀ``; the pairs of the others
    are gathered. Both give the same products but for rounding.

    Args:
        left: ``(enrolments, factors)``.
        right: ``(tests, factors)``.
        enrolment: row of ``left`` of each trial, ``(trials,)``.
        test: row of ``right`` of each trial, ``(trials,)``.

    Returns:
        ``(trials,)`` of the type that both have in common.
    """
    scores = np.empty(len(enrolment), np.result_type(left, right))
    counts = np.bincount(enrolment, minlength=len(left))
    is_dense = counts * (left.shape[1] * CELLS_PER_DIMENSION) >= len(right)
    dense, sparse = (np.flatnonzero(chosen) for chosen in (is_dense[enrolment], ~is_dense[enrolment]))
    _fill_dense(scores, dense, left, right, enrolment, test)
    step = max(1, CHUNK_VALUES // left.shape[1])
    for start in range(0, len(sparse), step):
        some = sparse[start : start + step]
        scores[some] = np.einsum("tf,tf->t", left[enrolment[some]], right[test[some]])
    return scores


def _fill_dense(
    scores: NDArray[np.floating],
    trials: NDArray[np.intp],
    left: NDArray[np.floating],
    right: NDArray[np.floating],
    enrolment: NDArray[np.integer],
    test: NDArray[np.integer],
) -> None:
    """Write the scores of these trials, block by block of the enrolments that they name."""
    trials = trials[np.argsort(enrolment[trials], kind="stable")]
    rows, first, place = np.unique(enrolment[trials], return_index=True, return_inverse=True)
    edges = np.append(first, len(trials))
    step = max(1, BLOCK_CELLS // max(1, len(right)))
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        some = slice(edges[start], edges[stop])
        cells = left[rows[start:stop]] @ right.T
        scores[trials[some]] = cells[place[some] - start, test[trials[some]]]
