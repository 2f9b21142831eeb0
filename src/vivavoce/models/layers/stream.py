"""A stream encoder: local convolutions over frames that keep time, for the voice or for the echo."""

from torch import Tensor, nn

from vivavoce.models.layers.masking import mask_channels_first
from vivavoce.signal.framing import FRAME_SHIFT_S

# Two 10 ms frames in, one 20 ms frame out: mouth motion has 90 % of its power below 8 Hz, so nothing is lost.
STREAM_STRIDE = 2
STREAM_FRAMES_PER_S = round(1 / (FRAME_SHIFT_S * STREAM_STRIDE))


class FrameNorm(nn.Module):
    """Layer norm over the channels of each frame: no statistic crosses frames, so none crosses batch mates."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(batch, channels, frames)``."""
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


class StreamEncoder(nn.Module):
    """Project, halve the frame rate, then residual dilated convolutions: 0.5–1 s of context on either side."""

    def __init__(self, channels_in: int, channels: int, dilations: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.project = nn.Conv1d(channels_in, channels, 5, stride=STREAM_STRIDE, padding=2)
        self.norm = FrameNorm(channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(channels, channels, 5, dilation=d, padding=2 * d),
                FrameNorm(channels),
                nn.GELU(),
                nn.Dropout(dropout),
            )
            for d in dilations
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``(batch, channels_in, frames)`` to ``(batch, channels, ceil(frames / 2))``."""
        x = self.norm(self.project(mask_channels_first(x, mask)))
        half = stream_mask(mask)
        for block in self.blocks:
            x = x + block(mask_channels_first(x, half))
        return mask_channels_first(x, half)


def odd_window(seconds: float) -> int:
    """Odd number of a stream encoder's frames nearest to ``seconds``, so that a window has a middle."""
    return 2 * round(seconds * STREAM_FRAMES_PER_S / 2) + 1


def stream_mask(mask: Tensor | None) -> Tensor | None:
    """The mask of the frames that a stream encoder puts out."""
    return None if mask is None else mask[:, ::STREAM_STRIDE]
