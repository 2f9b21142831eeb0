"""The voice beside the tones: found where the microphone put it, and nowhere else."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.signal.probe import draw_probe
from vivavoce.signal.sidebands import FOUND_DB, Sidebands, VoiceSidebands


def voice(samples: int, rate: int, seed: int) -> np.ndarray:
    """Noise of 100 to 900 Hz at -29 dBFS, in syllables."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    hz = np.fft.rfftfreq(samples, 1 / rate)
    wave = np.fft.irfft(spectrum * ((hz > 100) & (hz < 900)), n=samples)
    wave *= 0.6 + 0.4 * np.cos(2 * np.pi * 4 * np.arange(samples) / rate + seed)
    return 0.035 * wave / wave.std()


def recording(
    alpha2: float, rate: int = 48_000, seconds: float = 2.5, seed: int = 0, delay: int = 0, other: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """A voice, and a probe that the voice modulates by ``2 · alpha2``, with the noise of a phone (-80 dBc/Hz)."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * rate)
    probe = draw_probe(rng, level_dbfs=-18)
    carriers = probe.waveform(rate, samples).astype(float)
    heard = voice(samples, rate, seed)
    modulates = np.roll(voice(samples, rate, seed + 100) if other else heard, delay)
    density = 0.5 * 10 ** (-18 / 10) * 1e-8
    noise = math.sqrt(density * rate / 2) * rng.standard_normal(samples)
    wave = heard + carriers * (1 + 2 * alpha2 * modulates) + noise
    return torch.from_numpy(wave.astype(np.float32))[None], torch.tensor([probe.tones_hz], dtype=torch.float64)


def judged(wave: torch.Tensor, tones: torch.Tensor, rate: int = 48_000) -> Sidebands:
    return VoiceSidebands(rate)(wave, torch.tensor([wave.shape[1]]), tones)


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_microphone_that_bends_is_found_at_lag_zero(rate: int, sign: int, seed: int) -> None:
    found = judged(*recording(sign * 10 ** (-45 / 20), rate, seed=seed), rate)
    assert bool(found.found)
    assert abs(float(found.lag_s)) < 2.5e-4


@given(seed=st.integers(0, 10_000), other=st.booleans())
@settings(max_examples=12, deadline=None)
def test_a_straight_microphone_or_another_voice_gives_nothing(seed: int, other: bool) -> None:
    alpha2 = 10 ** (-45 / 20) if other else 0.0
    assert float(judged(*recording(alpha2, seed=seed, other=other)).level_db) < FOUND_DB + 1


def test_the_more_it_bends_the_more_is_found() -> None:
    levels = [float(judged(*recording(10 ** (db / 20))).level_db) for db in (-55, -50, -45, -40)]
    assert levels == sorted(levels)
    assert levels[-1] > levels[0] + 8


@pytest.mark.parametrize("late_ms", [-1.5, 1.0])
def test_the_lag_says_how_late_the_sidebands_are(late_ms: float) -> None:
    found = judged(*recording(0.01, delay=round(48 * late_ms)))
    assert bool(found.found)
    assert float(found.lag_s) == pytest.approx(late_ms / 1000, abs=2.5e-4)


def test_what_is_late_by_more_than_one_microphone_explains_is_not_found() -> None:
    assert not bool(judged(*recording(0.01, delay=48 * 20)).found)


@given(gain=st.floats(0.05, 3.0))
@settings(max_examples=5, deadline=None)
def test_the_level_of_a_recording_does_not_matter(gain: float) -> None:
    wave, tones = recording(0.005, seconds=1.5)
    torch.testing.assert_close(judged(gain * wave, tones).level_db, judged(wave, tones).level_db, atol=1e-3, rtol=0)


def test_a_moving_mouth_is_no_voice() -> None:
    # An echo at -26 dBc that swings by ±40 Hz at 4 Hz, in step with the syllables.
    wave, tones = recording(0.0)
    time = torch.arange(wave.shape[1], dtype=torch.float64) / 48_000
    swing = 2 * torch.pi * (tones[0][:, None] * time + 40 / (2 * torch.pi * 4) * torch.sin(2 * torch.pi * 4 * time))
    echo = 0.05 * 0.126 / math.sqrt(8) * torch.cos(swing).sum(dim=0)
    assert not bool(judged(wave + echo.float(), tones).found)


def test_neither_batch_mates_nor_padding_nor_unused_tones_matter() -> None:
    first, second = recording(0.01, seconds=1.5), recording(0.01, seconds=2.5, seed=3)
    batch = torch.full((2, 150_000), math.nan)
    batch[0, : first[0].shape[1]], batch[1, : second[0].shape[1]] = first[0][0], second[0][0]
    lengths = torch.tensor([first[0].shape[1], second[0].shape[1]])
    tones = torch.zeros(2, 10, dtype=torch.float64)
    tones[:, 1:9] = torch.cat([first[1], second[1]])
    tones[:, 9] = math.nan
    together = VoiceSidebands(48_000)(batch, lengths, tones)
    for item, (wave, hz) in enumerate((first, second)):
        alone = judged(wave, hz)
        torch.testing.assert_close(together.level_db[item : item + 1], alone.level_db, atol=1e-6, rtol=0)
        assert together.lag_s[item] == alone.lag_s[0]


@pytest.mark.parametrize("case", ["no tones", "too short", "silent"])
def test_where_there_is_nothing_to_compare_nothing_is_found(case: str) -> None:
    wave, tones = recording(0.01, seconds=1.0 if case == "too short" else 1.5)
    if case == "no tones":
        tones = torch.zeros_like(tones)
    if case == "silent":
        wave = torch.zeros_like(wave)
    found = judged(wave, tones)
    assert bool(torch.isnan(found.level_db))
    assert not bool(found.found)


def test_a_rate_without_a_probe_is_refused() -> None:
    with pytest.raises(UserError, match="not 16000 Hz"):
        VoiceSidebands(16_000)
