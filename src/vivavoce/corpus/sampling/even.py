"""Drawing evenly: rounds in which each one comes once, without repeats inside a batch where that is possible."""

import numpy as np


def even_stream(rng: np.random.Generator, count: int, sizes: np.ndarray) -> np.ndarray:
    """Deal the numbers below ``count`` into windows of the given sizes; (sum of sizes,) int64.

    Each number comes once in each round of ``count`` draws, in a new order each round, and inside a window none comes
    twice before each other has come once, also where the window lies across two rounds.
    """
    ends = np.cumsum(sizes)
    stream = np.zeros(ends[-1] if len(ends) else 0, np.int64)
    if count == 1:
        return stream
    filled = 0
    while filled < len(stream):
        fresh = rng.permutation(count)
        window = np.searchsorted(ends, filled, side="right")
        tail = stream[ends[window] - sizes[window] : filled]
        if len(tail):  # the least used in this window first, the others in any order behind it
            used = np.bincount(tail, minlength=count)
            fresh = fresh[np.argsort(used[fresh], kind="stable")]
            missing = ends[window] - filled
            fresh[missing:] = rng.permutation(fresh[missing:])
        end = min(filled + count, len(stream))
        stream[filled:end] = fresh[: end - filled]
        filled = end
    return stream


def members_in_turn(rng: np.random.Generator, groups: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Choose a member of each wanted group, each group's members in turn; (wanted,) int64 item indices.

    Each group has its members in one shuffled circle, so that any run of draws no longer than the group has no member
    twice.

    Args:
        rng: where the order of the circles comes from.
        groups: (items,) group number of each item.
        wanted: (wanted,) group numbers, each of a group with members.
    """
    shuffled = rng.permutation(len(groups))
    by_group = shuffled[np.argsort(groups[shuffled], kind="stable")]
    counts = np.bincount(groups)
    first = np.cumsum(counts) - counts
    turn = first[wanted] + _occurrence(wanted) % counts[wanted]
    return by_group[turn]


def _occurrence(values: np.ndarray) -> np.ndarray:
    """Count, for each entry, the equal ones before it; (n,) -> (n,)."""
    order = np.argsort(values, kind="stable")
    counts = np.bincount(values)
    occurrence = np.empty(len(values), np.int64)
    occurrence[order] = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    return occurrence
