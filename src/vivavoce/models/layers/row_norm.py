"""Batch norm over rows ``(items, channels)`` in float32 training, with sums that keep their digits.

PyTorch adds up rows one after the other on the CPU, so that the mean of 6400 of them is off by 7e-5 of a standard
deviation; `torch.var_mean` adds up in a tree, and is off by 5e-7.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def normalise_rows(norm: nn.BatchNorm1d, rows: Tensor) -> Tensor:
    """Normalise float32 rows ``(items, channels)`` with their own statistics, and update the running ones."""
    with torch.no_grad():
        variance, mean = torch.var_mean(rows, dim=0, correction=0)
        remember(norm, mean, variance * (len(rows) / max(1, len(rows) - 1)))
        inverse = (variance + norm.eps).rsqrt()
    normal = _Normalised.apply(rows, mean, inverse)
    assert isinstance(normal, Tensor)
    return torch.addcmul(norm.bias, normal, norm.weight) if norm.affine else normal


def remember(norm: nn.modules.batchnorm._BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Update running statistics ``(channels,)`` as `torch.nn.BatchNorm1d` does; ``variance`` is the unbiased one."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    share = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), share)


class _Normalised(torch.autograd.Function):
    """(x - mean) / deviation, of which mean and deviation depend on x, too (Ioffe & Szegedy 2015, section 3)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, mean: Tensor, inverse: Tensor) -> Tensor:  # pyright: ignore
        normal = torch.sub(rows, mean).mul_(inverse)
        ctx.save_for_backward(normal, inverse)
        return normal

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore
        normal, inverse = ctx.saved_tensors
        through_mean = gradient.mean(dim=0)
        through_deviation = (gradient * normal).mean(dim=0)
        whole = torch.sub(gradient, through_mean).addcmul_(normal, through_deviation, value=-1)
        return whole.mul_(inverse), None, None
