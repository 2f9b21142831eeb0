"""What holds for every sampler, and for every combination with length buckets."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.corpus.sampling.conftest import make, some_items
from vivavoce.errors import UserError

SINGLE = [
    {"type": "random"},
    {"type": "random", "drop_last": False},
    {"type": "random", "share": 0.5},
    {"type": "random", "count": 30},
    {"type": "weighted"},
    {"type": "weighted", "column": "device", "weights": {"a": 0.2, "b": 3.0}, "num_samples": 30},
    {"type": "weighted", "column": "weight", "weights": "as_given", "replacement": False, "drop_last": False},
    {"type": "speaker_balanced"},
    {"type": "speaker_balanced", "recordings": 4},
    {"type": "speaker_balanced", "speakers": 2, "batches": 5},
    {"type": "kind_balanced"},
    {"type": "kind_balanced", "shares": {"live": 3, "attack": 1, "tts": 2}, "by_speaker": True, "batches": 7},
]
BOUNDS = ({}, {"max_padded": 8000.0, "drop_last": False})
BUCKETS = [
    {"type": "length_buckets", "inner": {k: v for k, v in inner.items() if k != "drop_last"}, "buckets": 3}
    | BOUNDS[number % 2]
    for number, inner in enumerate(SINGLE)
]
every = pytest.mark.parametrize("options", SINGLE + BUCKETS, ids=lambda options: json.dumps(options))
sizes, seeds, epochs = st.integers(32, 120), st.integers(0, 2**31), st.integers(0, 9)
BATCH = 12  # of all ranks; with `recordings: 4` three speakers
few = settings(max_examples=4, deadline=None)


def epoch_of(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def same(left, right):
    return len(left) == len(right) and all(np.array_equal(one, other) for one, other in zip(left, right, strict=True))


@every
@few
@given(sizes, seeds, epochs, st.sampled_from([1, 2, 3, 4]), st.data())
def test_a_restored_state_continues_exactly_behind_the_last_batch(options, size, seed, epoch, world, data):
    items, rank = some_items(size, seed), data.draw(st.integers(0, world - 1))
    whole = epoch_of(make(options, items, BATCH, seed, rank, world), epoch)
    following = epoch_of(make(options, items, BATCH, seed, rank, world), epoch + 1)
    stopped = make(options, items, BATCH, seed, rank, world)
    stopped.set_epoch(epoch)
    done = data.draw(st.integers(0, len(whole)))
    batches = iter(stopped)
    assert same([next(batches) for _ in range(done)], whole[:done])
    state = json.loads(json.dumps(stopped.state_dict()))
    resumed = make(options, items, BATCH, seed, rank, world)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert same(list(resumed), whole[done:])
    assert same(list(resumed), whole), "a second pass starts at the beginning"
    assert same(epoch_of(resumed, epoch + 1), following)


@every
@few
@given(sizes, seeds, epochs, st.sampled_from([2, 3, 4, 6]))
def test_ranks_partition_the_same_batches(options, size, seed, epoch, world):
    items = some_items(size, seed)
    samplers = [make(options, items, BATCH, seed, rank, world) for rank in range(world)]
    parts = [epoch_of(sampler, epoch) for sampler in samplers]
    assert len({len(sampler) for sampler in samplers} | {len(part) for part in parts}) == 1
    assert len({json.dumps(sampler.state_dict()) for sampler in samplers}) == 1
    together = []
    for batches in zip(*parts, strict=True):
        assert len({len(batch) for batch in batches}) == 1
        together.append(np.concatenate(batches))
    if "max_padded" in options:  # what fits depends on the number of processes
        assert all(sum(len(batch) for batch in batches) <= BATCH for batches in zip(*parts, strict=True))
        return
    alone = epoch_of(make(options, items, BATCH, seed), epoch)
    for one, parted in zip(alone, together, strict=True):
        assert np.array_equal(parted[: len(one)], one)
        assert len(parted) - len(one) < world
        assert set(parted) == set(one)


@every
@given(sizes, seeds)
@few
def test_seed_and_epoch_are_all_that_counts(options, size, seed):
    items = some_items(size, seed)
    sampler = make(options, items, BATCH, seed)
    first, second = epoch_of(sampler, 1), epoch_of(sampler, 2)
    assert same(epoch_of(sampler, 1), first)
    assert same(epoch_of(make(options, items, BATCH, seed), 2), second)
    assert not same(first, second)
    assert not same(first, epoch_of(make(options, items, BATCH, seed + 1), 1))
    for batch in first:
        assert batch.dtype == np.int64
        assert ((batch >= 0) & (batch < size)).all()


@every
def test_a_state_of_other_recordings_or_options_is_refused(options, items):
    sampler = make(options, items, BATCH, seed=3)
    next(iter(sampler))
    state = sampler.state_dict()
    for other in (make(options, items, BATCH, seed=4), make(options, some_items(60, 1), BATCH, seed=3)):
        with pytest.raises(UserError, match="saved state"):
            other.load_state_dict(state)
    with pytest.raises(UserError, match="saved state"):
        sampler.load_state_dict(state | {"position": len(sampler) + 1})


@pytest.mark.parametrize("options", SINGLE, ids=lambda options: json.dumps(options))
def test_a_run_continues_on_another_number_of_processes(options, items):
    whole = list(make(options, items, BATCH))
    stopped = [make(options, items, BATCH, 0, rank, 2) for rank in range(2)]
    halves = [iter(sampler) for sampler in stopped]
    for _ in range(2):
        for half in halves:
            next(half)
    resumed = [make(options, items, BATCH, 0, rank, 3) for rank in range(3)]
    for sampler in resumed:
        sampler.load_state_dict(stopped[1].state_dict())
    rest = [np.concatenate(parts) for parts in zip(*resumed, strict=True)]
    assert all(np.array_equal(one[: len(two)], two) for one, two in zip(rest, whole[2:], strict=True))


def test_setting_the_epoch_keeps_a_restored_position_in_that_epoch_only(items):
    options = {"type": "random"}
    sampler = make(options, items, BATCH)
    whole, other = epoch_of(sampler, 4), epoch_of(sampler, 5)
    sampler.set_epoch(4)
    batches = iter(sampler)
    next(batches)
    state = sampler.state_dict()
    resumed = make(options, items, BATCH)
    resumed.load_state_dict(state)
    resumed.set_epoch(4)
    assert same(list(resumed), whole[1:])
    resumed.load_state_dict(state)
    resumed.set_epoch(5)
    assert same(list(resumed), other)


def test_a_loader_that_reads_ahead_saves_what_was_used(items):
    sampler = make({"type": "random"}, items, BATCH)
    whole = list(sampler)
    state = sampler.state_dict(position=2)
    resumed = make({"type": "random"}, items, BATCH)
    resumed.load_state_dict(state)
    assert same(list(resumed), whole[2:])


@every
def test_no_recordings_and_indivisible_batches_are_refused(options, items):
    with pytest.raises(UserError, match="no recordings"):
        make(options, some_items(0), BATCH)
    with pytest.raises(UserError, match="multiple of 5"):
        make(options, items, BATCH, 0, 0, 5)


def test_a_rank_outside_of_the_world_is_a_programming_error(items):
    with pytest.raises(ValueError, match="Rank 2"):
        make({"type": "random"}, items, BATCH, 0, 2, 2)
