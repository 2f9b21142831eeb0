import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.features.batch import gather_padded, gather_wrapped, random_starts
from vivavoce.features.store import FeatureStore, Qualities, Shards
from vivavoce.signal.quality import ProbeQuality


def numbered_store(frames: list[int]) -> FeatureStore:
    """Each frame holds its recording and its own number."""
    counts = np.array(frames)
    voice = np.concatenate([np.stack([np.full(n, i), np.arange(n)], axis=1) for i, n in enumerate(frames)])
    return FeatureStore(voice.astype(np.float16), voice.astype(np.float16), np.cumsum(counts) - counts, counts, [])


@settings(deadline=None)
@given(frames=st.lists(st.integers(1, 40), min_size=1, max_size=6), crop=st.integers(1, 60), seed=st.integers(0, 9))
def test_crops_lie_inside_their_recording(frames, crop, seed):
    store = numbered_store(frames)
    items = np.arange(len(frames))
    starts = random_starts(store, items, crop, np.random.default_rng(seed))
    padded, lengths = gather_padded(store.voice, store, items, starts, crop)
    wrapped = gather_wrapped(store.voice, store, items, starts, crop)
    for item, start in enumerate(starts):
        length = min(crop, frames[item])
        assert lengths[item] == length
        expected = torch.arange(start, start + length).float()
        assert torch.equal(padded[item, :length, 1], expected)
        assert padded[item, length:].abs().sum() == 0
        assert torch.equal(wrapped[item, :, 1], (torch.arange(crop) + start).float() % frames[item])
        assert (wrapped[item, :, 0] == item).all()


def test_random_starts_reach_both_ends():
    store = numbered_store([12])
    starts = random_starts(store, np.zeros(2000, dtype=int), 10, np.random.default_rng(0))
    assert set(starts.tolist()) == {0, 1, 2}


def test_the_echo_of_a_recording_is_its_slice():
    store = numbered_store([4, 7, 2])
    assert torch.equal(store.echo_of(1)[:, 1], torch.arange(7.0))
    assert (store.echo_of(1)[:, 0] == 1).all()


@settings(deadline=None)
@given(frames=st.lists(st.integers(1, 40), min_size=2, max_size=8), crop=st.integers(1, 60), data=st.data())
def test_shards_give_the_crops_of_one_array(frames, crop, data):
    whole = numbered_store(frames)
    first = data.draw(st.lists(st.integers(0, len(frames) - 1), unique=True).map(sorted))
    parts = [part for part in np.split(whole.voice, whole.starts[first]) if len(part)]
    voice = Shards(parts)
    store = FeatureStore(voice, voice, whole.starts, whole.frames, [])
    items = np.arange(len(frames))
    starts = random_starts(whole, items, crop, np.random.default_rng(0))
    for gather in (gather_padded, gather_wrapped):
        ours, theirs = (gather(s.voice, s, items, starts, crop) for s in (store, whole))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    low, high = sorted(data.draw(st.tuples(st.integers(0, len(voice)), st.integers(0, len(voice)))))
    assert np.array_equal(voice[low:high], whole.voice[low:high])
    assert np.array_equal(np.asarray(voice), whole.voice)


def test_qualities_are_the_list_they_were_made_of():
    listed = [
        ProbeQuality(True, -20.5, 31.25, ""),
        ProbeQuality(False, float("-inf"), -3.0, "no probe"),
        ProbeQuality(True, -40.0, 5.0, "too weak"),
        ProbeQuality(True, -21.0, 30.0, ""),
    ]
    table = Qualities.collect(listed)
    assert table == listed
    assert table[1:3] == listed[1:3]
    assert table.usable.tolist() == [quality.usable for quality in listed]
    items = np.array([3, 1, 1])
    assert table.part(items) == [listed[item] for item in items]
    assert Qualities.join([table, table.part(items)]) == [*listed, *(listed[item] for item in items)]
