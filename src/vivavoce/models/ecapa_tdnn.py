"""The ECAPA-TDNN speaker trunk.

Source: Desplanques, Thienpondt & Demuynck 2020, "ECAPA-TDNN: emphasized channel attention, propagation and
aggregation in TDNN based speaker verification", figure 2.
"""

from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor, nn

from vivavoce.models.layers.pooling import AttentiveStatistics
from vivavoce.models.layers.res2net import Res2Conv
from vivavoce.models.layers.squeeze_excitation import SqueezeExcitation
from vivavoce.models.layers.tdnn import Tdnn


class EcapaConfig(BaseModel):
    """Size of an ECAPA-TDNN trunk."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["ecapa"] = "ecapa"
    channels: int = Field(default=512, ge=8, multiple_of=8, description="channels of the SE-Res2 blocks")
    pooled_channels: int = Field(default=1536, ge=8, description="channels that enter the pooling")
    bottleneck: int = Field(default=128, ge=4, description="width of the squeeze and of the attention")
    dilations: tuple[PositiveInt, ...] = Field(default=(2, 3, 4), min_length=1)
    scale: int = Field(default=8, ge=2)
    embedding_dim: int = Field(default=192, ge=2)

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.channels % self.scale:
            raise ValueError(f"channels ({self.channels}) must be a multiple of scale ({self.scale})")
        return self

    def build(self, mels: int) -> "EcapaTdnn":
        """Make the trunk for log-mel frames of ``mels`` bins."""
        return EcapaTdnn(self, mels)


class SeRes2Block(nn.Module):
    """1×1 TDNN → Res2 convolution → 1×1 TDNN → squeeze and excitation, with a residual connection."""

    def __init__(self, channels: int, dilation: int, scale: int, bottleneck: int) -> None:
        super().__init__()
        self.expand = Tdnn(channels, channels, 1)
        self.res2 = Res2Conv(channels, 3, dilation, scale)
        self.project = Tdnn(channels, channels, 1)
        self.gate = SqueezeExcitation(channels, bottleneck)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``(batch, channels, frames)`` to the same shape."""
        return x + self.gate(self.project(self.res2(self.expand(x, mask), mask), mask), mask)


class EcapaTdnn(nn.Module):
    """Stem, SE-Res2 blocks, multi-layer aggregation, attentive statistics, affine embedding."""

    def __init__(self, config: EcapaConfig, mels: int) -> None:
        super().__init__()
        width = config.channels
        self.stem = Tdnn(mels, width, 5)
        self.blocks = nn.ModuleList(
            SeRes2Block(width, dilation, config.scale, config.bottleneck) for dilation in config.dilations
        )
        self.aggregate = nn.Conv1d(width * len(config.dilations), config.pooled_channels, 1)
        self.pooling = AttentiveStatistics(config.pooled_channels, config.bottleneck)
        self.pooled_norm = nn.BatchNorm1d(2 * config.pooled_channels)
        self.embedding = nn.Linear(2 * config.pooled_channels, config.embedding_dim)
        self.stem_channels = width
        self.embedding_dim = config.embedding_dim

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embed log-mel frames ``(batch, mels, frames)``: ``(batch, embedding_dim)``."""
        x = self.stem(x, mask)
        outputs = []
        for block in self.blocks:
            x = block(x, mask)
            outputs.append(x)
        x = self.aggregate(torch.cat(outputs, dim=1)).relu()
        return self.embedding(self.pooled_norm(self.pooling(x, mask)))
