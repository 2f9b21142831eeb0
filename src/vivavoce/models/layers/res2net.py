"""Res2Net convolution: scales within one layer.

Source: Gao et al. 2019, "Res2Net: a new multi-scale backbone architecture", eq. 1, as in Desplanques et al. 2020
(ECAPA-TDNN). Which chunk passes through as it is, first or last, is not said there, and toolkits differ.
"""

from typing import Literal

from torch import Tensor, nn

from vivavoce.models.layers.frames_major import join
from vivavoce.models.layers.padding import Padding
from vivavoce.models.layers.tdnn import Tdnn

Identity = Literal["first", "last"]


class Res2Conv(nn.Module):
    """Split the channels into ``scale`` chunks; each chunk is convolved after the previous result is added to it."""

    def __init__(
        self,
        channels: int,
        kernel: int,
        dilation: int,
        scale: int = 8,
        identity: Identity = "first",
        padding: Padding = "zero",
    ) -> None:
        super().__init__()
        if channels % scale:
            raise ValueError(f"channels ({channels}) must be a multiple of scale ({scale})")
        self.scale = scale
        self.identity: Identity = identity
        width = channels // scale
        self.blocks = nn.ModuleList(Tdnn(width, width, kernel, dilation, padding) for _ in range(scale - 1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``(batch, channels, frames)`` to the same shape."""
        chunks = list(x.chunk(self.scale, dim=1))
        passed = chunks.pop(0 if self.identity == "first" else -1)
        outputs: list[Tensor] = []
        for chunk, block in zip(chunks, self.blocks, strict=True):
            outputs.append(block(chunk + outputs[-1] if outputs else chunk, mask))
        return join([passed, *outputs] if self.identity == "first" else [*outputs, passed])
