"""Layers over ``(batch, channels, frames)`` whose memory holds the channels of a frame side by side.

A convolution of one frame then is a plain matrix product, a batch norm runs over rows, and neither copies its input:
on processors both are faster so (benchmarks/training_step.py). Any other layout in memory gives the same values for a
copy more. On other devices the layers are called as they are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vivavoce.models.layers.row_norm import normalise_rows


def convolve(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """Apply a convolution of stride one: ``(batch, channels_in, frames)`` to ``(batch, channels_out, frames)``."""
    if x.device.type != "cpu":
        return conv(x)
    if conv.kernel_size == (1,):
        return functional.linear(x.transpose(1, 2), conv.weight.flatten(1), conv.bias).transpose(1, 2)
    # As an image of one row, since only for images does PyTorch keep channels side by side.
    image, kernel = x[:, :, None], conv.weight[:, :, None]
    padding = (0, int(conv.padding[0]))
    return functional.conv2d(image, kernel, conv.bias, padding=padding, dilation=(1, *conv.dilation))[:, :, 0]


def normalise(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply a norm over the channels of ``(batch, channels, frames)``; a plain batch norm over rows."""
    if x.device.type != "cpu" or type(norm) is not nn.BatchNorm1d:
        return norm(x)
    rows = x.transpose(1, 2)
    flat = rows.flatten(0, 1)
    # In half precision digits are lost anyhow, and the library's own kernel is faster.
    exact = norm.training and flat.dtype == torch.float32 and not torch.compiler.is_compiling()
    return (normalise_rows(norm, flat) if exact else norm(flat)).view(rows.shape).transpose(1, 2)


def join(parts: Sequence[Tensor]) -> Tensor:
    """Join ``(batch, channels, frames)`` along the channels."""
    return torch.cat([part.transpose(1, 2) for part in parts], dim=2).transpose(1, 2)
