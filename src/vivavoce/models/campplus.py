"""The CAM++ speaker trunk.

Source: Wang, Zheng, Chen, Cheng & Chen 2023, "CAM++: A fast and efficient network for speaker verification using
context-aware masking", figure 1 and table 1.
"""

from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor, nn

from vivavoce.models.layers.context_masking import Segments
from vivavoce.models.layers.dense_tdnn import DenseBlock
from vivavoce.models.layers.masking import mask_channels_first
from vivavoce.models.layers.pooling import StatisticsPooling
from vivavoce.models.layers.residual_stem import ResidualStem

STRIDE = 2  # frames in, one frame out: the dense blocks run at 20 ms a frame


class CamPlusPlusConfig(BaseModel):
    """Size of a CAM++ trunk."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["campplus"] = "campplus"
    stem_channels: int = Field(default=32, ge=2, description="channels of the two-dimensional stem")
    channels: int = Field(default=128, ge=2, description="channels that enter the first dense block")
    layers: tuple[PositiveInt, ...] = Field(default=(12, 24, 16), min_length=1, description="of each dense block")
    dilations: tuple[PositiveInt, ...] = Field(default=(1, 2, 2), min_length=1, description="of each dense block")
    growth: int = Field(default=32, ge=1, description="channels that each dense layer adds")
    bottleneck: int = Field(default=128, ge=2, description="channels of a dense layer's bottleneck")
    embedding_dim: int = Field(default=512, ge=2)

    @model_validator(mode="after")
    def _one_dilation_a_block(self) -> Self:
        if len(self.layers) != len(self.dilations):
            raise ValueError(f"{len(self.dilations)} dilations are given for {len(self.layers)} blocks of layers")
        return self

    def build(self, mels: int) -> "CamPlusPlus":
        """Make the trunk for log-mel frames of ``mels`` bins."""
        return CamPlusPlus(self, mels)


class Transit(nn.Module):
    """Norm → ReLU → 1×1 convolution to half the channels, behind a dense block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.conv = nn.Conv1d(channels, channels // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, frames)`` to ``(batch, channels // 2, frames)``."""
        return self.conv(self.norm(x).relu_())


class Downsample(nn.Module):
    """Convolution → norm → ReLU that halves the frame rate."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels_out, 5, stride=STRIDE, padding=2, bias=False)
        self.norm = nn.BatchNorm1d(channels_out)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Map ``(batch, channels_in, frames)`` to ``(batch, channels_out, ceil(frames / 2))``."""
        return self.norm(self.conv(mask_channels_first(x, mask))).relu_()


class CamPlusPlus(nn.Module):
    """Two-dimensional stem, dense TDNN blocks with context-aware masking, statistics pooling, affine embedding."""

    def __init__(self, config: CamPlusPlusConfig, mels: int) -> None:
        super().__init__()
        self.stem = ResidualStem(mels, config.stem_channels)
        self.downsample = Downsample(self.stem.channels_out, config.channels)
        self.blocks, self.transits, width = nn.ModuleList(), nn.ModuleList(), config.channels
        for layers, dilation in zip(config.layers, config.dilations, strict=True):
            block = DenseBlock(layers, width, config.growth, config.bottleneck, 3, dilation)
            self.blocks.append(block)
            self.transits.append(Transit(block.channels_out))
            width = block.channels_out // 2
        self.norm = nn.BatchNorm1d(width)
        self.pooling = StatisticsPooling("unbiased")
        self.embedding = nn.Linear(2 * width, config.embedding_dim, bias=False)
        self.embedding_norm = nn.BatchNorm1d(config.embedding_dim, affine=False)
        self.stem_channels = self.stem.channels_out
        self.embedding_dim = config.embedding_dim
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def stages(self) -> list[str]:
        """Names of the layers from the waveform on, which the order of their definition is not."""
        dense = [f"{part}.{index}" for index in range(len(self.blocks)) for part in ("blocks", "transits")]
        return ["stem", "downsample", *dense, "norm", "embedding", "embedding_norm"]

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embed log-mel frames ``(batch, mels, frames)``: ``(batch, embedding_dim)``."""
        x = self.downsample(self.stem(x, mask), mask)
        if mask is not None:
            # By index rather than by slice, whose length export cannot tell to be the convolution's.
            mask = mask[:, torch.arange(0, STRIDE * x.shape[2], STRIDE, device=x.device)]
        segments = Segments.of(x, mask)
        for block, transit in zip(self.blocks, self.transits, strict=True):
            x = transit(block(x, segments))
        x = self.norm(x).relu_()
        return self.embedding_norm(self.embedding(self.pooling(x, mask)))
