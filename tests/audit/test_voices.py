"""A wrong label is found by its voice; who sounds like nobody else is left alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.audit import voices
from vivavoce.audit.voices import LEAST_RECORDINGS, find_voice_outliers

SPEAKERS, EACH, DIMENSIONS = 20, 8, 32


def embeddings(seed: int, spread: float = 0.6) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """Voices around the places of their speakers, at any length, ``(recordings, dimensions)``, and names."""
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(SPEAKERS, DIMENSIONS))
    numbers = np.repeat(np.arange(SPEAKERS), EACH)
    vectors = places[numbers] + spread * rng.normal(size=(len(numbers), DIMENSIONS))
    return rng, vectors * rng.uniform(0.1, 10, (len(numbers), 1)), np.array([f"s{n:02d}" for n in numbers])


def unlike(vectors: np.ndarray, speakers: np.ndarray, index: int) -> np.ndarray:
    """The ten speakers who sound least like this recording's."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    names = np.unique(speakers)
    centres = np.stack([unit[speakers == name].mean(axis=0) for name in names])
    return names[np.argsort(centres @ unit[speakers == speakers[index]].mean(axis=0))[:10]]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_wrong_labels_are_found_with_the_speaker_they_sound_like(seed: int) -> None:
    rng, vectors, speakers = embeddings(seed)
    wrong = rng.choice(len(speakers), 5, replace=False)
    labels = speakers.copy()
    for index in wrong:
        labels[index] = rng.choice(unlike(vectors, speakers, index))
    found = find_voice_outliers(vectors, labels)
    assert {one.index for one in found} == set(wrong)
    assert all(one.speaker == speakers[one.index] for one in found)
    assert all(one.own < one.other for one in found)
    leads = [one.own - one.other for one in found]
    assert leads == sorted(leads)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0.2, 0.6, 1.0, 2.0, 5.0]))
def test_right_labels_are_hardly_ever_accused_however_weak_the_encoder(seed: int, spread: float) -> None:
    _, vectors, speakers = embeddings(seed, spread)
    assert len(find_voice_outliers(vectors, speakers)) <= 0.05 * len(speakers)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_recordings_and_the_chunks_change_nothing(seed: int) -> None:
    rng, vectors, speakers = embeddings(seed)
    speakers[3] = unlike(vectors, speakers, 3)[0]
    order = rng.permutation(len(speakers))
    whole = find_voice_outliers(vectors, speakers)
    shuffled = find_voice_outliers(vectors[order], speakers[order])
    assert [order[one.index] for one in shuffled] == [one.index for one in whole] == [3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voices, "_ROWS", 7)
        patch.setattr(voices, "_SPEAKERS", 3)
        (chunked,) = find_voice_outliers(vectors, speakers)
    assert (chunked.index, chunked.speaker) == (3, "s00")
    assert chunked.own == pytest.approx(whole[0].own, abs=1e-5)
    assert chunked.other == pytest.approx(whole[0].other, abs=1e-5)


def test_a_wrong_recording_does_not_speak_for_itself() -> None:
    """It weighs a quarter of a small speaker's centroid, which is judged without it."""
    _, vectors, speakers = embeddings(1)
    few = [np.flatnonzero(speakers == name)[: 3 if name == "s01" else 4] for name in np.unique(speakers)]
    vectors, labels = vectors[np.concatenate(few)], speakers[np.concatenate(few)]
    labels[0] = "s01"
    (found,) = find_voice_outliers(vectors, labels)
    assert found.index == 0
    own = vectors[labels == "s01"] / np.linalg.norm(vectors[labels == "s01"], axis=1, keepdims=True)
    rest = own[1:].sum(axis=0)
    assert found.own == pytest.approx(float(own[0] @ rest / np.linalg.norm(rest)), abs=1e-5)


def test_speakers_with_few_recordings_are_not_judged() -> None:
    _, vectors, speakers = embeddings(2)
    lonely = np.flatnonzero(speakers == "s05")
    labels = speakers.copy()
    labels[lonely[: LEAST_RECORDINGS - 1]] = "new"
    assert not find_voice_outliers(vectors, labels)


def test_broken_embeddings_are_left_out() -> None:
    _, vectors, speakers = embeddings(3)
    vectors[0], vectors[20], vectors[40] = np.nan, np.inf, 0
    speakers[100] = "s01"
    assert [one.index for one in find_voice_outliers(vectors, speakers)] == [100]


def test_nothing_to_compare_is_no_finding() -> None:
    _, vectors, speakers = embeddings(4)
    assert not find_voice_outliers(vectors, np.full(len(speakers), "one"))
    assert not find_voice_outliers(vectors[:0], speakers[:0])
    with pytest.raises(ValueError, match="names"):
        find_voice_outliers(vectors, speakers[:-1])
