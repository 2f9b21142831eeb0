"""Bands split and joined: what is kept, what is gone, and that the seam says nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.features.splicing import BandSplit, joined, respliced, shifted, to_full_scale

RATES = (44_100, 48_000, 96_000)


def tone(hz: float, rate: int, samples: int, amplitude: float = 0.1) -> torch.Tensor:
    return amplitude * torch.cos(2 * torch.pi * hz * torch.arange(samples, dtype=torch.float64) / rate).float()[None]


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.from_numpy(np.random.default_rng(seed).standard_normal((1, samples), dtype=np.float32))


def length(wave: torch.Tensor) -> torch.Tensor:
    return torch.tensor([wave.shape[1]])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [100.0, 8_000.0, 16_200.0, 16_950.0, 18_000.0, 20_500.0])
def test_each_band_keeps_its_own_sample_by_sample_and_nothing_of_the_other(rate: int, hz: float) -> None:
    wave = tone(hz, rate, rate // 2)
    bands = BandSplit(rate)(wave, length(wave))
    own, other = bands if hz < 16_500 else bands[::-1]
    inside = slice(rate // 20, -rate // 20)
    torch.testing.assert_close(own[:, inside], wave[:, inside], atol=2e-6, rtol=0)
    assert other[:, inside].abs().max() < 0.1 * 10 ** (-90 / 20)


@pytest.mark.parametrize("rate", RATES)
def test_nothing_of_the_gap_is_left(rate: int) -> None:
    wave = tone(16_575.0, rate, rate // 2)
    rejoined = respliced(BandSplit(rate), wave, length(wave))
    assert rejoined[:, rate // 20 : -rate // 20].abs().max() < 0.1 * 10 ** (-90 / 20)


def test_the_seam_of_two_recordings_is_that_of_one() -> None:
    # The noise density around the seam must not tell a swap from a re-spliced positive.
    split, samples = BandSplit(48_000), 48_000 * 8
    first, second = noise(samples, 0), noise(samples, 1)
    swap, _ = joined(split, first, length(first), second, length(second))
    one, two = (density(wave) for wave in (respliced(split, first, length(first)), swap))
    near = slice(round(16_000 / 46.875), round(17_200 / 46.875))
    clear = one[near] > 1e-3 * one[near].max()
    assert np.abs(10 * np.log10(two[near][clear] / one[near][clear])).max() < 1.0


def density(wave: torch.Tensor) -> np.ndarray:
    frames = wave[0].unfold(0, 1024, 512) * torch.hann_window(1024)
    return torch.fft.rfft(frames).abs().square().mean(dim=0).numpy()


@given(
    lengths=st.lists(st.integers(1, 20_000), min_size=1, max_size=4),
    extra=st.integers(0, 9_000),
    rate=st.sampled_from((44_100, 48_000)),
)
@settings(max_examples=15, deadline=None)
def test_neither_batch_mates_nor_padding_matter(lengths: list[int], extra: int, rate: int) -> None:
    split = BandSplit(rate)
    batch = torch.full((len(lengths), max(lengths) + extra), float("nan"))
    for item, size in enumerate(lengths):
        batch[item, :size] = noise(size, item)[0]
    together = split(batch, torch.tensor(lengths))
    for item, size in enumerate(lengths):
        alone = split(batch[item : item + 1, :size], torch.tensor([size]))
        for band, own in zip(together, alone, strict=True):
            assert torch.equal(band[item, :size], own[0])
            assert not band[item, size:].any()


@given(shift=st.integers(5_760, 20_000), late=st.booleans(), tail=st.integers(2_000, 9_000))
@settings(max_examples=15, deadline=None)
def test_a_shift_moves_the_ultrasound_band_alone_and_wraps_nothing_around(shift: int, late: bool, tail: int) -> None:
    rate, samples = 48_000, 24_000 + tail
    split = BandSplit(rate)
    clicks = torch.zeros(1, samples)
    clicks[0, 22_000] = 1.0
    signed = shift if late else -shift
    wave, rest = shifted(split, clicks, length(clicks), torch.tensor([signed]))
    assert rest.tolist() == [samples - shift]
    assert wave.shape[1] == samples - shift
    voice, echo = split(wave, rest)
    place = 22_000 - max(signed, 0)  # where the voice's click is once the start is cut away
    if 0 <= place < samples - shift:
        assert int(voice.abs().argmax()) == place
    moved = place + signed
    if 0 <= moved < samples - shift:
        assert int(echo.abs().argmax()) == moved
    else:
        assert echo.abs().max() < 0.05


def test_joined_takes_voice_from_one_and_ultrasound_from_the_other_at_their_levels() -> None:
    split, rate = BandSplit(44_100), 44_100
    first = tone(500, rate, 40_000, 0.2) + tone(19_000, rate, 40_000, 0.01)
    second = tone(700, rate, 30_000, 0.3) + tone(18_500, rate, 30_000, 0.05)
    wave, lengths = joined(split, first, length(first), second, length(second))
    assert lengths.tolist() == [30_000]
    asked = tone(500, rate, 30_000, 0.2) + tone(18_500, rate, 30_000, 0.05)
    torch.testing.assert_close(wave[:, 2_000:-2_000], asked[:, 2_000:-2_000], atol=5e-6, rtol=0)


@pytest.mark.parametrize("shift", [0, 5_000, -5_759, 48_000, -60_000])
def test_shifts_that_are_label_noise_or_too_long_are_refused(shift: int) -> None:
    wave = noise(48_000)
    with pytest.raises(ValueError, match="A shift lies between 5760 samples"):
        shifted(BandSplit(48_000), wave, length(wave), torch.tensor([shift]))


def test_a_rate_without_an_ultrasound_band_is_refused() -> None:
    with pytest.raises(UserError, match="not at 16000 Hz"):
        BandSplit(16_000)


def test_what_exceeds_full_scale_is_turned_down_whole() -> None:
    loud = np.array([0.5, -1.5, 0.75], dtype=np.float32)
    quieter, gain_db = to_full_scale(loud)
    assert np.abs(quieter).max() == pytest.approx(1 - 2**-15)
    np.testing.assert_allclose(quieter / loud, quieter[0] / loud[0], rtol=1e-6)
    assert gain_db == pytest.approx(20 * np.log10(1 / 1.5), abs=0.01)
    same, none = to_full_scale(loud / 2)
    assert none == 0.0
    np.testing.assert_array_equal(same, loud / 2)
