import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.features.batch import gather_padded, gather_wrapped, random_starts
from vivavoce.features.store import FeatureStore


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
