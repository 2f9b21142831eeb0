import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.corpus.sampling.conftest import KINDS, make, some_items
from vivavoce.corpus.sampling import Items, KindBalancedConfig
from vivavoce.errors import UserError

TYPE = {"type": "kind_balanced"}
seeds = st.integers(0, 2**31)
shares = st.dictionaries(st.sampled_from([*KINDS, "attack"]), st.floats(0.1, 10), min_size=1)


@given(st.integers(8, 80), seeds, shares, st.integers(1, 40), st.integers(1, 12), st.booleans())
def test_batches_and_epochs_keep_the_shares(size, seed, wanted, batch, batches, by_speaker):
    items = some_items(size, seed)
    if "attack" in wanted and set(KINDS) - {"live"} <= set(wanted):
        return  # no species is left for it
    options = TYPE | {"shares": wanted, "batches": batches, "by_speaker": by_speaker}
    drawn = list(make(options, items, batch, seed))
    assert [len(one) for one in drawn] == [batch] * batches
    shares = KindBalancedConfig(shares=wanted).kind_shares(items.kinds)
    assert sum(shares.values()) == pytest.approx(1)
    counts = np.array([[np.sum(items.kinds[one] == kind) for kind in shares] for one in drawn])
    assert (counts.sum(axis=1) == batch).all(), "no other kind"
    exact = np.array(list(shares.values())) * batch
    assert (np.abs(counts - exact) < 1 + 1e-6).all()
    assert (np.abs(counts.sum(axis=0) - exact * batches) <= 2 + 1e-6).all()


def test_half_live_half_attacks_the_attacks_evenly_over_species(items):
    batches = list(make(TYPE, items, 12))
    assert len(batches) == 7
    for batch in batches:
        kinds, counts = np.unique(items.kinds[batch], return_counts=True)
        assert dict(zip(kinds, counts, strict=True)) == {"live": 6, "tts": 2, "shifted": 2, "replay_stand": 2}


def test_a_species_with_a_share_of_its_own_is_not_in_attack():
    kinds = np.array(KINDS)
    shares = KindBalancedConfig(shares={"live": 2, "attack": 1, "tts": 1}).kind_shares(kinds)
    assert shares == {"live": 0.5, "tts": 0.25, "replay_stand": 0.125, "shifted": 0.125}


@given(st.integers(8, 80), seeds, st.integers(1, 30))
def test_recordings_come_again_only_after_all_others_of_their_kind(size, seed, batch):
    items = some_items(size, seed)
    drawn = list(make(TYPE | {"batches": 9}, items, batch, seed))
    for part in (*drawn, np.concatenate(drawn)):
        for kind in KINDS:
            assert np.ptp(np.bincount(part, minlength=size)[items.kinds == kind]) <= 1


@given(st.integers(8, 80), seeds, st.integers(1, 30))
def test_speakers_alike_often_within_each_kind(size, seed, batch):
    items = some_items(size, seed)
    drawn = list(make(TYPE | {"batches": 9, "by_speaker": True}, items, batch, seed))
    for part in (*drawn, np.concatenate(drawn)):
        for kind in KINDS:
            of_kind = part[items.kinds[part] == kind]
            present = np.unique(items.speakers[items.kinds == kind])
            assert np.ptp([np.sum(items.speakers[of_kind] == speaker) for speaker in present]) <= 1


def test_kinds_are_mixed_within_a_batch():
    items = some_items(200)
    places = np.concatenate([np.flatnonzero(items.kinds[one] == "live") for one in make(TYPE, items, 20)])
    assert np.abs(places.mean() - 9.5) < 2.5, "live recordings would all be first, or last"


def test_a_kind_that_is_not_there_is_refused():
    items = Items(np.arange(4), np.array(["live"] * 4), np.ones(4))
    with pytest.raises(UserError, match="to hold attack, but the recordings are only live"):
        make(TYPE, items, 4)
    with pytest.raises(UserError, match="to hold tts and mouthing, but"):
        make(TYPE | {"shares": {"live": 1, "tts": 1, "mouthing": 1}}, items, 4)
    named = Items(np.arange(4), np.array(["live", "tts"] * 2), np.ones(4))
    with pytest.raises(UserError, match="to hold attack, but"):
        make(TYPE | {"shares": {"attack": 1, "tts": 1}}, named, 4)


@pytest.mark.parametrize("wanted", [{}, {"live": 0}, {"live": -1}, {"live": math.inf}, {"alive": 1}])
def test_shares_that_make_no_sense_are_refused(wanted):
    with pytest.raises(ValidationError):
        KindBalancedConfig(shares=wanted)
