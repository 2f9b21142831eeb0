"""Near-duplicates are found at their offsets, in any order, between two sides, and at a bounded cost."""

import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.audit import duplicates
from vivavoce.audit.duplicates import NEIGHBOURS, SIMILAR, FingerprintIndex, NearDuplicate, find_near_duplicates
from vivavoce.audit.fingerprint import FRAME_S, fingerprint

from .corpus import voice

RATE = 16_000
WAVES = [voice(seed, 4.0, RATE) for seed in range(12)]
PRINTS = [fingerprint(wave, RATE) for wave in WAVES]


def named(pairs: list[NearDuplicate]) -> set[tuple[int, int]]:
    return {(pair.first, pair.second) for pair in pairs}


def random_words(rng: np.random.Generator, frames: int) -> np.ndarray:
    """A fingerprint of nothing in particular."""
    return rng.integers(1, 2**63, frames, dtype=np.uint64) | np.uint64(1 << 63)


@settings(max_examples=15, deadline=None)
@given(which=st.integers(0, 11), start_s=st.floats(0, 2), cut_s=st.floats(0, 2), data=st.data())
def test_a_trimmed_copy_is_found_at_its_offset(which: int, start_s: float, cut_s: float, data: st.DataObject) -> None:
    cut_s = data.draw(st.floats(0, 2 - min(2.0, start_s))) if start_s + cut_s > 2 else cut_s  # half of it is left
    copy = WAVES[which][round(start_s * RATE) : round((4 - cut_s) * RATE)]
    pairs = list(find_near_duplicates([*enumerate(PRINTS), (99, fingerprint(copy, RATE))]))
    assert named(pairs) == {(which, 99)}
    assert pairs[0].similarity > 0.85
    assert pairs[0].offset_s == pytest.approx(start_s, abs=2 * FRAME_S)


def test_the_offset_is_negative_where_the_second_begins_earlier() -> None:
    late = fingerprint(WAVES[0][RATE:], RATE)
    (pair,) = find_near_duplicates([(5, late), (6, PRINTS[0])])
    assert (pair.first, pair.second) == (5, 6)
    assert pair.offset_s == pytest.approx(-1.0, abs=2 * FRAME_S)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(14)))
def test_the_order_of_recordings_changes_no_pair(order: list[int]) -> None:
    prints = [*PRINTS, fingerprint(WAVES[3][RATE:], RATE), fingerprint(0.1 * WAVES[7][: 3 * RATE], RATE)]
    pairs = list(find_near_duplicates((key, prints[key]) for key in order))
    assert {frozenset(pair) for pair in named(pairs)} == {frozenset((3, 12)), frozenset((7, 13))}
    offsets = {frozenset((p.first, p.second)): (p.offset_s if p.first < p.second else -p.offset_s) for p in pairs}
    assert offsets[frozenset((3, 12))] == pytest.approx(1.0, abs=2 * FRAME_S)


def test_copies_of_equal_fingerprints_have_similarity_one() -> None:
    (pair,) = find_near_duplicates([(0, PRINTS[0]), (1, PRINTS[0]), (2, PRINTS[1])])
    assert pair == NearDuplicate(0, 1, 1.0, 0.0)


def test_only_pairs_of_both_sides_are_named_across() -> None:
    ours = [(key, PRINTS[key]) for key in range(6)] + [(10, PRINTS[0])]
    theirs = [(key, PRINTS[key]) for key in range(4, 9)] + [(11, PRINTS[8])]
    assert named(list(find_near_duplicates(ours, theirs))) == {(4, 4), (5, 5)}
    assert named(list(find_near_duplicates(theirs, ours))) == {(4, 4), (5, 5)}
    assert named(list(find_near_duplicates(ours))) == {(0, 10)}


def test_one_side_against_many_copies_names_them_all() -> None:
    many = [(key, PRINTS[0]) for key in range(40)]
    assert named(list(find_near_duplicates([(99, PRINTS[0])], many))) == {(99, key) for key in range(40)}


