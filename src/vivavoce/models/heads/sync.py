"""The sync head: are voice and echo more alike in time than out of time, and does anything move at all?"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from vivavoce.models.heads.base import Head, Liveness, StreamsConfig, centred
from vivavoce.models.layers.gate import LevelGate, veto
from vivavoce.models.layers.masking import mask_channels_first
from vivavoce.models.layers.stream import StreamEncoder, odd_window
from vivavoce.models.layers.sync import SyncScore


class SyncConfig(StreamsConfig):
    """What heads with a sync score share."""

    embedding: int = Field(default=32, ge=2, description="channels in which the streams meet; few hold no speaker")
    window_s: float = Field(default=0.6, ge=0.1, le=3, description="what a frame's logit looks at, seconds")


class SyncHeadConfig(SyncConfig):
    """A two-stream sync network with a level gate."""

    type: Literal["sync"] = "sync"

    def build(self, voice_channels: int, echo_channels: int) -> "SyncHead":
        """Make the head for streams of these widths."""
        return SyncHead(self, voice_channels, echo_channels)


class SyncJudge(nn.Module):
    """Sync score and trust of two streams as logits of utterances and frames."""

    def __init__(self, config: SyncConfig) -> None:
        super().__init__()
        self.trust = nn.Conv1d(2 * config.channels, 1, 1)
        self.score = SyncScore(config.channels, config.embedding, odd_window(config.window_s))
        self.judge = nn.Linear(2, 1)
        self.judge_utterance = nn.Linear(3, 1)
        for layer in (self.judge, self.judge_utterance):
            nn.init.constant_(layer.weight, 0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, voice: Tensor, echo: Tensor, mask: Tensor | None) -> Liveness:
        """Judge encoded streams ``(batch, channels, frames)``, not centred."""
        trust = mask_channels_first(self.trust(torch.cat([voice, echo], dim=1)).sigmoid(), mask)
        scores = self.score(centred(voice, mask), centred(echo, mask), trust, mask)
        frames = mask_channels_first(self.judge(scores.frames).transpose(1, 2), mask)[:, 0]
        weights = trust[:, 0] / trust.sum(dim=2).clamp(min=1e-6)
        mean = (frames * weights).sum(dim=1, keepdim=True)
        utterance = self.judge_utterance(torch.cat([scores.utterance, mean], dim=1))[:, 0]
        return Liveness(utterance, frames, weights)


class SyncHead(Head):
    """Two encoded streams, their sync score at zero lag against all others, and a gate that vetoes where nothing moves.

    Two sources of failure outside the training set are kept out by construction: the streams meet in a few channels
    only, too few to remember a speaker or a device in, and an utterance is compared with itself out of time.
    """

    def __init__(self, config: SyncConfig, voice_channels: int, echo_channels: int) -> None:
        super().__init__()
        width = config.channels
        self.voice = StreamEncoder(voice_channels, width, config.dilations, config.dropout)
        self.echo = StreamEncoder(echo_channels, width, config.dilations, config.dropout)
        self.sync = SyncJudge(config)
        self.gate = LevelGate(width, odd_window(config.window_s))

    def compare(self, voice: Tensor, echo: Tensor, mask: Tensor | None = None) -> Liveness:
        """Judge two encoded streams ``(batch, channels, frames)``, so that one encoding serves many pairings."""
        answer = self.sync(voice, echo, mask)
        utterance, frames = self.gate(echo, mask)
        return gated(answer, utterance, frames, mask)


def gated(answer: Liveness, utterance: Tensor, frames: Tensor, mask: Tensor | None) -> Liveness:
    """Let gate logits of utterances ``(batch,)`` and frames ``(batch, frames)`` veto an answer."""
    vetoed = veto(answer.frames, frames)
    kept = vetoed if mask is None else vetoed.masked_fill(~mask, 0.0)
    return Liveness(veto(answer.utterance, utterance), kept, answer.weights, utterance)
