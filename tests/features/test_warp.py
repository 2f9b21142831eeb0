import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.features.masks import mask_bands
from vivavoce.features.warp import change_speed, mel_warp_matrix
from vivavoce.signal.voice import FbankConfig


@settings(deadline=None)
@given(factor=st.floats(0.7, 1.4))
def test_a_warp_keeps_a_flat_spectrum_flat(factor):
    matrix = mel_warp_matrix(80, factor, 20.0, 8000.0)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(80))


def test_a_warp_by_one_changes_nothing():
    torch.testing.assert_close(mel_warp_matrix(40, 1.0, 20.0, 8000.0), torch.eye(40), atol=1e-4, rtol=0)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_the_warp_is_what_playing_a_tone_faster_does(factor):
    """The features of a tone at factor · f are the warped features of the tone at f."""
    fbank = FbankConfig().build()

    def peak(hz: float) -> float:
        wave = 0.3 * torch.sin(2 * np.pi * hz * torch.arange(8000) / 16000)[None]
        features, _ = fbank(wave, torch.tensor([8000]))
        return features[0, 10:-10].mean(dim=0)

    for hz in (500.0, 1500.0, 3000.0):
        warped = mel_warp_matrix(80, factor, 20.0, 8000.0) @ peak(hz)
        assert abs(int(warped.argmax()) - int(peak(hz * factor).argmax())) <= 1


def test_speed_resamples_time():
    ramp = torch.arange(110.0)[None, :, None].expand(1, 110, 40)
    faster = change_speed(ramp, mel_warp_matrix(40, 1.0, 20, 8000), 100)
    steps = faster[0, 1:, 0] - faster[0, :-1, 0]
    torch.testing.assert_close(steps[2:-2], torch.full((95,), 1.1), atol=1e-3, rtol=0)


@settings(max_examples=25, deadline=None)
@given(axis=st.sampled_from([1, 2]), widest=st.integers(0, 15), seed=st.integers(0, 99))
def test_a_mask_is_one_band_no_wider_than_asked(axis, widest, seed):
    x = torch.randn(5, 40, 30)
    masked = mask_bands(x, axis, widest, torch.Generator().manual_seed(seed))
    changed = (masked != x).all(dim=3 - axis)
    for row in changed:
        where = torch.nonzero(row)[:, 0]
        assert len(where) <= widest
        if len(where):
            assert int(where[-1] - where[0]) + 1 == len(where)
