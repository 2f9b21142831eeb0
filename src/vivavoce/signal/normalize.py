"""Normalisation of features by the statistics of a training set."""

import torch
from torch import Tensor, nn

from vivavoce.signal.framing import length_mask

# A feature that varies less than this (in dB, nepers or cepstral units) says nothing; do not blow its noise up.
LEAST_STD = 1e-3


class GlobalStats(nn.Module):
    """Normalise by mean and standard deviation of a training set, which are saved with the weights.

    Before any ``update`` it passes features through unchanged. Fitting is streamed (Chan, Golub and LeVeque 1979, the
    batch form of Welford's update) and exact whatever the batches are; after loading saved weights it starts anew.

    Args:
        channels: features a frame.
    """

    mean: Tensor
    std: Tensor
    frames_seen: Tensor
    exact_mean: Tensor
    squares: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.register_buffer("frames_seen", torch.zeros((), dtype=torch.float64), persistent=False)
        self.register_buffer("exact_mean", torch.zeros(channels, dtype=torch.float64), persistent=False)
        self.register_buffer("squares", torch.zeros(channels, dtype=torch.float64), persistent=False)

    @torch.no_grad()
    def update(self, features: Tensor, lengths: Tensor) -> None:
        """Take in the frames of ``(batch, frames, channels)`` that lie before ``lengths`` ``(batch,)``."""
        frames = features[length_mask(lengths, features.shape[1])].double()
        if not len(frames):
            return
        mean = frames.mean(dim=0)
        total = self.frames_seen + len(frames)
        shift = mean - self.exact_mean
        self.squares += (frames - mean).square().sum(dim=0) + shift.square() * self.frames_seen * len(frames) / total
        self.exact_mean += shift * len(frames) / total
        self.frames_seen.copy_(total)
        self.mean.copy_(self.exact_mean)
        self.std.copy_((self.squares / total).sqrt().clamp(min=LEAST_STD))

    def forward(self, features: Tensor) -> Tensor:
        """Return normalised ``(batch, frames, channels)``."""
        return (features - self.mean) / self.std
