"""Densely connected TDNN layers: each reads what all before it in its block gave.

Sources: Yu & Li 2020, "Densely connected time delay neural network for speaker verification"; with context-aware
masking, Wang et al. 2023, "CAM++: A fast and efficient network for speaker verification using context-aware masking",
section 2.1.
"""

import torch
from torch import Tensor, nn

from vivavoce.models.layers.context_masking import ContextMasking, Segments


class DenseLayer(nn.Module):
    """Norm → ReLU → 1×1 convolution to the bottleneck → norm → ReLU → context-aware masking."""

    def __init__(self, channels_in: int, growth: int, bottleneck: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels_in)
        self.reduce = nn.Conv1d(channels_in, bottleneck, 1, bias=False)
        self.bottleneck_norm = nn.BatchNorm1d(bottleneck)
        self.masking = ContextMasking(bottleneck, growth, kernel, dilation)

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        """Map ``(batch, channels_in, frames)`` to the new channels alone, ``(batch, growth, frames)``."""
        narrow = self.reduce(self.norm(x).relu_())
        return self.masking(self.bottleneck_norm(narrow).relu_(), segments)


class DenseBlock(nn.Module):
    """Layers of which each adds ``growth`` channels to what the next one reads.

    A layer reads the concatenation of all before it. Inference writes the channels into one array of which each layer
    reads the front, where concatenating anew for each layer would copy them as many times as there are layers.
    """

    def __init__(self, layers: int, channels: int, growth: int, bottleneck: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DenseLayer(channels + index * growth, growth, bottleneck, kernel, dilation) for index in range(layers)
        )
        self.growth = growth
        self.channels_out = channels + layers * growth

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        """Map ``(batch, channels, frames)`` to ``(batch, channels + layers · growth, frames)``."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            for layer in self.layers:
                x = torch.cat([x, layer(x, segments)], dim=1)
            return x
        known = x.shape[1]
        every = x.new_empty(x.shape[0], self.channels_out, x.shape[2])
        every[:, :known] = x
        for layer in self.layers:
            every[:, known : known + self.growth] = layer(every[:, :known], segments)
            known += self.growth
        return every
