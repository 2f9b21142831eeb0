import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.corpus.sampling.conftest import make, some_items
from vivavoce.errors import UserError

TYPE = {"type": "speaker_balanced"}
seeds = st.integers(0, 2**31)


def counts_of(values):
    return np.unique(values, return_counts=True)[1]


@given(st.integers(1, 80), st.integers(1, 40), seeds, st.integers(1, 12))
def test_each_speaker_once_before_any_twice(size, batch, seed, batches):
    items = some_items(size, seed)
    present = len(np.unique(items.speakers))
    drawn = list(make(TYPE | {"batches": batches}, items, batch, seed))
    assert [len(one) for one in drawn] == [batch] * batches
    for one in drawn:
        counts = counts_of(items.speakers[one])
        assert len(counts) == min(batch, present)
        assert np.ptp(counts) <= 1
    over_epoch = counts_of(items.speakers[np.concatenate(drawn)])
    assert np.ptp(over_epoch) <= 1 or len(over_epoch) < present


@given(st.integers(20, 80), seeds, st.integers(1, 3), st.integers(1, 6), st.integers(1, 12))
def test_p_speakers_with_k_recordings(size, seed, speakers, recordings, batches):
    items = some_items(size, seed)
    present, owned = np.unique(items.speakers, return_counts=True)
    if len(present) < speakers:
        return
    options = TYPE | {"speakers": speakers, "recordings": recordings, "batches": batches}
    drawn = list(make(options, items, speakers * recordings, seed))
    for one in drawn:
        rows = items.speakers[one].reshape(speakers, recordings)
        assert (rows == rows[:, :1]).all(), "the recordings of a speaker stand together"
        assert len(set(rows[:, 0])) == speakers
        for speaker, chosen in zip(rows[:, 0], one.reshape(speakers, recordings), strict=True):
            assert len(set(chosen)) == min(recordings, owned[present == speaker][0])
    uses = np.array([np.sum(items.speakers[np.concatenate(drawn)] == speaker) for speaker in present])
    assert np.ptp(uses) <= recordings


def test_one_of_both_numbers_gives_the_other(items):
    for options in ({"speakers": 3}, {"recordings": 4}):
        for batch in make(TYPE | options, items, 12):
            assert counts_of(items.speakers[batch]).tolist() == [4, 4, 4]


def test_recordings_of_a_speaker_come_in_turn(items):
    drawn = np.concatenate(list(make(TYPE | {"batches": 60}, items, 12)))
    for speaker in np.unique(items.speakers):
        uses = np.bincount(drawn, minlength=len(items))[items.speakers == speaker]
        assert np.ptp(uses) <= 1


def test_mates_change_from_round_to_round(items):
    present = len(np.unique(items.speakers))
    batches = [frozenset(items.speakers[batch]) for batch in make(TYPE | {"speakers": 2, "batches": 60}, items, 4)]
    assert len(set(batches)) > 2 * present


def test_an_epoch_is_as_long_as_recordings_fill(items):
    assert len(make(TYPE, items, 12)) == 7
    assert len(make(TYPE, items, 200)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speakers": 8}, "needs 8 speakers, but there are only 7"),
        ({"recordings": 1}, "needs 24 speakers, but there are only 7"),
        ({"speakers": 5}, "do not make a batch of 24"),
        ({"recordings": 7}, "do not make a batch of 24"),
        ({"speakers": 3, "recordings": 4}, "do not make a batch of 24"),
        ({"speakers": 25}, "do not make a batch of 24"),
        ({"recordings": 25}, "do not make a batch of 24"),
    ],
)
def test_batches_that_cannot_be_are_refused(options, message, items):
    with pytest.raises(UserError, match=message):
        make(TYPE | options, items, 24)
