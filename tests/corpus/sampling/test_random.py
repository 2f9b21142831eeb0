import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.corpus.sampling.conftest import make, some_items
from vivavoce.corpus.sampling import RandomConfig
from vivavoce.errors import UserError

seeds = st.integers(0, 2**31)


@given(st.integers(1, 50), st.integers(1, 12), seeds)
def test_every_recording_once(size, batch, seed):
    batches = list(make({"type": "random", "drop_last": False}, some_items(size), batch, seed))
    assert sorted(np.concatenate(batches)) == list(range(size))
    assert [len(b) for b in batches[:-1]] == [batch] * (len(batches) - 1)
    assert len(batches[-1]) == (size % batch or batch)


@given(st.integers(1, 50), st.integers(1, 12), seeds)
def test_drop_last_leaves_out_less_than_a_batch(size, batch, seed):
    if batch > size:
        with pytest.raises(UserError, match=f"batch of {batch} is larger than the {size}"):
            make({"type": "random"}, some_items(size), batch, seed)
        return
    batches = list(make({"type": "random"}, some_items(size), batch, seed))
    assert [len(b) for b in batches] == [batch] * (size // batch)
    assert len(set(np.concatenate(batches))) == size // batch * batch


@given(st.integers(1, 50), seeds, st.data())
def test_parts_of_an_epoch_come_again_only_after_all_others(size, seed, data):
    count = data.draw(st.integers(1, size))
    sampler = make({"type": "random", "count": count, "drop_last": False}, some_items(size), 1, seed)
    parts = []
    for epoch in range(2 * (size // count)):
        sampler.set_epoch(epoch)
        parts.append(np.concatenate(list(sampler)))
        assert len(parts[-1]) == count
    for half in (parts[: size // count], parts[size // count :]):
        assert len(set(np.concatenate(half))) == size // count * count


def test_a_share_is_a_count(items):
    assert len(make({"type": "random", "share": 1 / 3}, items, 1)) == 30
    assert len(make({"type": "random", "share": 1.0}, items, 1)) == 90


@pytest.mark.parametrize("options", [{"share": 0.001}, {"count": 91}])
def test_empty_and_too_large_subsets_are_refused(options, items):
    with pytest.raises(UserError, match="of the 90 recordings"):
        make({"type": "random", **options}, items, 1)


@pytest.mark.parametrize("options", [{"share": 0.5, "count": 3}, {"share": 0}, {"share": 1.1}, {"count": 0}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValidationError):
        RandomConfig(**options)
