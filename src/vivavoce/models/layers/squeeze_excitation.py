"""Squeeze and excitation over frames.

Source: Hu et al. 2018, "Squeeze-and-excitation networks"; one-dimensional as in Desplanques et al. 2020, section 3.2.
"""

from torch import Tensor, nn

from vivavoce.models.layers.pooling import masked_mean


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate computed from the mean over the utterance's own frames."""

    def __init__(self, channels: int, bottleneck: int = 128) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, bottleneck)
        self.excite = nn.Linear(bottleneck, channels)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``(batch, channels, frames)`` to the same shape."""
        gate = self.excite(self.squeeze(masked_mean(x, mask)).relu()).sigmoid()
        return x * gate[:, :, None]
