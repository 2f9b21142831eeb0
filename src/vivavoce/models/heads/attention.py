"""The attention head: each voice frame looks for its motion in the echo; motion not found speaks against a mouth."""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from vivavoce.models.heads.base import Head, Liveness, StreamsConfig, centred, pooled
from vivavoce.models.layers.crossattention import LagAttention
from vivavoce.models.layers.masking import mask_channels_first
from vivavoce.models.layers.stream import FrameNorm, StreamEncoder


class AttentionHeadConfig(StreamsConfig):
    """Cross-attention from voice to echo with a lag prior."""

    type: Literal["attention"] = "attention"
    heads: int = Field(default=4, ge=1, description="attention heads; each learns how far from zero lag it looks")

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.channels % self.heads:
            raise ValueError(f"channels ({self.channels}) must be a multiple of heads ({self.heads})")
        return self

    def build(self, voice_channels: int, echo_channels: int) -> "AttentionHead":
        """Make the head for streams of these widths."""
        return AttentionHead(self, voice_channels, echo_channels)


class AttentionHead(Head):
    """A transformer block: cross-attention, then a feed-forward layer over voice, echo found, and how they differ."""

    def __init__(self, config: AttentionHeadConfig, voice_channels: int, echo_channels: int) -> None:
        super().__init__()
        width = config.channels
        self.voice = StreamEncoder(voice_channels, width, config.dilations, config.dropout)
        self.echo = StreamEncoder(echo_channels, width, config.dilations, config.dropout)
        self.attention = LagAttention(width, config.heads)
        self.expected = nn.Conv1d(width, width, 1)
        self.norms = nn.ModuleList([FrameNorm(width), FrameNorm(width)])
        compared = 3 * width + config.heads
        self.join = nn.Sequential(nn.Conv1d(compared, 2 * width, 1), FrameNorm(2 * width), nn.GELU())
        self.around = nn.Sequential(
            nn.Conv1d(2 * width, 2 * width, 9, padding=4, groups=2 * width), FrameNorm(2 * width), nn.GELU(),
            nn.Conv1d(2 * width, 2 * width, 1), nn.Dropout(config.dropout),
        )  # fmt: skip
        self.judge = nn.Conv1d(2 * width, 2, 1)

    def compare(self, voice: Tensor, echo: Tensor, mask: Tensor | None = None) -> Liveness:
        """Judge two encoded streams ``(batch, channels, frames)``, so that one encoding serves many pairings."""
        voice, moving = (norm(centred(stream, mask)) for norm, stream in zip(self.norms, (voice, echo), strict=True))
        found, strayed = self.attention(voice, moving, mask)
        missing = (self.expected(voice) - found).square()
        x = self.join(torch.cat([voice + found, voice * found, missing, strayed], dim=1))
        x = mask_channels_first(x, mask)
        x = x + self.around(x)
        logits, attention = self.judge(x).unbind(dim=1)
        return pooled(logits, attention, mask)
