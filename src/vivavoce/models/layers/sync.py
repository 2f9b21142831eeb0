"""The sync score: how much better do two streams agree at zero lag than at all the other lags?

Sources: Chung & Zisserman 2016, "Out of time: automated lip sync in the wild", section 3 (offset and confidence from
the distances at all lags); Afouras et al. 2020, "Self-supervised learning of audio-visual objects from video",
section 3 (a softmax over lags). Every lag sees the same phone, room and hand as zero lag does, so the comparison holds
where an absolute score would shift.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vivavoce.models.layers.gate import moving_sum
from vivavoce.models.layers.lags import at_lags, lagged_products
from vivavoce.models.layers.masking import mask_channels_first

# In 20 ms frames. Sound and lips are this far apart without harm (±40 ms, DESIGN §5) ...
TOLERANCE = 2
# ... are out of time from 100 ms on (what lies between counts as neither), and are looked for up to 600 ms away.
NEAREST_FAR, REACH = 5, 30
# Quiet stretches, whose correlation would be that of noise, are filled up to this share of the mean energy.
ENERGY_FLOOR = 0.1
FIRST_SCALE = 10.0
# Utterances of 3 s have the scale as it is; evidence grows with the square root of the frames.
USUAL_FRAMES = 150


class SyncScores(NamedTuple):
    """Evidence that two streams run in time, in logits before their weights."""

    utterance: Tensor  # (batch, 2): aligned against other lags, aligned alone
    frames: Tensor  # (batch, frames, 2)


class SyncScore(nn.Module):
    """Correlation of two embedded streams at all lags within ±600 ms, around each frame and over the utterance."""

    near: Tensor
    far: Tensor

    def __init__(self, channels: int, embedding: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.voice = nn.Conv1d(channels, embedding, 1, bias=False)
        self.echo = nn.Conv1d(channels, embedding, 1, bias=False)
        self.log_scales = nn.Parameter(torch.full((2,), math.log(FIRST_SCALE)))
        lags = torch.arange(-REACH, REACH + 1)
        self.register_buffer("near", torch.nonzero(lags.abs() <= TOLERANCE)[:, 0], persistent=False)
        self.register_buffer("far", torch.nonzero(lags.abs() >= NEAREST_FAR)[:, 0], persistent=False)

    def forward(self, voice: Tensor, echo: Tensor, trust: Tensor, mask: Tensor | None = None) -> SyncScores:
        """Compare centred streams ``(batch, channels, frames)``, each frame as far as it is to be trusted.

        Args:
            voice: the voice's stream.
            echo: the echo's stream.
            trust: ``(batch, 1, frames)`` in 0 to 1.
            mask: ``(batch, frames)`` marks the utterances' own frames.
        """
        voice = mask_channels_first(self.voice(voice) * trust, mask)
        echo = mask_channels_first(self.echo(echo), mask)
        products = lagged_products(voice, echo, REACH)
        energies = torch.stack([voice.square().sum(dim=1), echo.square().sum(dim=1)])
        count = voice.new_full((len(voice),), voice.shape[2]) if mask is None else mask.sum(dim=1).to(voice.dtype)
        local = self._local(products, energies, count, mask)
        whole = self._whole(products, energies, count)
        scales = self.log_scales.exp()
        length = (count / USUAL_FRAMES).sqrt()[:, None]
        return SyncScores(self._evidence(scales[0] * length * whole), self._evidence(scales[1] * local))

    def _local(self, products: Tensor, energies: Tensor, count: Tensor, mask: Tensor | None) -> Tensor:
        """Correlation around each frame, ``(batch, frames, lags)``; zero where a lag leads out of the utterance."""
        sums = moving_sum(products.transpose(1, 2), self.window).transpose(1, 2)
        floor = ENERGY_FLOOR * self.window * energies.sum(dim=2) / count
        voice, echo = moving_sum(energies, self.window) + floor[:, :, None] + 1e-6
        inverse = echo.rsqrt() if mask is None else echo.rsqrt().masked_fill(~mask, 0.0)
        return sums * voice.rsqrt()[:, :, None] * at_lags(inverse, REACH)

    def _whole(self, products: Tensor, energies: Tensor, count: Tensor) -> Tensor:
        """Correlation over each utterance, ``(batch, lags)``; a lag's overlap is made up to the whole length."""
        lags = torch.arange(-REACH, REACH + 1, device=products.device).abs()
        overlap = ((count[:, None] - lags) / count[:, None]).clamp(min=0.2)
        return products.sum(dim=1) / overlap / (energies.sum(dim=2).prod(dim=0) + 1e-6).sqrt()[:, None]

    def _evidence(self, scaled: Tensor) -> Tensor:
        """Zero lag against the others, and alone: ``(..., lags)`` to ``(..., 2)``."""
        near, far = (
            scaled.index_select(-1, lags).logsumexp(dim=-1) - math.log(len(lags)) for lags in (self.near, self.far)
        )
        return torch.stack([near - far, near], dim=-1)
