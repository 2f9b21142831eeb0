"""The pairwise heads: two streams compared frame by frame and lag by lag, judged with or without an LSTM."""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from vivavoce.models.heads.base import Head, Liveness, StreamsConfig, centred, pooled
from vivavoce.models.layers.bilstm import MaskedBiLstm
from vivavoce.models.layers.similarity import LaggedSimilarity
from vivavoce.models.layers.stream import StreamEncoder

# Lags of the similarity in 20 ms frames: ±240 ms, the reach of anticipatory lip opening (DESIGN §5).
LAGS = (-12, -8, -4, -2, -1, 0, 1, 2, 4, 8, 12)


class HeadConfig(StreamsConfig):
    """The two streams and how they are compared."""

    groups: int = Field(default=8, ge=1, description="groups of channels compared apart")

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


class LivenessHead(Head):
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

    def compare(self, voice: Tensor, echo: Tensor, mask: Tensor | None = None) -> Liveness:
        """Judge two encoded streams ``(batch, channels, frames)``, so that one encoding serves many pairings."""
        voice, moving = centred(voice, mask), centred(echo, mask)
        streams = [voice, echo, voice * moving, self.similarity(voice, moving)]
        x = self.join(torch.cat(streams, dim=1).transpose(1, 2))
        if self.temporal is not None:
            x = self.temporal(x, mask)
        logits, attention = self.judge(x).unbind(dim=2)
        return pooled(logits, attention, mask)
