"""Mean and variance over frames, alike for all frames or under a softmax of scores."""

from typing import Any

import torch
from torch import Tensor


def moments(x: Tensor, scores: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and variance of ``(batch, frames, channels)`` over frames, each ``(batch, channels)``.

    Args:
        x: frames, none of them padded.
        scores: the same shape; their softmax over frames weighs these; ``None``: all weigh alike.
    """
    if len(x) and x.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        mean, variance = _Moments.apply(x, scores)  # pyright: ignore[reportGeneralTypeIssues]
        return mean, variance
    return _plain(x, scores)


def _plain(x: Tensor, scores: Tensor | None) -> tuple[Tensor, Tensor]:
    """What autograd can follow, and what compilers and other devices take."""
    weights = _weights(x, scores)
    mean = (x * weights).sum(dim=-2)
    return mean, ((x - mean.unsqueeze(-2)).square() * weights).sum(dim=-2)


def _weights(x: Tensor, scores: Tensor | None) -> Tensor:
    """Weights of the frames that sum to one, ``(..., frames, channels | 1)``."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    if scores is None:
        return x.new_full((x.shape[-2], 1), 1.0 / x.shape[-2], dtype=dtype)
    return scores.softmax(dim=-2, dtype=dtype)


class _Moments(torch.autograd.Function):
    """Utterance by utterance: what one needs stays in the processor's cache between passes, and no weights are kept.

    With c = x - mean, weights w and gradients g of mean and h of variance, the gradient of x is w·(g + 2·h·c) and that
    of the scores w·(g·c + h·(c² - variance)): terms with Σ w·c vanish, and the softmax takes away g·mean + h·variance.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scores: Tensor | None) -> tuple[Tensor, Tensor]:
        found = [_plain(one.to(torch.promote_types(x.dtype, torch.float32)), _at(scores, i)) for i, one in enumerate(x)]
        mean, variance = (torch.stack(one) for one in zip(*found, strict=True))
        ctx.save_for_backward(x, scores, mean, variance)
        return mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        x, scores, mean, variance = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            inputs = (x,) if scores is None else (x, scores)
            again = torch.autograd.grad(_plain(x, scores), inputs, gradients, create_graph=True)
            return again[0], None if scores is None else again[1]
        of_x = torch.empty_like(x)
        of_scores = None if scores is None else torch.empty_like(scores)
        for i, (g, h) in enumerate(zip(*gradients, strict=True)):
            weights = _weights(x[i], _at(scores, i))
            centred = x[i] - mean[i]
            weighted = weights * centred
            of_x[i] = torch.addcmul(weights * g, weighted, h, value=2)
            if of_scores is not None:
                spread = torch.addcmul(weighted * centred, weights, variance[i], value=-1)
                of_scores[i] = torch.addcmul(weighted * g, spread, h)
        return of_x, of_scores


def _at(scores: Tensor | None, index: int) -> Tensor | None:
    return None if scores is None else scores[index]
