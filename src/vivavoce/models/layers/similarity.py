"""Similarity of two streams at several lags: does what the echo shows happen when the voice says it?

A per-frame form of the sync score of Chung & Zisserman 2016, "Out of time: automated lip sync in the wild".
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class LaggedSimilarity(nn.Module):
    """Grouped inner products of the voice frame ``t`` with the echo frames ``t + lag``.

    Several groups of channels may agree on different things (closure, opening, spreading); several lags show
    whether the best agreement is at zero, where a living mouth has it.
    """

    def __init__(self, channels: int, groups: int, lags: tuple[int, ...]) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(f"channels ({channels}) must be a multiple of groups ({groups})")
        self.groups = groups
        self.lags = lags
        self.channels_out = groups * len(lags)

    def forward(self, voice: Tensor, echo: Tensor) -> Tensor:
        """Compare ``(batch, channels, frames)`` with the same shape: ``(batch, groups · lags, frames)``."""
        batch, channels, frames = voice.shape
        reach = max(abs(lag) for lag in self.lags)
        padded = functional.pad(echo, (reach, reach))
        # One product a lag: all lags in one tensor would be written to memory and read back several times.
        products = [
            (voice * padded[:, :, reach + lag : reach + lag + frames]).view(batch, self.groups, -1, frames).sum(dim=2)
            for lag in self.lags
        ]
        return torch.cat(products, dim=1) / (channels // self.groups) ** 0.5
