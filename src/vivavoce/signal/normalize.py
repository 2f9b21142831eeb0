"""Normalisation of features that ignores padding: over one sentence, or by the statistics of a training set."""

import torch
from torch import Tensor, nn

from vivavoce.signal.framing import length_mask, masked

# A feature that varies less than this (in dB, nepers or cepstral units) says nothing; do not blow its noise up.
LEAST_STD = 1e-3


def sentence_normalized(features: Tensor, lengths: Tensor, variance: bool = False) -> Tensor:
    """Subtract each item's own mean over its frames, and divide by its standard deviation if ``variance``.

    Args:
        features: ``(batch, frames, channels)``.
        lengths: ``(batch,)`` int64 frames.
        variance: also divide by the standard deviation (biased, at least 1e-3).

    Returns:
        ``(batch, frames, channels)``, zero behind each item's end.
    """
    # In float64, so that the amount of padding beside an item does not show in its last digit.
    values = masked(features, lengths).double()
    count = lengths.clamp(min=1)[:, None, None]
    centred = masked(values - values.sum(dim=1, keepdim=True) / count, lengths)
    if variance:
        centred = centred / (centred.square().sum(dim=1, keepdim=True) / count).sqrt().clamp(min=LEAST_STD)
    return centred.to(features.dtype)


class SentenceNorm(nn.Module):
    """:func:`sentence_normalized` as a layer."""

    def __init__(self, variance: bool = False):
        super().__init__()
        self.variance = variance

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return normalised ``(batch, frames, channels)``, zero behind each item's end."""
        return sentence_normalized(features, lengths, self.variance)


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

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return normalised ``(batch, frames, channels)``, zero behind each item's end."""
        return masked((features - self.mean) / self.std, lengths)
