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
    if scores is None:
        return x.new_full((x.shape[-2], 1), 1.0 / x.shape[-2], dtype=_exact(x))
    return scores.softmax(dim=-2, dtype=_exact(x))


class _Moments(torch.autograd.Function):
    """Utterance by utterance: what one needs stays in the processor's cache between passes, and no weights are kept.

    With c = x - mean, weights w and gradients g of mean and h of variance, the gradient of x is w·(g + 2·h·c) and that
    of the scores w·(c·(g + h·c) - h·variance): terms with Σ w·c vanish, and the softmax takes away g·mean + h·variance.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scores: Tensor | None) -> tuple[Tensor, Tensor]:
        mean, variance, normaliser = x.new_empty((3, len(x), x.shape[2]), dtype=_exact(x))
        for i, one in enumerate(x):
            one = one.to(mean.dtype)
            if scores is None:
                torch.mean(one, dim=0, out=mean[i])
                torch.mean((one - mean[i]).square_(), dim=0, out=variance[i])
                continue
            most = scores[i].amax(dim=0).to(mean.dtype)
            weights = (scores[i] - most).exp_()
            total = weights.sum(dim=0)
            normaliser[i] = most + total.log()
            mean[i] = (weights * one).sum(dim=0).div_(total)
            variance[i] = (one - mean[i]).square_().mul_(weights).sum(dim=0).div_(total)
        ctx.save_for_backward(x, scores, mean, variance, normaliser)
        return mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        x, scores, mean, variance, normaliser = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            inputs = (x,) if scores is None else (x, scores)
            again = torch.autograd.grad(_plain(x, scores), inputs, gradients, create_graph=True)
            return again[0], None if scores is None else again[1]
        of_x = torch.empty_like(x)
        of_scores = None if scores is None else torch.empty_like(scores)
        for i, (g, h) in enumerate(zip(*gradients, strict=True)):
            centred = x[i] - mean[i]
            if scores is None or of_scores is None:
                of_x[i] = torch.addcmul(g / len(centred), centred, 2 * h / len(centred))
                continue
            weights = (scores[i] - normaliser[i]).exp_()
            of_x[i] = torch.addcmul(g, centred, 2 * h).mul_(weights)
            of_scores[i] = torch.addcmul(g, centred, h).mul_(centred).sub_(h * variance[i]).mul_(weights)
        return of_x, of_scores


def _exact(x: Tensor) -> torch.dtype:
    """What sums over frames are computed in: float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)
