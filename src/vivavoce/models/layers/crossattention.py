"""Attention from one stream to another that begins where a living mouth is: at zero lag.

Source: Vaswani et al. 2017, "Attention is all you need", section 3.2, with a Gaussian bias around each query's own
place as in Yang et al. 2018, "Modeling localness for self-attention networks", eq. 5 (here of a learnt width a head).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vivavoce.models.layers.lags import at_lags, lagged_products, lagged_sums

# In 20 ms frames: attention looks no further than ±600 ms and begins with a prior of ±80 ms.
REACH = 30
FIRST_WIDTH = 4.0


class Attended(NamedTuple):
    """What attention found, and where."""

    values: Tensor  # (batch, channels, frames)
    strayed: Tensor  # (batch, heads, frames): mean distance from zero lag in units of the prior's width


class LagAttention(nn.Module):
    """Multi-head attention over lags within ±600 ms with a Gaussian prior around zero lag, a width for each head."""

    lags: Tensor

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Conv1d(channels, channels, 1) for _ in range(3))
        self.out = nn.Conv1d(channels, channels, 1)
        self.log_width = nn.Parameter(torch.full((heads,), math.log(FIRST_WIDTH)))
        self.register_buffer("lags", torch.arange(-REACH, REACH + 1).float(), persistent=False)

    def forward(self, asking: Tensor, asked: Tensor, mask: Tensor | None = None) -> Attended:
        """Attend from ``asking`` to ``asked``, both ``(batch, channels, frames)``; padded frames are never attended."""
        batch, channels, frames = asking.shape
        query, key, value = (
            layer(stream).reshape(batch * self.heads, -1, frames)
            for layer, stream in ((self.query, asking), (self.key, asked), (self.value, asked))
        )
        scores = lagged_products(query, key, REACH) / math.sqrt(channels // self.heads)
        distance = self.lags / self.log_width.exp()[:, None]
        scores = scores.view(batch, self.heads, frames, -1) - 0.5 * distance.square()[:, None]
        own = asking.new_ones(batch, frames) if mask is None else mask.to(asking.dtype)
        outside = at_lags(own, REACH)[:, None] == 0
        # A finite value, since a padded frame far behind the end has nothing at all to attend to.
        weights = scores.masked_fill(outside, -1e4).softmax(dim=3)
        found = lagged_sums(weights.flatten(0, 1), value, REACH).reshape(batch, channels, frames)
        strayed = torch.einsum("bhtl,hl->bht", weights, distance.abs())
        return Attended(self.out(found), strayed)
