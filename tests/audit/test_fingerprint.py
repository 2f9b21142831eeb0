"""A fingerprint follows the sound, whatever carries it."""

import io

import numpy as np
import pytest
import soundfile as sf
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.audit.duplicates import SIMILAR, find_near_duplicates
from vivavoce.audit.fingerprint import FRAME_S, HOP, LAG, RATE_HZ, WINDOW, fingerprint
from vivavoce.signal.probe import draw_probe

from .corpus import voice

RATE = 16_000
SECONDS = 4.0
seeds = st.integers(0, 2**32 - 1)


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Similarity of two fingerprints as the search finds it, 0 where it finds none."""
    pairs = list(find_near_duplicates(enumerate([first, second]), similarity=0.0))
    return pairs[0].similarity if pairs else 0.0


def coded(wave: np.ndarray, rate: int, container: str, subtype: str, level: float) -> tuple[np.ndarray, int]:
    """A round trip through a codec; ``level`` 1 is its lowest bit rate."""
    file = io.BytesIO()
    with sf.SoundFile(file, "w", rate, 1, format=container, subtype=subtype, compression_level=level) as out:
        out.write(wave)
    file.seek(0)
    return sf.read(file, dtype="float32")


@settings(max_examples=10, deadline=None)
@given(seed=seeds, gain_db=st.floats(-20, 20), flip=st.booleans())
def test_the_level_and_the_polarity_change_no_word(seed: int, gain_db: float, flip: bool) -> None:
    wave = voice(seed, SECONDS, RATE).astype(np.float32)
    louder = wave * np.float32(10 ** (gain_db / 20)) * (-1 if flip else 1)
    differ = fingerprint(wave, RATE) != fingerprint(louder, RATE)
    assert differ.mean() < 0.01  # rounding turns a sign where two differences are equal


@settings(max_examples=8, deadline=None)
@given(seed=seeds, rate=st.sampled_from([8_000, 11_025, 22_050, 44_100, 48_000]))
def test_another_rate_gives_the_same_fingerprint(seed: int, rate: int) -> None:
    wave = voice(seed, SECONDS, RATE)
    ours, theirs = fingerprint(wave, RATE), fingerprint(soxr.resample(wave, RATE, rate), rate)
    assert abs(len(ours) - len(theirs)) <= 1
    assert similarity(ours, theirs) > 0.97


@pytest.mark.parametrize(
    ("container", "subtype", "level"), [("OGG", "OPUS", 0.9), ("OGG", "OPUS", 0.95), ("OGG", "VORBIS", 1.0)]
)
def test_codecs_leave_it(container: str, subtype: str, level: float) -> None:
    for seed in range(2):
        wave = voice(seed, SECONDS, RATE)
        heard, rate = coded(wave, RATE, container, subtype, level)
        assert similarity(fingerprint(wave, RATE), fingerprint(heard, rate)) > SIMILAR


@settings(max_examples=8, deadline=None)
@given(seed=seeds, snr_db=st.floats(25, 50))
def test_light_noise_leaves_it(seed: int, snr_db: float) -> None:
    wave = voice(seed, SECONDS, RATE)
    noise = np.random.default_rng(seed).normal(size=len(wave)) * wave.std() * 10 ** (-snr_db / 20)
    assert similarity(fingerprint(wave, RATE), fingerprint(wave + noise, RATE)) > SIMILAR


def test_what_is_above_the_voice_is_not_heard() -> None:
    wave = voice(1, SECONDS, 48_000)
    probe = draw_probe(np.random.default_rng(0), level_dbfs=-10.0).waveform(48_000, len(wave))
    assert similarity(fingerprint(wave, 48_000), fingerprint(wave + probe, 48_000)) > 0.98


@settings(max_examples=5, deadline=None)
@given(first=seeds, second=seeds)
def test_two_voices_and_two_noises_are_not_alike(first: int, second: int) -> None:
    if first == second:
        second += 1
    assert similarity(*(fingerprint(voice(seed, SECONDS, RATE), RATE) for seed in (first, second))) < SIMILAR
    noises = (np.random.default_rng(seed).normal(size=4 * RATE) for seed in (first, second))
    assert similarity(*(fingerprint(noise, RATE) for noise in noises)) < SIMILAR


def test_one_word_each_hop_and_under_a_kilobyte_a_second() -> None:
    words = fingerprint(voice(0, 10.0, RATE), RATE)
    assert len(words) == 1 + (10 * RATE_HZ - WINDOW) // HOP - LAG
    assert words.dtype == np.uint64
    assert words.nbytes / 10 < 1_000
    assert pytest.approx(0.016) == FRAME_S


def test_pauses_have_no_words() -> None:
    wave = np.concatenate(
        [voice(0, 2.0, RATE), 1e-5 * np.random.default_rng(0).normal(size=2 * RATE), voice(1, 2.0, RATE)]
    )
    words = fingerprint(wave, RATE)
    middle = words[round(2.4 / FRAME_S) : round(3.5 / FRAME_S)]
    assert not middle.any()
    assert np.count_nonzero(words) > 0.5 * (len(words) - len(middle))


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0), np.zeros(100), np.zeros(RATE), np.full(RATE, np.nan), voice(0, 0.4, RATE)],
    ids=["none", "few", "silence", "nan", "too short"],
)
def test_what_holds_no_voice_has_an_empty_fingerprint(samples: np.ndarray) -> None:
    assert len(fingerprint(samples, RATE)) == 0


def test_long_recordings_are_cut_into_the_same_words() -> None:
    wave = voice(3, 30.0, RATE)
    whole, part = fingerprint(wave, RATE), fingerprint(wave[: 10 * RATE], RATE)
    inside = slice(0, len(part) - 2)  # the resampler sees the end of one and not of the other
    both = (whole[: len(part)][inside] != 0) & (part[inside] != 0)
    assert (whole[: len(part)][inside] == part[inside])[both].mean() > 0.95
