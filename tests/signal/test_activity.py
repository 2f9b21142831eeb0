import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.signal.activity import speech_seconds
from vivavoce.signal.probe import draw_probe

from .sounds import speech


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    spoken_s=st.floats(0.5, 3),
    level_db=st.floats(-45, -10),
    rate=st.sampled_from([16_000, 44_100, 48_000]),
)
def test_the_time_of_syllables_is_counted_at_any_level_and_rate(seed, spoken_s, level_db, rate) -> None:
    wave = np.random.default_rng(seed).normal(size=4 * rate) * 1e-4
    voice = speech(rate, spoken_s, seed, level_db)
    wave[: len(voice)] += voice
    # Half of each half second is a syllable.
    syllables_s = sum(min(spoken_s, start + 0.25) - start for start in np.arange(0, spoken_s, 0.5))
    assert speech_seconds(wave, rate) == pytest.approx(syllables_s, abs=0.1)


def test_ultrasound_hum_and_hiss_are_no_speech() -> None:
    rng = np.random.default_rng(0)
    probe = draw_probe(rng).waveform(48_000, 144_000)
    hum = 0.1 * np.sin(2 * np.pi * 100 * np.arange(144_000) / 48_000)
    for wave in (
        probe,
        hum,
        0.1 * rng.normal(size=144_000),
        np.zeros(144_000),
        probe + 1e-4 * rng.normal(size=144_000),
    ):
        assert speech_seconds(wave, 48_000) < 0.1


@pytest.mark.parametrize("samples", [0, 1, 959])
def test_shorter_than_a_frame_is_none(samples: int) -> None:
    assert speech_seconds(np.ones(samples), 48_000) == 0
