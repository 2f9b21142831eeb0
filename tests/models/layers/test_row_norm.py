import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vivavoce.models.layers.frames_major import normalise
from vivavoce.models.layers.row_norm import normalise_rows


def both(affine: bool, momentum: float | None, rows: int, seed: int):
    """Ours in float32, and PyTorch's in float64 with the same weights, over the same rows."""
    torch.manual_seed(seed)
    ours = nn.BatchNorm1d(6, affine=affine, momentum=momentum)
    if affine:
        nn.init.normal_(ours.weight)
        nn.init.normal_(ours.bias)
    theirs = nn.BatchNorm1d(6, affine=affine, momentum=momentum).double()
    theirs.load_state_dict({name: value.double() for name, value in ours.state_dict().items()})
    return ours, theirs, 3 * torch.randn(rows, 6) + 2, torch.randn(rows, 6)


@given(st.booleans(), st.sampled_from([0.1, None]), st.integers(2, 400), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_values_gradients_and_running_statistics_are_those_of_the_library_in_double_precision(
    affine, momentum, rows, seed
):
    ours, theirs, x, weights = both(affine, momentum, rows, seed)
    results = []
    for norm, given_rows in ((ours, x.clone()), (theirs, x.double())):
        given_rows.requires_grad_()
        for _ in range(2):  # a mean over all batches counts them
            out = normalise_rows(norm, given_rows) if norm is ours else norm(given_rows)
        (out * weights.to(out.dtype)).sum().backward()
        results.append([out, given_rows.grad, *(p.grad for p in norm.parameters()), *norm.buffers()])
    for mine, library in zip(*results, strict=True):
        assert torch.allclose(mine.double(), library.double(), rtol=1e-4, atol=2e-5)


def test_many_rows_keep_their_digits():
    """Where the library's own kernel loses two of them."""
    ours, theirs, x, _ = both(True, 0.1, 20_000, 0)
    frames = x.view(100, 200, 6).transpose(1, 2)
    exact = theirs(x.double())
    found = normalise(ours, frames).detach().transpose(1, 2).reshape(-1, 6)
    assert float((found - exact).abs().max()) < 5e-6


def test_a_second_derivative_is_refused_rather_than_wrong():
    norm, x = nn.BatchNorm1d(3), torch.randn(9, 3, requires_grad=True)
    (first,) = torch.autograd.grad(normalise_rows(norm, x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
