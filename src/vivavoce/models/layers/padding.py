"""What a convolution sees beyond an utterance's ends."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

# Zeros; the utterance mirrored about its first and last frame; or nothing, so that every layer shortens it.
Padding = Literal["zero", "reflect", "none"]


def pad_reflect(x: Tensor, width: int, mask: Tensor | None = None) -> Tensor:
    """Mirror each utterance about its own first and last frame, which are not repeated themselves.

    Args:
        x: ``(batch, channels, frames)``, more than ``width`` frames.
        width: frames to add at either end.
        mask: ``(batch, frames)`` marks the utterances' own frames; ``None`` where none is padded.

    Returns:
        ``(batch, channels, frames + 2 · width)``; what stands behind ``width`` frames after an utterance's end is
        without meaning. Where an utterance is too short to mirror, its first frame is repeated.
    """
    if width == 0:
        return x
    if mask is None:
        return functional.pad(x, (width, width), mode="reflect")
    length = mask.sum(dim=1, keepdim=True)
    place = torch.arange(x.shape[2] + 2 * width, device=x.device)[None, :] - width
    mirrored = torch.where(place < length, place.abs(), 2 * (length - 1) - place)
    mirrored = mirrored.clamp(min=0, max=x.shape[2] - 1)
    return x.gather(2, mirrored[:, None, :].expand(-1, x.shape[1], -1))
