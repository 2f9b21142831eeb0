"""Pooling of frames into one vector an utterance, over the utterance's own frames alone."""

from typing import Literal

import torch
from torch import Tensor, nn

from vivavoce.models.layers.masking import mask_channels_first

# Keeps the gradient of the square root finite where a channel is constant.
VARIANCE_FLOOR = 1e-7
STD_OFFSET = 1e-5  # SpeechBrain adds it to the deviation instead

# √max(σ², 1e-7) over all frames; √(s² + 1e-7) of the unbiased variance s² (WeSpeaker, 3D-Speaker); s + 1e-5
# (SpeechBrain).
Deviation = Literal["floored", "unbiased", "unbiased_offset"]


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over frames: ``(batch, channels, frames)`` → ``(batch, channels)``."""
    if mask is None:
        return x.mean(dim=2)
    return mask_channels_first(x, mask).sum(dim=2) / mask.sum(dim=1, keepdim=True)


def weighted_statistics(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over frames under ``weights`` ``(batch, channels | 1, frames)`` that sum to one."""
    mean = (x * weights).sum(dim=2)
    variance = ((x - mean[:, :, None]).square() * weights).sum(dim=2)
    return mean, variance.clamp(min=VARIANCE_FLOOR).sqrt()


def uniform_weights(x: Tensor, mask: Tensor | None) -> Tensor:
    """Equal weights over each utterance's frames, ``(batch, 1, frames)``."""
    if mask is None:
        return x.new_full((x.shape[0], 1, x.shape[2]), 1.0 / x.shape[2])
    return (mask / mask.sum(dim=1, keepdim=True))[:, None, :].to(x.dtype)


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over frames (Snyder et al. 2018, section 2.1): ``(batch, 2 · channels)``."""

    def __init__(self, std: Deviation = "floored") -> None:
        super().__init__()
        self.std: Deviation = std

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool ``(batch, channels, frames)``."""
        x = mask_channels_first(x, mask)
        if self.std == "floored":
            return torch.cat(weighted_statistics(x, uniform_weights(x, mask)), dim=1)
        count = x.new_full((len(x), 1), x.shape[2]) if mask is None else mask.sum(dim=1, keepdim=True).to(x.dtype)
        mean = x.sum(dim=2) / count.clamp(min=1)
        squares = mask_channels_first((x - mean[:, :, None]).square(), mask).sum(dim=2)
        variance = squares / (count - 1).clamp(min=1)
        if self.std == "unbiased":
            return torch.cat([mean, (variance + VARIANCE_FLOOR).sqrt()], dim=1)
        # The floor under the root, far below the offset, keeps the gradient finite where a channel is constant.
        return torch.cat([mean, variance.clamp(min=STD_OFFSET**2 * 1e-4).sqrt() + STD_OFFSET], dim=1)


class AttentiveStatistics(nn.Module):
    """Channel- and context-dependent attentive statistics (Desplanques et al. 2020, section 3.1)."""

    def __init__(self, channels: int, bottleneck: int = 128) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Conv1d(3 * channels, bottleneck, 1), nn.ReLU(), nn.BatchNorm1d(bottleneck), nn.Tanh(),
            nn.Conv1d(bottleneck, channels, 1),
        )  # fmt: skip

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool ``(batch, channels, frames)`` to ``(batch, 2 · channels)``."""
        x = mask_channels_first(x, mask)
        mean, std = weighted_statistics(x, uniform_weights(x, mask))
        context = torch.cat([mean, std], dim=1)[:, :, None].expand(-1, -1, x.shape[2])
        scores = self.score(torch.cat([x, context], dim=1))
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, :], float("-inf"))
        return torch.cat(weighted_statistics(x, scores.softmax(dim=2)), dim=1)
