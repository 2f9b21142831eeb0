"""The TDNN layer: a dilated convolution over frames, a rectifier, batch norm.

Source: Snyder et al. 2018, "X-vectors: robust DNN embeddings for speaker recognition", section 2.1.
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from vivavoce.models.layers.frames_major import convolve, normalise
from vivavoce.models.layers.masking import mask_channels_first
from vivavoce.models.layers.padding import Padding, pad_reflect

Rectifier = Literal["relu", "leaky_relu"]


class Tdnn(nn.Module):
    """Convolution → rectifier → batch norm over ``(batch, channels, frames)``; same number of frames unless unpadded.

    Padded frames are zeroed before the convolution, so that zero padding is all that an utterance ever sees
    beyond its ends; under "reflect" it sees itself, mirrored at its own end.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        kernel: frames of the kernel, odd.
        dilation: frames between two places of the kernel.
        padding: what stands beyond the ends; "none" gives ``2 · context`` frames fewer.
        rectifier: "leaky_relu" has a slope of 0.01 below zero.
        affine: batch norm with a learnt scale and shift.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        dilation: int = 1,
        padding: Padding = "zero",
        rectifier: Rectifier = "relu",
        affine: bool = True,
    ) -> None:
        super().__init__()
        self.context = dilation * (kernel - 1) // 2
        self.padding: Padding = padding
        self.leaky = rectifier == "leaky_relu"
        width = self.context if padding == "zero" else 0
        self.conv = nn.Conv1d(channels_in, channels_out, kernel, dilation=dilation, padding=width)
        self.norm = nn.BatchNorm1d(channels_out, affine=affine)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``(batch, channels_in, frames)`` to ``(batch, channels_out, frames)``; ``mask`` ``(batch, frames)``."""
        if self.padding == "reflect":
            x = pad_reflect(x, self.context, mask)
        elif self.padding == "zero":
            x = mask_channels_first(x, mask)
        x = convolve(self.conv, x)
        return normalise(self.norm, functional.leaky_relu(x) if self.leaky else x.relu())
