"""Liveness heads: voice frames and echo frames in, per-frame and per-utterance liveness logits out."""

from typing import Literal, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor, nn

from vivavoce.models.layers.masking import mask_channels_first
from vivavoce.models.layers.pooling import masked_mean
from vivavoce.models.layers.similarity import LaggedSimilarity
from vivavoce.models.layers.stream import StreamEncoder, stream_mask

# Lags of the similarity in 20 ms frames: ±240 ms, the reach of anticipatory lip opening (DESIGN §5).
LAGS = (-12, -8, -4, -2, -1, 0, 1, 2, 4, 8, 12)


class Liveness(NamedTuple):
    """Logits of the correlation task; positive speaks for a living mouth."""

    utterance: Tensor  # (batch,)
    frames: Tensor  # (batch, ceil(frames / 2)), one each 20 ms
    weights: Tensor  # (batch, ceil(frames / 2)), sum to one: what each frame counts for in the utterance


class HeadConfig(BaseModel):
    """What both heads share: the two streams."""

    model_config = ConfigDict(extra="forbid")

    channels: int = Field(default=64, ge=4, multiple_of=4, description="width of each stream")
    dilations: tuple[PositiveInt, ...] = Field(
        default=(1, 2, 4), description="dilations of each stream's blocks, 20 ms frames"
    )
    groups: int = Field(default=8, ge=1, description="groups of channels compared apart")
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.channels % self.groups:
            raise ValueError(f"channels ({self.channels}) must be a multiple of groups ({self.groups})")
        return self


class LinearHeadConfig(HeadConfig):
    """A head with nothing recurrent."""

    type: Literal["linear"] = "linear"

    def build(self, voice_channels: int, echo_channels: int) -> "LivenessHead":
        """Make the head for streams of these widths."""
        return LivenessHead(self, voice_channels, echo_channels, temporal=None)


class LstmHeadConfig(HeadConfig):
    """A head with a bidirectional LSTM over the compared streams."""

    type: Literal["lstm"] = "lstm"
    hidden: int = Field(default=64, ge=2, description="LSTM cells each way")

    def build(self, voice_channels: int, echo_channels: int) -> "LivenessHead":
        """Make the head for streams of these widths."""
        temporal = MaskedBiLstm(self.channels * 2, self.hidden)
        return LivenessHead(self, voice_channels, echo_channels, temporal)


def centred(stream: Tensor, mask: Tensor | None) -> Tensor:
    """Take each channel's mean over the utterance off ``(batch, channels, frames)``; padded frames become zero.

    What stays the same through an utterance (phone, room, noise) says nothing about what moves when, but would tell
    that a voice and an echo come from two recordings: a shortcut that no real attack offers.
    """
    return mask_channels_first(stream - masked_mean(stream, mask)[:, :, None], mask)


class MaskedBiLstm(nn.Module):
    """A bidirectional LSTM whose backward pass begins at each utterance's own last frame.

    Two plain LSTMs, the second over each utterance turned round within its own length: packed sequences do the same,
    but their backward pass on a CPU takes five times as long.
    """

    def __init__(self, channels_in: int, hidden: int) -> None:
        super().__init__()
        self.onward = nn.LSTM(channels_in, hidden, batch_first=True)
        self.backward_in_time = nn.LSTM(channels_in, hidden, batch_first=True)
        self.channels_out = 2 * hidden

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``(batch, frames, channels_in)`` to ``(batch, frames, channels_out)``."""
        turned = self.backward_in_time(_turn_round(x, mask))[0]
        return torch.cat([self.onward(x)[0], _turn_round(turned, mask)], dim=2)


def _turn_round(x: Tensor, mask: Tensor | None) -> Tensor:
    """Reverse the frames of each utterance within its own length; padding stays where it is."""
    if mask is None:
        return x.flip(1)
    place = torch.arange(x.shape[1], device=x.device)
    mirrored = mask.sum(dim=1, keepdim=True) - 1 - place
    index = torch.where(mask, mirrored, place)
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))


class LivenessHead(nn.Module):
    """Two streams, compared frame by frame and lag by lag, then judged by a linear layer or an LSTM.

    Fusion is at frame level, never through the pooled speaker embedding, which holds no time (DESIGN §5).
    """

    def __init__(
        self, config: HeadConfig, voice_channels: int, echo_channels: int, temporal: MaskedBiLstm | None
    ) -> None:
        super().__init__()
        width = config.channels
        self.voice = StreamEncoder(voice_channels, width, config.dilations, config.dropout)
        self.echo = StreamEncoder(echo_channels, width, config.dilations, config.dropout)
        self.similarity = LaggedSimilarity(width, config.groups, LAGS)
        compared = 3 * width + self.similarity.channels_out
        self.join = nn.Sequential(nn.Linear(compared, 2 * width), nn.LayerNorm(2 * width), nn.GELU())
        self.temporal = temporal
        self.judge = nn.Linear(temporal.channels_out if temporal else 2 * width, 2)

    def forward(self, voice: Tensor, echo: Tensor, mask: Tensor | None = None) -> Liveness:
        """Judge voice frames ``(batch, voice_channels, frames)`` with echo frames ``(batch, echo_channels, frames)``.

        ``mask`` ``(batch, frames)`` marks the utterances' own frames.
        """
        return self.compare(self.voice(voice, mask), self.echo(echo, mask), stream_mask(mask))

    def compare(self, voice: Tensor, echo: Tensor, mask: Tensor | None = None) -> Liveness:
        """Judge two encoded streams ``(batch, channels, frames)``, so that one encoding serves many pairings."""
        voice, moving = centred(voice, mask), centred(echo, mask)
        streams = [voice, echo, voice * moving, self.similarity(voice, moving)]
        x = self.join(torch.cat(streams, dim=1).transpose(1, 2))
        if self.temporal is not None:
            x = self.temporal(x, mask)
        logits, attention = self.judge(x).unbind(dim=2)
        if mask is not None:
            attention = attention.masked_fill(~mask, float("-inf"))
            logits = logits.masked_fill(~mask, 0.0)
        weights = attention.softmax(dim=1)
        return Liveness((logits * weights).sum(dim=1), logits, weights)
