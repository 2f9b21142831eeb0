"""Masks over padded frames: the one means by which batch mates are kept from changing a score."""

import torch
from torch import Tensor


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """Mark the frames that belong to each utterance.

    Args:
        lengths: frames of each utterance, ``(batch,)``.
        frames: frames of the padded batch.

    Returns:
        Boolean mask ``(batch, frames)``.
    """
    return torch.arange(frames, device=lengths.device)[None, :] < lengths[:, None]


def mask_channels_first(x: Tensor, mask: Tensor | None) -> Tensor:
    """Set padded frames of ``x`` ``(batch, channels, frames)`` to exactly zero; ``None`` means no padding.

    A convolution with zero padding then sees the same zeros behind the end of a short utterance as it sees when
    that utterance is alone.
    """
    return x if mask is None else x.masked_fill(~mask[:, None, :], 0.0)
