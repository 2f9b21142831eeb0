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
    if mask is None:  # over the middle axis, so that the gradient comes in the layout of `frames_major`, too
        return x.transpose(1, 2).mean(dim=1)
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
    exact = torch.promote_types(x.dtype, torch.float32)
    return (mask.to(exact) / mask.sum(dim=1, keepdim=True))[:, None, :].to(x.dtype)


def frame_count(x: Tensor, mask: Tensor | None) -> Tensor:
    """Frames of each utterance of ``(batch, channels, frames)``, ``(batch, 1)``, at least in float32.

    bfloat16 has no whole numbers between 256 and 258.
    """
    count = x.new_full((len(x), 1), x.shape[2], dtype=torch.float32) if mask is None else mask.sum(dim=1, keepdim=True)
    return count.to(torch.promote_types(x.dtype, torch.float32))


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
        count = frame_count(x, mask)
        mean = x.sum(dim=2) / count.clamp(min=1)
        squares = mask_channels_first((x - mean[:, :, None]).square(), mask).sum(dim=2)
        variance = squares / (count - 1).clamp(min=1)
        if self.std == "unbiased":
            return torch.cat([mean, (variance + VARIANCE_FLOOR).sqrt()], dim=1)
        # The floor under the root, far below the offset, keeps the gradient finite where a channel is constant.
        return torch.cat([mean, variance.clamp(min=STD_OFFSET**2 * 1e-4).sqrt() + STD_OFFSET], dim=1)
