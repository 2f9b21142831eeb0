"""Banded products against their definition, one lag at a time."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.models.layers.lags import at_lags, lagged_products, lagged_sums

SIZES = st.tuples(st.integers(1, 70), st.integers(1, 12), st.integers(0, 10_000))


def shifted(stream: torch.Tensor, lag: int) -> torch.Tensor:
    """``stream`` at ``t + lag``, zero beyond its ends."""
    at = torch.arange(stream.shape[-1]) + lag
    inside = (at >= 0) & (at < stream.shape[-1])
    return stream[..., at.clamp(0, stream.shape[-1] - 1)] * inside


@settings(max_examples=30, deadline=None)
@given(SIZES)
def test_products_and_sums_are_those_of_each_lag(sizes):
    frames, reach, seed = sizes
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(2, 3, frames, dtype=torch.double, generator=generator) for _ in range(2))
    lags = range(-reach, reach + 1)
    expected = torch.stack([(first * shifted(second, lag)).sum(dim=1) for lag in lags], dim=2)
    torch.testing.assert_close(lagged_products(first, second, reach), expected)
    weights = torch.randn(2, frames, len(lags), dtype=torch.double, generator=generator)
    summed = sum(weights[:, None, :, k] * shifted(second, lag) for k, lag in enumerate(lags))
    torch.testing.assert_close(lagged_sums(weights, second, reach), summed)
    torch.testing.assert_close(
        at_lags(first[:, 0], reach), torch.stack([shifted(first[:, 0], lag) for lag in lags], dim=2)
    )


def test_gradients_pass_through():
    first, second = (torch.randn(1, 2, 9, dtype=torch.double, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: lagged_products(a, b, 3), (first, second))
    weights = torch.randn(1, 9, 7, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: lagged_sums(a, b, 3), (weights, second))
