import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.corpus.sampling.conftest import make, some_items
from vivavoce.corpus.sampling import LengthBucketsConfig
from vivavoce.errors import UserError

TYPE = {"type": "length_buckets"}
INNER = [{"type": "random"}, {"type": "weighted"}, {"type": "speaker_balanced"}, {"type": "kind_balanced"}]
seeds = st.integers(0, 2**31)


@pytest.mark.parametrize("inner", INNER, ids=lambda inner: inner["type"])
@settings(max_examples=30)
@given(size=st.integers(8, 80), seed=seeds, batch=st.integers(1, 20), buckets=st.integers(1, 12))
def test_an_epoch_holds_what_the_inner_sampler_gives(inner, size, seed, batch, buckets):
    items = some_items(size, seed)
    drawn = list(make(TYPE | {"inner": inner, "buckets": buckets, "drop_last": False}, items, batch, seed))
    inside = make(inner if "balanced" in inner["type"] else inner | {"drop_last": False}, items, batch, seed)
    assert sorted(np.concatenate(drawn)) == sorted(np.concatenate(list(inside)))
    assert sum(len(one) < batch for one in drawn) <= 1


@settings(max_examples=30)
@given(size=st.integers(8, 80), seed=seeds, batch=st.integers(1, 8), buckets=st.integers(1, 12))
def test_drop_last_leaves_out_less_than_a_batch(size, seed, batch, buckets):
    drawn = list(make(TYPE | {"buckets": buckets}, some_items(size, seed), batch, seed))
    assert [len(one) for one in drawn] == [batch] * (size // batch)
    assert len(set(np.concatenate(drawn))) == size // batch * batch


@settings(max_examples=50)
@given(
    size=st.integers(8, 80), seed=seeds, batch=st.integers(1, 10), times=st.floats(1, 12), world=st.sampled_from([1, 2])
)
def test_padding_is_bounded(size, seed, batch, times, world):
    items = some_items(size, seed)
    options = TYPE | {"max_padded": float(items.lengths.max()) * times * world, "drop_last": False, "buckets": 4}
    ranks = [list(make(options, items, batch * world, seed, rank, world)) for rank in range(world)]
    for parts in zip(*ranks, strict=True):
        items_of_all = np.concatenate(parts)
        assert len(items_of_all) * items.lengths[items_of_all].max() <= options["max_padded"] * (1 + 1e-12)
        assert len(items_of_all) <= batch * world
    assert set(np.concatenate([part for rank in ranks for part in rank])) == set(range(size))


def test_short_recordings_make_larger_batches():
    items = some_items(400)
    drawn = list(make(TYPE | {"max_padded": 4000.0}, items, 400))
    longest = np.array([items.lengths[one].max() for one in drawn])
    sizes = np.array([len(one) for one in drawn])
    assert np.corrcoef(longest, sizes)[0, 1] < -0.7
    assert sizes.max() > 3 * sizes.min()


def test_buckets_save_padding_and_more_buckets_more():
    items = some_items(1000)

    def padded(batches):
        return sum(len(one) * items.lengths[one].max() for one in batches)

    plain = padded(make({"type": "random"}, items, 10))
    few, many = (padded(make(TYPE | {"buckets": buckets}, items, 10)) for buckets in (3, 20))
    assert many < few < plain
    assert many < 1.15 * items.lengths.sum()


def test_batches_of_all_lengths_are_mixed():
    items = some_items(1000)
    means = np.array([items.lengths[one].mean() for one in make(TYPE, items, 10)])
    assert np.abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_shares_of_the_inner_sampler_hold_over_the_epoch():
    items = some_items(400)
    drawn = np.concatenate(list(make(TYPE | {"inner": {"type": "kind_balanced"}, "drop_last": False}, items, 20)))
    assert np.mean(items.kinds[drawn] == "live") == 0.5


def test_mates_change_from_epoch_to_epoch_also_among_few_recordings():
    sampler = make(TYPE, some_items(36), 12)
    mates = set()
    for epoch in range(10):
        sampler.set_epoch(epoch)
        mates |= {frozenset(one.tolist()) for one in sampler}
    assert len(mates) == 30


def test_one_length_for_all_is_one_bucket():
    items = some_items(40)
    items.lengths[:] = 300
    assert [len(one) for one in make(TYPE, items, 10)] == [10] * 4


def test_what_cannot_be_batched_is_refused():
    items = some_items(40)
    with pytest.raises(UserError, match=r"longest recording .* does not fit"):
        make(TYPE | {"max_padded": items.lengths.max() - 1}, items, 10)
    with pytest.raises(UserError, match="on each of 2 processes"):
        make(TYPE | {"max_padded": items.lengths.max() * 1.9}, items, 10, 0, 0, 2)
    with pytest.raises(UserError, match="batch of 50 is larger than the 40"):
        make(TYPE, items, 50)


def test_the_inner_sampler_drops_nothing():
    with pytest.raises(ValidationError, match="belongs to length_buckets"):
        LengthBucketsConfig.model_validate({"inner": {"type": "random", "drop_last": True}})
