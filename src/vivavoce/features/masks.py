"""SpecAugment on log-mel features (Park et al. 2019), drawn for the whole batch at once."""

import torch
from torch import Tensor


def mask_bands(x: Tensor, axis: int, widest: int, generator: torch.Generator) -> Tensor:
    """Set one band of up to ``widest`` neighbours along ``axis`` (1 frames, 2 mels) of each item to the item's mean."""
    batch, size = x.shape[0], x.shape[axis]
    width = torch.randint(0, min(widest, size) + 1, (batch, 1), generator=generator)
    start = (torch.rand(batch, 1, generator=generator) * (size - width + 1)).long()
    position = torch.arange(size)[None, :]
    masked = (position >= start) & (position < start + width)
    masked = masked[:, :, None] if axis == 1 else masked[:, None, :]
    return torch.where(masked.to(x.device), x.mean(dim=(1, 2), keepdim=True), x)
