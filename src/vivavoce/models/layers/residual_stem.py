"""A two-dimensional residual stem over log-mel frames, at their full frame rate.

Source: Wang et al. 2023, "CAM++: A fast and efficient network for speaker verification using context-aware masking",
section 2.2 (front-end convolution module).
"""

from torch import Tensor, nn

from vivavoce.models.layers.masking import mask_channels_first

BLOCKS = (2, 1, 2, 1)  # strides over frequency of the residual blocks; the convolution behind them halves it again


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut, over ``(batch, channels, bins, frames)``; the stride is over bins."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=(stride, 1), padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, channels, 1, stride=(stride, 1), bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor, kept: Tensor | None) -> Tensor:
        """Map frames that are zero where padded; the output is not."""
        inner = zeroed(self.norm1(self.conv1(x)).relu_(), kept)
        return (self.norm2(self.conv2(inner)) + self.shortcut(x)).relu_()


class ResidualStem(nn.Module):
    """Convolution, four residual blocks, convolution; an eighth of the mel bins is left and every frame.

    A frame sees ten others on either side, 100 ms.
    """

    def __init__(self, mels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.blocks = nn.ModuleList(ResidualBlock(channels, stride) for stride in BLOCKS)
        self.reduce = nn.Conv2d(channels, channels, 3, stride=(2, 1), padding=1, bias=False)
        self.reduce_norm = nn.BatchNorm2d(channels)
        self.channels_out = channels * -(-mels // 8)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``(batch, mels, frames)`` to ``(batch, channels · ceil(mels / 8), frames)``; ``mask`` (batch, frames)."""
        x = mask_channels_first(x, mask)[:, None]
        kept = None if mask is None else mask[:, None, None, :]
        x = self.norm(self.conv(x)).relu_()
        for block in self.blocks:
            x = block(zeroed(x, kept), kept)
        return self.reduce_norm(self.reduce(zeroed(x, kept))).relu_().flatten(1, 2)


def zeroed(x: Tensor, kept: Tensor | None) -> Tensor:
    """Set padded frames of ``(batch, channels, bins, frames)`` to the zeros that an utterance alone would meet.

    What a layer makes of the zeros before is finite, so multiplying by ``kept`` ``(batch, 1, 1, frames)`` will do, and
    takes a fifth of the time of a fill.
    """
    return x if kept is None else x * kept.to(x.dtype)