def test_an_index_answers_within_and_then_across(tmp_path: Path) -> None:
    index = FingerprintIndex(tmp_path / "index")
    for key in (0, 1, 2):
        index.add(key, PRINTS[key])
    index.add(3, PRINTS[0])
    assert named(list(index.pairs())) == {(0, 3)}
    index.add(4, PRINTS[1], other=True)
    assert named(list(index.pairs(across=True))) == {(1, 4)}
    assert len(index) == 5
    with pytest.raises(ValueError, match="already"):
        FingerprintIndex(tmp_path / "index")


def test_a_large_group_of_copies_is_joined_though_not_every_pair_is_named() -> None:
    pairs = list(find_near_duplicates((key, PRINTS[0]) for key in range(60)))
    assert len(pairs) <= 60 * NEIGHBOURS < 60 * 59 / 2
    assert {(key, key + 1) for key in range(59)} <= named(pairs)


def test_a_key_that_all_recordings_share_costs_no_more_than_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    hum = random_words(rng, 40)
    compared: list[int] = []
    best = duplicates._best

    def counting(rows: np.ndarray, *rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        compared.append(len(rows))
        return best(rows, *rest)

    monkeypatch.setattr(duplicates, "_best", counting)
    prints = ((key, np.concatenate([hum, random_words(rng, 200)])) for key in range(300))
    assert not list(find_near_duplicates(prints))
    assert 0 < sum(compared) <= 300 * NEIGHBOURS


def test_empty_and_silent_fingerprints_match_nothing() -> None:
    empty, silent = np.zeros(0, np.uint64), np.zeros(200, np.uint64)
    assert not list(find_near_duplicates([(0, empty), (1, empty), (2, silent), (3, silent)]))
    assert not list(find_near_duplicates([]))
    assert not list(find_near_duplicates([(0, empty)], []))


def test_a_short_overlap_is_not_taken_for_a_copy() -> None:
    """Two recordings of which one second of eight is the same are two recordings."""
    shared, first, second = voice(50, 1.2, RATE), voice(51, 7.0, RATE), voice(52, 7.0, RATE)
    prints = [fingerprint(np.concatenate([shared, rest]), RATE) for rest in (first, second)]
    assert not list(find_near_duplicates(enumerate(prints)))


def test_batches_on_their_way_to_disk_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    prints = [*PRINTS, fingerprint(WAVES[3][RATE:], RATE), PRINTS[5]]
    whole = list(find_near_duplicates(enumerate(prints)))
    monkeypatch.setattr(duplicates, "_BUFFERED", 3)
    monkeypatch.setattr(duplicates, "_COMPARED", 50)
    assert sorted(find_near_duplicates(enumerate(prints)), key=str) == sorted(whole, key=str)


@pytest.mark.realdata
def test_other_takes_of_one_sentence_by_one_speaker_are_no_duplicates(shared_data: Path) -> None:
    folder = shared_data / "ravdess48k"
    rows = [
        row for row in csv.DictReader((folder / "index.csv").open()) if row["speaker"] in ("ravdess_02", "ravdess_24")
    ]
    prints = [fingerprint(*sf.read(folder / row["file"], dtype="float32")) for row in rows]
    pairs = list(find_near_duplicates(enumerate(prints), similarity=0.3))
    sayings = [(row["speaker"], row["statement"]) for row in rows]
    assert sum(one == two for one, two in combinations(sayings, 2)) > 200
    assert pairs, "takes of one sentence have something in common"
    assert max(pair.similarity for pair in pairs) < SIMILAR
    trimmed = [(100 + key, words[len(words) // 3 :]) for key, words in enumerate(prints)]
    assert named(list(find_near_duplicates(enumerate(prints), trimmed))) >= {
        (key, 100 + key) for key in range(len(rows))
    }
