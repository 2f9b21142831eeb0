import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.signal.bands import Resample

RATES = [(48_000, 16_000), (44_100, 16_000), (44_100, 48_000), (16_000, 48_000)]


def tone(hz: float, rate: int, samples: int) -> torch.Tensor:
    return torch.tensor(np.cos(2 * np.pi * hz * np.arange(samples) / rate), dtype=torch.float32)[None]


def middle(wave: torch.Tensor) -> torch.Tensor:
    quarter = wave.shape[1] // 4
    return wave[0, quarter:-quarter]


@pytest.mark.parametrize(("in_hz", "out_hz"), [*RATES, (96_000, 16_000), (8_000, 16_000)])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.92])
def test_pass_band_comes_out_unchanged_and_undelayed(in_hz: int, out_hz: int, share: float) -> None:
    hz = share * min(in_hz, out_hz) / 2
    out, lengths = Resample(in_hz, out_hz)(tone(hz, in_hz, in_hz), torch.tensor([in_hz]))
    assert lengths.tolist() == [out_hz]
    error = middle(out - tone(hz, out_hz, out_hz)).abs().max()
    assert error < 1e-4  # -80 dB


@pytest.mark.parametrize("in_hz", [44_100, 48_000])
@pytest.mark.parametrize("hz", [8_000.0, 9_000.0, 15_900.0, 18_000.0, 20_000.0])
def test_probe_and_everything_above_8_khz_is_80_db_down(in_hz: int, hz: float) -> None:
    out, _ = Resample(in_hz, 16_000)(tone(hz, in_hz, in_hz), torch.tensor([in_hz]))
    assert middle(out).square().mean().sqrt() < 10 ** (-80 / 20) * np.sqrt(0.5)


@pytest.mark.parametrize("hz", [200.0, 7_000.0])
def test_no_images_when_the_rate_rises(hz: float) -> None:
    out, _ = Resample(16_000, 48_000)(tone(hz, 16_000, 16_000), torch.tensor([16_000]))
    spectrum = torch.fft.rfft(middle(out) * torch.hann_window(24_000)).abs()
    above_8_khz = spectrum[4_100:].max()
    assert above_8_khz < 1e-4 * spectrum.max()


@settings(max_examples=25, deadline=None)
@given(data=st.data(), rates=st.sampled_from([*RATES, (52_800, 16_000), (39_690, 16_000)]), seed=st.integers(0, 2**16))
def test_padding_and_batch_mates_never_matter(data: st.DataObject, rates: tuple[int, int], seed: int) -> None:
    lengths = torch.tensor(data.draw(st.lists(st.integers(0, 3000), min_size=1, max_size=4)))
    torch.manual_seed(seed)
    wave = torch.randn(len(lengths), int(lengths.max()) + data.draw(st.integers(0, 1000)))
    resample = Resample(*rates)
    out, lengths_out = resample(wave, lengths)
    assert lengths_out.tolist() == [-(-n * rates[1] // rates[0]) for n in lengths.tolist()]
    for item, n in enumerate(lengths.tolist()):
        alone, (size,) = resample(wave[item : item + 1, :n], lengths[item : item + 1])
        torch.testing.assert_close(out[item, :size], alone[0], rtol=1e-5, atol=1e-6)
        assert not out[item, size:].any()


@pytest.mark.parametrize(
    ("in_hz", "out_hz"), [(48_000, 16_000), (52_800, 16_000), (39_690, 16_000), (44_100, 16_000), (16_000, 48_000)]
)
@pytest.mark.parametrize("samples", [1, 100, 9_000])
def test_is_the_windowed_sinc_over_the_recording(in_hz: int, out_hz: int, samples: int) -> None:
    wave = np.random.default_rng(samples).normal(size=samples)
    resample = Resample(in_hz, out_hz)
    out, (size,) = resample(torch.tensor(wave, dtype=torch.float32)[None], torch.tensor([samples]))
    some = np.arange(0, int(size), 97)
    lag = some[:, None] / out_hz - np.arange(samples) / in_hz
    cutoff = 0.96 * min(in_hz, out_hz) / 2
    window = np.i0(0.1102 * 81.3 * np.sqrt(np.clip(1 - (lag / resample.half_s) ** 2, 0, None))) / np.i0(0.1102 * 81.3)
    taps = 2 * cutoff / in_hz * np.sinc(2 * cutoff * lag) * window * (np.abs(lag) <= resample.half_s)
    # What the windowed sinc still passes beyond the lower Nyquist frequency, 90 dB down, is left out.
    np.testing.assert_allclose(out[0, some].numpy(), taps @ wave, atol=5 * 10 ** (-90 / 20))


def test_garbage_in_the_padding_is_not_looked_at() -> None:
    wave = torch.full((1, 5000), float("nan"))
    wave[:, :3000] = 0.25
    out, _ = Resample(48_000, 16_000)(wave, torch.tensor([3000]))
    assert torch.isfinite(out).all()


def test_same_rate_only_masks() -> None:
    wave = torch.randn(1, 100)
    out, lengths = Resample(16_000, 16_000)(wave, torch.tensor([60]))
    assert torch.equal(out[0, :60], wave[0, :60])
    assert not out[0, 60:].any()
    assert lengths.tolist() == [60]


def test_impossible_rate_is_refused() -> None:
    with pytest.raises(UserError, match="must be positive"):
        Resample(0, 16_000)
