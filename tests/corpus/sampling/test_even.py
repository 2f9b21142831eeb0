import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.corpus.sampling.even import even_stream, members_in_turn

seeds = st.integers(0, 2**31)
windows = st.lists(st.integers(0, 20), min_size=1, max_size=20)


def spread(values, count):
    """How much oftener the commonest of the numbers below ``count`` is than the rarest."""
    return np.ptp(np.bincount(values, minlength=count))


@given(seeds, st.integers(1, 15), windows)
def test_streams_are_even_as_a_whole_and_in_each_window(seed, count, sizes):
    stream = even_stream(np.random.default_rng(seed), count, np.array(sizes))
    assert len(stream) == sum(sizes)
    assert spread(stream, count) <= 1
    for window in np.split(stream, np.cumsum(sizes)[:-1]):
        assert spread(window, count) <= 1
    for begin in range(0, len(stream) - count + 1, count):
        assert sorted(stream[begin : begin + count]) == list(range(count))


@given(seeds)
def test_rounds_differ(seed):
    stream = even_stream(np.random.default_rng(seed), 20, np.full(10, 8))
    assert len({tuple(part) for part in stream.reshape(4, 20)}) == 4


def test_what_waits_for_the_next_window_waits_anywhere_in_its_round():
    # The second window of four lies across two rounds of six: its first two come again in the last four places.
    streams = [even_stream(np.random.default_rng(seed), 6, np.full(3, 4)) for seed in range(600)]
    last = np.mean([set(stream[4:6]) == set(stream[10:12]) for stream in streams])
    assert abs(last - 1 / 6) < 5 * np.sqrt(1 / 6 * 5 / 6 / 600)


def test_every_place_is_alike_likely():
    rng = np.random.default_rng(0)
    counts = np.zeros((13, 5))
    for _ in range(4000):
        counts[np.arange(13), even_stream(rng, 5, np.full(13, 1))] += 1
    # Standard deviation sqrt(4000 * 0.2 * 0.8) = 25
    assert np.abs(counts - 800).max() < 5 * 25


@given(seeds, st.lists(st.integers(0, 6), min_size=1, max_size=60), st.data())
def test_members_come_in_turn(seed, groups, data):
    groups = np.unique(groups, return_inverse=True)[1]
    wanted = np.array(data.draw(st.lists(st.sampled_from(groups.tolist()), max_size=80)), int)
    chosen = members_in_turn(np.random.default_rng(seed), groups, wanted)
    assert np.array_equal(groups[chosen], wanted)
    for group in set(wanted.tolist()):
        members = np.flatnonzero(groups == group)
        drawn = chosen[wanted == group]
        assert np.ptp([np.sum(drawn == member) for member in members]) <= 1
        for begin in range(len(drawn) - len(members) + 1):
            assert sorted(drawn[begin : begin + len(members)]) == members.tolist()


def test_circles_are_shuffled():
    groups = np.repeat([0, 1], 30)
    circles = {tuple(members_in_turn(np.random.default_rng(seed), groups, groups)) for seed in range(20)}
    assert len(circles) == 20
