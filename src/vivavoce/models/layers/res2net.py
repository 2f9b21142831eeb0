"""Res2Net convolution: scales within one layer.

Source: Gao et al. 2019, "Res2Net: a new multi-scale backbone architecture", eq. 1; order of the chunks as in
Desplanques et al. 2020 (ECAPA-TDNN), with the identity chunk first.
"""

import torch
from torch import Tensor, nn

from vivavoce.models.layers.tdnn import Tdnn


class Res2Conv(nn.Module):
    """Split the channels into ``scale`` chunks; each chunk is convolved after the previous result is added to it."""

    def __init__(self, channels: int, kernel: int, dilation: int, scale: int = 8) -> None:
        super().__init__()
        if channels % scale:
            raise ValueError(f"channels ({channels}) must be a multiple of scale ({scale})")
        self.scale = scale
        width = channels // scale
        self.blocks = nn.ModuleList(Tdnn(width, width, kernel, dilation) for _ in range(scale - 1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``(batch, channels, frames)`` to the same shape."""
        first, *rest = x.chunk(self.scale, dim=1)
        outputs = [first]
        for index, (chunk, block) in enumerate(zip(rest, self.blocks, strict=True)):
            outputs.append(block(chunk if index == 0 else chunk + outputs[-1], mask))
        return torch.cat(outputs, dim=1)
