"""Which recordings of other speakers meet an enrolment: any, those of the same sex, or those that sound most alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vivavoce.evaluation.trials.table import DRAWN_CODES

# Enrolments compared with all recordings at once: bounds the memory of the cosines.
BLOCK = 128

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Pool:
    """The live recordings that enrol nobody."""

    recordings: Indices  # (pool,) their numbers among the manifest's rows, by speaker
    speakers: Indices  # (pool,) number of each one's speaker
    sexes: Indices  # (pool,) number of each one's sex, -1 where the manifest says none


@dataclass(frozen=True)
class Wanted:
    """How many non-targets of each kind an enrolled speaker gets."""

    total: int
    same_sex: int
    hard: int


def draw_nontargets(
    pool: Pool, speaker: int, sex: int, wanted: Wanted, nearest: Indices, rng: np.random.Generator
) -> tuple[Indices, NDArray[np.int8]]:
    """Draw recordings of other speakers against one enrolled speaker.

    The hard ones are taken first, then those of the same sex; what the two do not fill is drawn from everybody else's
    recordings. Within the latter two, no speaker gives a second recording more before all gave theirs.

    Args:
        pool: the recordings to draw from.
        speaker: number of the enrolled speaker.
        sex: number of their sex; -1: unknown, so that nobody is known to be of the same.
        wanted: how many.
        nearest: places in the pool of the hard ones.
        rng: of the draws.

    Returns:
        Numbers of the recordings among the manifest's rows, in rising order, and how each was drawn (`DRAWN`).
    """
    how = np.zeros(pool.recordings.size, dtype=np.int8)
    how[nearest] = DRAWN_CODES["hard"]
    if wanted.same_sex and sex >= 0:
        free = np.flatnonzero((how == 0) & (pool.sexes == sex) & (pool.speakers != speaker))
        how[free[_spread(pool.speakers[free], wanted.same_sex, rng)]] = DRAWN_CODES["same_sex"]
    free = np.flatnonzero((how == 0) & (pool.speakers != speaker))
    left = wanted.total - int(np.count_nonzero(how))
    how[free[_spread(pool.speakers[free], left, rng)]] = DRAWN_CODES["random"]
    drawn = np.flatnonzero(how)
    return pool.recordings[drawn], how[drawn]


def nearest_others(
    embeddings: ArrayLike, enrolments: Sequence[Sequence[int]], speakers: Sequence[int], pool: Pool, counts: Indices
) -> Iterator[Indices]:
    """Find for each enrolment the recordings of other speakers that sound most like it.

    Args:
        embeddings: of the manifest's recordings, ``(recordings, dim)``.
        enrolments: numbers of each enrolment's recordings.
        speakers: number of the speaker of each enrolment.
        pool: the recordings to choose from.
        counts: how many to find for each enrolment.

    Yields:
        Places in the pool, of the largest cosines with the mean of the enrolment's unit embeddings.

    Raises:
        ValueError: an embedding is zero or holds values that are no numbers.
    """
    unit = np.asarray(embeddings, dtype=np.float32)
    lengths = np.linalg.norm(unit, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("an embedding is zero or holds values that are no numbers")
    unit = unit / lengths
    # The length of the mean scales all cosines of an enrolment alike, so that it does not change their order.
    means = np.stack([unit[list(members)].mean(axis=0) for members in enrolments])
    others = unit[pool.recordings].T
    for start in range(0, len(means), BLOCK):
        for offset, cosines in enumerate(means[start : start + BLOCK] @ others):
            item = start + offset
            cosines[pool.speakers == speakers[item]] = -np.inf
            count = min(int(counts[item]), int(np.isfinite(cosines).sum()))
            yield (
                np.argpartition(cosines, cosines.size - count)[cosines.size - count :]
                if count
                else cosines[:0].astype(np.intp)
            )


def _spread(speakers: Indices, count: int, rng: np.random.Generator) -> Indices:
    """Draw ``count`` places so that no speaker gives a second one more before all gave theirs."""
    if speakers.size <= count:
        return np.arange(speakers.size)
    shuffled = rng.permutation(speakers.size)
    sizes = np.bincount(speakers)
    # 16 bits are sorted by radix, in time that grows with the number of places only.
    keys = speakers.astype(np.uint16) if sizes.size <= 1 << 16 else speakers
    by_speaker = shuffled[np.argsort(keys[shuffled], kind="stable")]
    turn = np.arange(speakers.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    lots = rng.random(speakers.size)
    given = np.cumsum(np.bincount(turn))
    last = int(np.searchsorted(given, count))
    whole, contested = np.flatnonzero(turn < last), np.flatnonzero(turn == last)
    left = count - whole.size
    if left < contested.size:
        contested = contested[np.argpartition(lots[contested], left)[:left]]
    return by_speaker[np.concatenate([whole, contested])]
