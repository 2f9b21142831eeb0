"""Normalisation of features: by an utterance itself, by a window that slides along it, or by a training set.

Every one takes ``(batch, frames, channels)`` with a mask ``(batch, frames)`` of the frames that count (None: all) and
gives back the same shape; what stands behind an item's end never reaches a frame before it.
"""

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vivavoce.signal.framing import FRAME_SHIFT_S, length_mask

# A feature that varies less than this (in dB, nepers or cepstral units) says nothing; do not blow its noise up.
LEAST_STD = 1e-3


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoNormConfig(_Config):
    """Features as they are."""

    type: Literal["none"] = "none"

    def build(self, channels: int) -> "NoNorm":
        """Make it for features of this width."""
        return NoNorm()


class UtteranceNormConfig(_Config):
    """Each utterance's own mean, and optionally its standard deviation: removes microphone and channel."""

    type: Literal["utterance"] = "utterance"
    variance: bool = Field(default=False, description="divide by the utterance's standard deviation as well")

    def build(self, channels: int) -> "UtteranceNorm":
        """Make it for features of this width."""
        return UtteranceNorm(self)


class SlidingNormConfig(_Config):
    """Mean of a centred window that slides along the utterance: follows a channel that changes."""

    type: Literal["sliding"] = "sliding"
    window_s: float = Field(default=3.0, gt=0.02, description="s; 3 s is the x-vector recipes' (Snyder et al. 2018)")
    variance: bool = Field(default=False, description="divide by the window's standard deviation as well")

    def build(self, channels: int) -> "SlidingNorm":
        """Make it for features of this width."""
        return SlidingNorm(self)


class MinMaxNormConfig(_Config):
    """The training set's smallest value becomes 0, its largest 1."""

    type: Literal["minmax"] = "minmax"
    outside: Literal["clip", "pass"] = Field(
        default="clip",
        description="what becomes of values outside that range: held at 0 and 1, or passed on as they are",
    )

    def build(self, channels: int) -> "MinMaxNorm":
        """Make it for features of this width."""
        return MinMaxNorm(self, channels)


class ZScoreNormConfig(_Config):
    """The training set's mean becomes 0, its standard deviation 1."""

    type: Literal["zscore"] = "zscore"

    def build(self, channels: int) -> "GlobalStats":
        """Make it for features of this width."""
        return GlobalStats(channels)


NormConfig = Annotated[
    NoNormConfig | UtteranceNormConfig | SlidingNormConfig | MinMaxNormConfig | ZScoreNormConfig,
    Field(discriminator="type"),
]


