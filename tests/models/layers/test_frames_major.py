"""Frames-major layers and the moments' own gradient give what the plain layers and autograd give."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vivavoce.models.layers.frames_major import convolve, join, normalise
from vivavoce.models.layers.moments import moments
from vivavoce.models.layers.pooling import frame_count


def channels(batch: int, count: int, frames: int, frames_major: bool) -> Tensor:
    generator = torch.Generator().manual_seed(count + frames)
    x = torch.randn(batch, frames, count, generator=generator).transpose(1, 2)
    return (x if frames_major else x.contiguous()).clone(memory_format=torch.preserve_format).requires_grad_()


def gradients(y: Tensor, *inputs: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 1, y.numel()).view(y.shape)
    return list(torch.autograd.grad((y * weights).sum(), inputs))


@pytest.mark.parametrize("frames_major", [True, False])
@pytest.mark.parametrize(("kernel", "dilation", "padding"), [(1, 1, 0), (3, 2, 2), (3, 4, 0), (5, 1, 2)])
def test_convolutions_and_their_gradients_are_the_plain_ones(kernel, dilation, padding, frames_major):
    torch.manual_seed(0)
    conv = nn.Conv1d(6, 10, kernel, dilation=dilation, padding=padding)
    x = channels(3, 6, 40, frames_major)
    ours, plain = convolve(conv, x), conv(x)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    learnt = (x, *conv.parameters())
    torch.testing.assert_close(gradients(ours, *learnt), gradients(plain, *learnt), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frames_major", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_norms_their_gradients_and_statistics_are_the_plain_ones(training, frames_major):
    x = channels(3, 6, 40, frames_major)
    norms = [nn.BatchNorm1d(6).train(training) for _ in range(2)]
    ours, plain = normalise(norms[0], x), norms[1](x)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients(ours, x), gradients(plain, x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norms[0].state_dict(), norms[1].state_dict())


def test_another_norm_is_called_as_it_is():
    shapes = []

    class Watching(nn.BatchNorm1d):
        def forward(self, input: Tensor) -> Tensor:
            shapes.append(tuple(input.shape))
            return super().forward(input)

    normalise(Watching(6), channels(3, 6, 40, frames_major=True))
    assert shapes == [(3, 6, 40)]


def test_join_is_a_concatenation_of_channels():
    parts = [channels(2, count, 9, frames_major) for count, frames_major in ((3, True), (4, False))]
    assert torch.equal(join(parts), torch.cat(parts, dim=1))


def plain_moments(x: Tensor, scores: Tensor | None) -> tuple[Tensor, Tensor]:
    weights = torch.full_like(x, 1 / x.shape[1]) if scores is None else scores.softmax(dim=1)
    mean = (weights * x).sum(dim=1)
    return mean, (weights * (x - mean[:, None]).square()).sum(dim=1)


@pytest.mark.parametrize("scored", [True, False])
def test_moments_and_their_gradients_are_those_of_autograd(scored):
    x = channels(3, 20, 6, frames_major=False)
    scores = (2 * channels(3, 20, 6, frames_major=True)).detach().requires_grad_() if scored else None
    inputs = (x,) if scores is None else (x, scores)
    ours, plain = torch.cat(moments(x, scores)), torch.cat(plain_moments(x, scores))
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients(ours, *inputs), gradients(plain, *inputs), atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(moments(x, scores)), ours)


@pytest.mark.parametrize("scored", [True, False])
def test_gradients_of_moments_have_gradients(scored):
    inputs = [torch.randn(2, 5, 3, dtype=torch.float64).requires_grad_() for _ in range(1 + scored)]
    assert torch.autograd.gradcheck(moments, inputs)
    assert torch.autograd.gradgradcheck(moments, inputs)


def test_moments_of_bfloat16_are_summed_in_float32():
    x = channels(2, 400, 4, frames_major=False)
    mean, variance = moments(x.bfloat16(), x.bfloat16())
    assert mean.dtype == variance.dtype == torch.float32
    exact = plain_moments(x.bfloat16().float(), x.bfloat16().float())
    torch.testing.assert_close((mean, variance), exact, atol=1e-5, rtol=1e-5)


def test_moments_of_no_utterances_are_none():
    """A process gets an empty share where there are fewer utterances than processes."""
    x = torch.empty(0, 5, 3).requires_grad_()
    mean, variance = moments(x, x)
    assert mean.shape == variance.shape == (0, 3)
    (mean.sum() + variance.sum()).backward()
    assert x.grad is not None


@given(st.integers(2, 1000))
def test_frames_are_counted_exactly_in_half_precision(frames):
    x = torch.zeros(1, 2, frames, dtype=torch.bfloat16)
    for mask in (None, torch.ones(1, frames, dtype=torch.bool)):
        assert frame_count(x, mask).item() == frames
