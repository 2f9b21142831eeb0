"""The fused head: sync score, level gate and LSTM in one answer."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from vivavoce.models.heads.base import Head, Liveness, centred, pooled
from vivavoce.models.heads.sync import SyncConfig, SyncJudge, gated
from vivavoce.models.layers.bilstm import MaskedBiLstm
from vivavoce.models.layers.gate import LevelGate
from vivavoce.models.layers.similarity import LaggedSimilarity
from vivavoce.models.layers.stream import StreamEncoder, odd_window
from vivavoce.models.liveness_head import LAGS, HeadConfig


class FusedHeadConfig(SyncConfig, HeadConfig):
    """Sync score, level gate and LSTM, fused at frames and utterances."""

    type: Literal["fused"] = "fused"
    hidden: int = Field(default=64, ge=2, description="LSTM cells each way")

    def build(self, voice_channels: int, echo_channels: int) -> "FusedHead":
        """Make the head for streams of these widths."""
        return FusedHead(self, voice_channels, echo_channels)


class FusedHead(Head):
    """The logits of a sync score and of an LSTM are added, frame by frame and for the utterance; a gate may veto both.

    The sync score knows only whether the streams run in time; the LSTM, which reads it too, knows which gestures go
    with which sounds. Added logits are a product of experts (Hinton 2002): either may object.
    """

    def __init__(self, config: FusedHeadConfig, voice_channels: int, echo_channels: int) -> None:
        super().__init__()
        width = config.channels
        self.voice = StreamEncoder(voice_channels, width, config.dilations, config.dropout)
        self.echo = StreamEncoder(echo_channels, width, config.dilations, config.dropout)
        self.sync = SyncJudge(config)
        self.gate = LevelGate(width, odd_window(config.window_s))
        self.similarity = LaggedSimilarity(width, config.groups, LAGS)
        compared = 3 * width + self.similarity.channels_out + 1
        self.join = nn.Sequential(nn.Linear(compared, 2 * width), nn.LayerNorm(2 * width), nn.GELU())
        self.temporal = MaskedBiLstm(2 * width, config.hidden)
        self.judge = nn.Linear(self.temporal.channels_out, 2)

    def compare(self, voice: Tensor, echo: Tensor, mask: Tensor | None = None) -> Liveness:
        """Judge two encoded streams ``(batch, channels, frames)``, so that one encoding serves many pairings."""
        in_time = self.sync(voice, echo, mask)
        gate, frame_gates = self.gate(echo, mask)
        voice, moving = centred(voice, mask), centred(echo, mask)
        streams = [voice, moving, voice * moving, self.similarity(voice, moving), in_time.frames[:, None]]
        x = self.temporal(self.join(torch.cat(streams, dim=1).transpose(1, 2)), mask)
        logits, attention = self.judge(x).unbind(dim=2)
        fits = pooled(logits, attention, mask)
        added = Liveness(fits.utterance + in_time.utterance, fits.frames + in_time.frames, fits.weights)
        return gated(added, gate, frame_gates, mask)
