import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.evaluation.trials.nontargets import BLOCK, Pool, _spread, nearest_others


def _slow_spread(speakers: np.ndarray, count: int, rng: np.random.Generator) -> set[int]:
    """The rule as a sort: by turn, and within a turn by lot."""
    if speakers.size <= count:
        return set(range(speakers.size))
    shuffled = rng.permutation(speakers.size)
    turn, given = {}, {}
    for place in shuffled[np.argsort(speakers[shuffled], kind="stable")]:
        turn[int(place)] = given.get(speakers[place], 0)
        given[speakers[place]] = turn[int(place)] + 1
    lots = rng.random(speakers.size)
    order = sorted(zip(turn.values(), lots, turn, strict=True))
    return {place for _, _, place in order[:count]}


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(0, 70), st.integers(0, 99))
def test_nobody_gives_a_second_one_more_before_all_gave_theirs(listed: list[int], count: int, seed: int) -> None:
    speakers = np.array(listed, dtype=np.intp)
    drawn = _spread(speakers, count, np.random.default_rng(seed))
    assert len(set(drawn.tolist())) == len(drawn) == min(count, len(listed))
    given_, has = np.bincount(speakers[drawn], minlength=7), np.bincount(speakers, minlength=7)
    short = given_ < has  # those who have more to give gave as much as anybody, but for the last turn
    assert given_.max(initial=0) - given_[short].min(initial=given_.max(initial=0)) <= 1
    assert set(drawn.tolist()) == _slow_spread(speakers, count, np.random.default_rng(seed))


def test_more_enrolments_than_a_block_are_compared_alike() -> None:
    rng = np.random.default_rng(0)
    count = 2 * BLOCK + 3
    embeddings = rng.normal(size=(2 * count, 5))
    pool = Pool(np.arange(count, 2 * count), np.arange(count), np.zeros(count, dtype=np.intp))
    enrolments = [[item] for item in range(count)]
    found = list(nearest_others(embeddings, enrolments, list(range(count)), pool, np.full(count, 3)))
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = unit[:count] @ unit[count:].T
    np.fill_diagonal(cosines, -np.inf)
    for own, nearest in zip(cosines, found, strict=True):
        assert set(nearest.tolist()) == set(np.argsort(-own)[:3].tolist())
