"""The TDNN layer: a dilated convolution over frames, ReLU, batch norm.

Source: Snyder et al. 2018, "X-vectors: robust DNN embeddings for speaker recognition", section 2.1.
"""

from torch import Tensor, nn

from vivavoce.models.layers.masking import mask_channels_first


class Tdnn(nn.Module):
    """Convolution → ReLU → batch norm over ``(batch, channels, frames)``, same number of frames out.

    Padded frames are zeroed before the convolution, so that zero padding is all that an utterance ever sees
    beyond its ends.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            channels_in, channels_out, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2
        )
        self.norm = nn.BatchNorm1d(channels_out)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``(batch, channels_in, frames)`` to ``(batch, channels_out, frames)``; ``mask`` ``(batch, frames)``."""
        return self.norm(self.conv(mask_channels_first(x, mask)).relu())
