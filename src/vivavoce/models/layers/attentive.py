"""Attentive statistics pooling: which frames of an utterance tell the speaker, channel by channel.

Source: Desplanques et al. 2020, "ECAPA-TDNN", section 3.1.
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vivavoce.models.layers.frames_major import convolve, normalise
from vivavoce.models.layers.masking import mask_channels_first
from vivavoce.models.layers.moments import moments
from vivavoce.models.layers.pooling import VARIANCE_FLOOR, frame_count, uniform_weights

# What the attention knows of the whole utterance beside a frame: nothing, or its mean and deviation: √max(σ², floor),
# √max(s², floor) or √(s² + floor), where s² is the unbiased variance.
Context = Literal["none", "floored", "unbiased_floored", "unbiased"]
# Between the attention's two layers: ReLU, batch norm and tanh, or tanh alone.
Scorer = Literal["norm", "tanh"]


class AttentiveStatistics(nn.Module):
    """Channel- and context-dependent attentive statistics.

    Args:
        channels: channels of the frames.
        hidden: channels between the attention's two layers.
        scorer: "norm" has ReLU, batch norm and tanh between them, "tanh" a tanh alone.
        context: deviation of the whole utterance that the attention is told, with its mean; "none": neither.
        floor: least variance under a square root.
    """

    def __init__(
        self,
        channels: int,
        hidden: int = 128,
        scorer: Scorer = "norm",
        context: Context = "floored",
        floor: float = VARIANCE_FLOOR,
    ) -> None:
        super().__init__()
        self.context: Context = context
        self.floor = floor
        self.score = nn.Sequential(
            nn.Conv1d(channels if context == "none" else 3 * channels, hidden, 1),
            nn.ReLU() if scorer == "norm" else nn.Identity(),
            nn.BatchNorm1d(hidden) if scorer == "norm" else nn.Identity(),
            nn.Tanh(),
            nn.Conv1d(hidden, channels, 1),
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool ``(batch, channels, frames)`` to ``(batch, 2 · channels)``."""
        x = mask_channels_first(x, mask)
        _, rectifier, norm, tanh, last = self.score
        hidden = tanh(normalise(norm, rectifier(self._first_layer(x, mask))))
        scores = convolve(cast(nn.Conv1d, last), hidden)
        if mask is None:
            mean, variance = moments(x.transpose(1, 2), scores.transpose(1, 2))
        else:
            scores = scores.masked_fill(~mask[:, None, :], float("-inf"))
            mean, variance = _weighted_moments(x, scores.softmax(dim=2))
        return torch.cat([mean, variance.clamp(min=self.floor).sqrt()], dim=1)

    def _first_layer(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The attention's first layer over ``[frame, mean, deviation]``: ``(batch, hidden, frames)``.

        Mean and deviation are the same in each frame, so their share of the product is computed once an utterance.
        """
        first = cast(nn.Conv1d, self.score[0])
        if self.context == "none":
            return convolve(first, x)
        of_frames, of_context = first.weight.split([x.shape[1], 2 * x.shape[1]], dim=1)
        context = functional.linear(self._context(x, mask), of_context[:, :, 0], first.bias)
        return functional.linear(x.transpose(1, 2), of_frames.flatten(1)).transpose(1, 2) + context[:, :, None]

    def _context(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Mean and deviation over each utterance's frames, ``(batch, 2 · channels)``."""
        if mask is None:
            mean, variance = moments(x.transpose(1, 2))
        else:
            mean, variance = _weighted_moments(x, uniform_weights(x, mask))
        if self.context != "floored":
            count = frame_count(x, mask)
            variance = variance * (count / (count - 1).clamp(min=1))
        added = self.context == "unbiased"
        return torch.cat([mean, (variance + self.floor if added else variance.clamp(min=self.floor)).sqrt()], dim=1)


def _weighted_moments(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance over frames under ``weights`` ``(batch, channels | 1, frames)`` that sum to one."""
    mean = (x * weights).sum(dim=2)
    return mean, ((x - mean[:, :, None]).square() * weights).sum(dim=2)