class NoNorm(nn.Module):
    """Features as they are."""

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return ``features``."""
        return features


class UtteranceNorm(nn.Module):
    """Subtract each utterance's own mean; divide by its standard deviation where the config says so."""

    def __init__(self, config: UtteranceNormConfig):
        super().__init__()
        self.config = config

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return normalised ``(batch, frames, channels)``."""
        centred = features - _mean(features, mask)
        if not self.config.variance:
            return centred
        return centred / _mean(centred.square(), mask).sqrt().clamp(min=LEAST_STD)


class SlidingNorm(nn.Module):
    """Subtract the mean of a centred window; divide by its standard deviation where the config says so.

    As in Kaldi (``apply-cmvn-sliding --center``) the window keeps its size at the ends and lies less centred there; an
    utterance shorter than the window is its own. Sums run in float64, so that a long utterance loses no digits.
    """

    def __init__(self, config: SlidingNormConfig):
        super().__init__()
        self.config = config
        self.size = max(1, round(config.window_s / FRAME_SHIFT_S))

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return normalised ``(batch, frames, channels)``."""
        exact = features.double()
        if mask is not None:
            exact = exact.masked_fill(~mask[:, :, None], 0.0)
        start, stop = self._windows(features, mask)
        count = (stop - start).clamp(min=1).double()
        mean = _window_sums(exact, start, stop) / count
        if not self.config.variance:
            return (features.double() - mean).to(features.dtype)
        # About the utterance's own mean, so that a large constant does not cancel in the difference of squares.
        about = _mean(exact, mask)
        squares = _window_sums((exact - about).square(), start, stop) / count
        std = (squares - (mean - about).square()).clamp(min=LEAST_STD**2).sqrt()
        return ((features.double() - mean) / std).to(features.dtype)

    def _windows(self, features: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """First frame and the one behind the last of each frame's window, ``(batch, frames, 1)``."""
        frames = torch.arange(features.shape[1], device=features.device)[None, :]
        if mask is None:
            length = torch.full((features.shape[0], 1), features.shape[1], device=features.device)
        else:
            length = mask.sum(dim=1, keepdim=True)
        start = torch.minimum(frames - self.size // 2, length - self.size).clamp(min=0)
        stop = torch.minimum(start + self.size, length)
        return start.clamp(max=stop)[:, :, None], stop.expand_as(start)[:, :, None]


class MinMaxNorm(nn.Module):
    """Map the range of a training set, saved with the weights, to 0 to 1, and count what lies outside it.

    Before any ``update`` the range counts as 0 to 1. The counts are kept in evaluation mode alone, since training data
    cannot leave their own range.

    Args:
        config: what becomes of values outside.
        channels: features a frame.
    """

    low: Tensor
    high: Tensor
    frames_seen: Tensor
    values: Tensor
    outside: Tensor

    def __init__(self, config: MinMaxNormConfig, channels: int):
        super().__init__()
        self.config = config
        self.register_buffer("low", torch.zeros(channels))
        self.register_buffer("high", torch.ones(channels))
        self.register_buffer("frames_seen", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("values", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("outside", torch.zeros((), dtype=torch.int64), persistent=False)

    @property
    def out_of_range(self) -> float:
        """Share (0 to 1) of the values since `reset` that lay outside the range; 0 where there were none."""
        return float(self.outside) / max(1, int(self.values))

    def reset(self) -> None:
        """Begin to count anew."""
        self.values.zero_()
        self.outside.zero_()

    @torch.no_grad()
    def update(self, features: Tensor, lengths: Tensor) -> None:
        """Take in the frames of ``(batch, frames, channels)`` that lie before ``lengths`` ``(batch,)``."""
        frames = features[length_mask(lengths, features.shape[1])].to(self.low)
        if not len(frames):
            return
        low, high = frames.amin(dim=0), frames.amax(dim=0)
        known = bool(self.frames_seen)
        self.low.copy_(torch.minimum(self.low, low) if known else low)
        self.high.copy_(torch.maximum(self.high, high) if known else high)
        self.frames_seen += len(frames)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return normalised ``(batch, frames, channels)``."""
        if not self.training and not torch.compiler.is_compiling():
            self._count(features, mask)
        scaled = (features - self.low) / (self.high - self.low).clamp(min=LEAST_STD)
        return scaled.clamp(0.0, 1.0) if self.config.outside == "clip" else scaled

    @torch.no_grad()
    def _count(self, features: Tensor, mask: Tensor | None) -> None:
        outside = (features < self.low) | (features > self.high)
        if mask is not None:
            outside = outside & mask[:, :, None]
        frames = features.shape[0] * features.shape[1] if mask is None else mask.sum()
        self.values += frames * features.shape[2]
        self.outside += outside.sum()


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
        frames = features[length_mask(lengths, features.shape[1])].to(self.exact_mean)
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

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return normalised ``(batch, frames, channels)``."""
        return (features - self.mean) / self.std


Norm = NoNorm | UtteranceNorm | SlidingNorm | MinMaxNorm | GlobalStats


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the frames that count, ``(batch, 1, channels)``."""
    if mask is None:
        return values.mean(dim=1, keepdim=True)
    # Channels first, so that frames lie side by side in memory and are summed in the order of the pooling layers.
    kept = values.transpose(1, 2).masked_fill(~mask[:, None, :], 0.0)
    return (kept.sum(dim=2) / mask.sum(dim=1, keepdim=True).clamp(min=1))[:, None, :]


def _window_sums(values: Tensor, start: Tensor, stop: Tensor) -> Tensor:
    """Sums over the frames from ``start`` to before ``stop``, ``(batch, frames, 1)`` each."""
    total = nn.functional.pad(values.cumsum(dim=1), (0, 0, 1, 0))
    shape = (-1, -1, values.shape[2])
    return total.gather(1, stop.expand(shape)) - total.gather(1, start.expand(shape))
