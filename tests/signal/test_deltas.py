import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from vivavoce.signal.deltas import delta_kernels, with_deltas


def alone(features: np.ndarray, order: int, window: int = 2) -> np.ndarray:
    """Deltas of one item, ``(frames, channels)`` float64, one array an order."""
    out = with_deltas(torch.tensor(features)[None], torch.tensor([len(features)]), order, window)[0].numpy()
    return out.reshape(len(features), order + 1, -1).transpose(1, 0, 2)


def htk(features: np.ndarray, window: int) -> np.ndarray:
    """HTK Book, equation 5.16, term by term; first and last frame repeated."""
    out = np.zeros_like(features)
    norm = 2 * sum(theta**2 for theta in range(1, window + 1))
    for t in range(len(features)):
        for theta in range(1, window + 1):
            after, before = min(t + theta, len(features) - 1), max(t - theta, 0)
            out[t] += theta * (features[after] - features[before]) / norm
    return out


def kaldi(features: np.ndarray, order: int, window: int) -> np.ndarray:
    """The steps of Kaldi's DeltaFeatures: scales of one order from those of the last, frames clamped to the ends."""
    scales = [np.ones(1)]
    for _ in range(order):
        last = scales[-1]
        now, norm = np.zeros(len(last) + 2 * window), 0.0
        for j in range(-window, window + 1):
            norm += j * j
            now[j + window : j + window + len(last)] += j * last
        scales.append(now / norm)
    reach = len(scales[order]) // 2
    at = np.clip(np.arange(len(features))[:, None] + np.arange(-reach, reach + 1), 0, len(features) - 1)
    return np.einsum("k,tkc->tc", scales[order], features[at])


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("frames", [1, 2, 5, 50])
def test_agrees_with_the_published_formulas(frames: int, window: int) -> None:
    features = np.random.default_rng(frames).normal(size=(frames, 3))
    _, first, second = alone(features, 2, window)
    np.testing.assert_allclose(first, htk(features, window), atol=1e-12)
    np.testing.assert_allclose(first, kaldi(features, 1, window), atol=1e-12)
    np.testing.assert_allclose(second, kaldi(features, 2, window), atol=1e-12)
    # Away from the ends HTK's deltas of deltas are the same.
    inner = slice(2 * window, frames - 2 * window)
    np.testing.assert_allclose(second[inner], htk(htk(features, window), window)[inner], atol=1e-12)


def test_is_the_slope_of_the_line_through_five_frames() -> None:
    features = np.random.default_rng(1).normal(size=(40, 4))
    slope = savgol_filter(features, 5, polyorder=1, deriv=1, axis=0, mode="nearest")
    np.testing.assert_allclose(alone(features, 1)[1], slope, atol=1e-12)


def test_a_line_has_its_slope_and_no_bend_and_a_constant_has_neither() -> None:
    line = 3.0 * np.arange(30.0)[:, None] - 7
    _, first, second = alone(line, 2)
    np.testing.assert_allclose(first[2:-2], 3, atol=1e-12)
    np.testing.assert_allclose(second[4:-4], 0, atol=1e-12)
    constant = with_deltas(torch.full((1, 20, 2), 1e4 / 3), torch.tensor([20]), 2)
    assert not constant[..., 2:].any()


def test_kernels_are_the_slope_applied_again() -> None:
    one, first, second = (np.array(kernel) for kernel in delta_kernels(2))
    np.testing.assert_allclose(first, np.array([-2, -1, 0, 1, 2]) / 10)
    np.testing.assert_allclose(second, np.convolve(first, first))
    assert one.tolist() == [1.0]


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    order=st.sampled_from([0, 1, 2]),
    extra=st.integers(0, 9),
    seed=st.integers(0, 999),
)
def test_padding_and_batch_mates_never_matter(lengths: list[int], order: int, extra: int, seed: int) -> None:
    torch.manual_seed(seed)
    size = max(lengths) + extra
    features = torch.randn(len(lengths), size, 3)
    spoilt = torch.where(torch.arange(size)[None, :, None] < torch.tensor(lengths)[:, None, None], features, torch.nan)
    out = with_deltas(spoilt, torch.tensor(lengths), order)
    assert out.shape == (len(lengths), size, 3 * (order + 1))
    for item, n in enumerate(lengths):
        own = with_deltas(features[item : item + 1, :n], torch.tensor([n]), order)[0]
        assert torch.equal(out[item, :n], own)
        assert not out[item, n:].any()
