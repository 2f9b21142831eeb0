"""What all liveness heads share: their answer, the two streams they read, and how frames become an utterance."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn

from vivavoce.models.layers.masking import mask_channels_first
from vivavoce.models.layers.pooling import masked_mean
from vivavoce.models.layers.stream import stream_mask


class Liveness(NamedTuple):
    """Logits of the correlation task; positive speaks for a living mouth.

    A frame's logit says whether voice and echo belong together *around* that frame (half a second either side or so,
    as far as the head sees), so that its sign over time shows which part of a recording was replaced; see
    :mod:`vivavoce.evaluation.localise`. The logits of padded frames are zero.
    """

    utterance: Tensor  # (batch,)
    frames: Tensor  # (batch, ceil(frames / 2)), one each 20 ms
    weights: Tensor  # (batch, ceil(frames / 2)), sum to one: what each frame counts for in the utterance
    moves: Tensor | None = None  # (batch,) of the level gate: does anything move in the echo? None: there is no gate


class StreamsConfig(BaseModel):
    """What the trained heads share: the two streams."""

    model_config = ConfigDict(extra="forbid")
    reads_stem: ClassVar[bool] = True

    channels: int = Field(default=64, ge=4, multiple_of=4, description="width of each stream")
    dilations: tuple[PositiveInt, ...] = Field(
        default=(1, 2, 4), description="dilations of each stream's blocks, 20 ms frames"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1)


class Head(nn.Module, ABC):
    """A liveness head: it encodes each stream by itself, as ``voice`` and ``echo``, and then compares the two."""

    needs_fit: ClassVar[bool] = False  # it is solved in closed form before training; see `JointModel.fit_head`
    voice: nn.Module
    echo: nn.Module

    def forward(self, voice: Tensor, echo: Tensor, mask: Tensor | None = None) -> Liveness:
        """Judge voice frames ``(batch, voice_channels, frames)`` with echo frames ``(batch, echo_channels, frames)``.

        ``mask`` ``(batch, frames)`` marks the utterances' own frames.
        """
        return self.compare(self.voice(voice, mask), self.echo(echo, mask), stream_mask(mask))

    @abstractmethod
    def compare(self, voice: Tensor, echo: Tensor, mask: Tensor | None = None) -> Liveness:
        """Judge two encoded streams ``(batch, channels, frames)``, so that one encoding serves many pairings."""


def centred(stream: Tensor, mask: Tensor | None) -> Tensor:
    """Take each channel's mean over the utterance off ``(batch, channels, frames)``; padded frames become zero.

    What stays the same through an utterance (phone, room, noise) says nothing about what moves when, but would tell
    that a voice and an echo come from two recordings: a shortcut that no real attack offers.
    """
    return mask_channels_first(stream - masked_mean(stream, mask)[:, :, None], mask)


def pooled(logits: Tensor, attention: Tensor, mask: Tensor | None) -> Liveness:
    """Weigh the frames' logits ``(batch, frames)`` with the softmax of their attention ``(batch, frames)``."""
    if mask is not None:
        attention = attention.masked_fill(~mask, float("-inf"))
        logits = logits.masked_fill(~mask, 0.0)
    weights = attention.softmax(dim=1)
    return Liveness((logits * weights).sum(dim=1), logits, weights)
