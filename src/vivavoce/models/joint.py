"""The joint model: one voice trunk for the speaker, one head for liveness."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from vivavoce.models.campplus import CamPlusPlusConfig
from vivavoce.models.ecapa_tdnn import EcapaConfig
from vivavoce.models.heads.attention import AttentionHeadConfig
from vivavoce.models.heads.base import Liveness
from vivavoce.models.heads.fitting import Pairs, Streams
from vivavoce.models.heads.fused import FusedHeadConfig
from vivavoce.models.heads.ridge import RidgeHead, RidgeHeadConfig
from vivavoce.models.heads.sync import SyncHeadConfig
from vivavoce.models.layers.masking import frame_mask
from vivavoce.models.liveness_head import LinearHeadConfig, LstmHeadConfig
from vivavoce.models.xvector import XVectorConfig
from vivavoce.signal.normalize import (
    GlobalStats,
    MinMaxNorm,
    NormConfig,
    UtteranceNormConfig,
    ZScoreNormConfig,
)

TRUNKS = {"xvector": XVectorConfig, "ecapa": EcapaConfig, "campplus": CamPlusPlusConfig}
HEADS = {
    "linear": LinearHeadConfig,
    "lstm": LstmHeadConfig,
    "ridge": RidgeHeadConfig,
    "sync": SyncHeadConfig,
    "attention": AttentionHeadConfig,
    "fused": FusedHeadConfig,
}
NAMED: dict[str, dict[str, Any]] = {
    f"{trunk}-{head}": {"trunk": {"type": trunk}, "head": {"type": head}} for trunk in TRUNKS for head in HEADS
}
# The best head of benchmarks/liveness.py by its validation split.
DEFAULT = "ecapa-fused"


class ModelConfig(BaseModel):
    """A named model; any key of its trunk or head may be overridden."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default=DEFAULT, description="one of " + ", ".join(NAMED))
    trunk: Annotated[XVectorConfig | EcapaConfig | CamPlusPlusConfig, Field(discriminator="type")]
    head: Annotated[
        LinearHeadConfig | LstmHeadConfig | RidgeHeadConfig | SyncHeadConfig | AttentionHeadConfig | FusedHeadConfig,
        Field(discriminator="type"),
    ]
    pretrained: Path | None = Field(
        default=None, description="trunk file of `vivavoce weights import` that a new run begins with"
    )
    voice_norm: NormConfig = Field(default=UtteranceNormConfig(), description="of the voice features")
    echo_norm: NormConfig = Field(default=ZScoreNormConfig(), description="of the echo features")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_name(cls, data: Any) -> Any:
        """Take what is not given from the named model."""
        if not isinstance(data, dict):
            return data
        name = data.get("name", DEFAULT)
        if name not in NAMED:
            raise ValueError(f"unknown model {name!r}; allowed: {', '.join(NAMED)}")
        filled = {**data, "name": name}
        for part, defaults in NAMED[name].items():
            given = data.get(part, {})
            if isinstance(given, BaseModel):
                given = given.model_dump()
            if given.get("type", defaults["type"]) != defaults["type"]:
                raise ValueError(f"the {part} of {name} is {defaults['type']!r}, not {given['type']!r}")
            filled[part] = {**defaults, **given}
        return filled

    def build(self, voice_channels: int, echo_channels: int) -> "JointModel":
        """Make the model for features of these widths."""
        return JointModel(self, voice_channels, echo_channels)


class JointModel(nn.Module):
    """Voice trunk → speaker embedding; the trunk's stem + echo → liveness.

    The liveness head reads the trunk's stem (local frames of 50 ms), since everything behind it mixes in the whole
    utterance and so loses when a thing was said.
    """

    def __init__(self, config: ModelConfig, voice_channels: int, echo_channels: int) -> None:
        super().__init__()
        self.config = config
        self.trunk = config.trunk.build(voice_channels)
        self.head = config.head.build(
            self.trunk.stem_channels if config.head.reads_stem else voice_channels, echo_channels
        )
        self.voice_stats = config.voice_norm.build(voice_channels)
        self.echo_stats = config.echo_norm.build(echo_channels)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def embed(self, voice: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Speaker embeddings of unit length.

        Args:
            voice: voice features ``(batch, frames, voice_channels)``.
            lengths: frames of each utterance ``(batch,)``; ``None`` where none is padded.

        Returns:
            ``(batch, embedding_dim)``.
        """
        mask = None if lengths is None else frame_mask(lengths, voice.shape[1])
        return functional.normalize(self.trunk(self._normalised(voice, mask), mask).float(), dim=1)

    def liveness(self, voice: Tensor, echo: Tensor, lengths: Tensor | None = None) -> Liveness:
        """Liveness logits of voice ``(batch, frames, voice_channels)`` with echo ``(batch, frames, echo_channels)``."""
        mask = None if lengths is None else frame_mask(lengths, voice.shape[1])
        return self.head(self.stem(voice, mask), self.standardise(echo, mask), mask)

    def stem(self, voice: Tensor, mask: Tensor | None) -> Tensor:
        """Local voice frames for the head, ``(batch, stem_channels, frames)``; as they are for one that is not trained.

        The stem goes on changing while the trunk is trained, and a head that was fitted beforehand would not follow.
        """
        normalised = self._normalised(voice, mask)
        return self.trunk.stem(normalised, mask) if self.config.head.reads_stem else normalised

    def standardise(self, echo: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalised echo features, ``(batch, echo_channels, frames)``; ``mask`` ``(batch, frames)`` as in `stem`."""
        return self.echo_stats(echo, mask).transpose(1, 2)

    def fit_statistics(self, recordings: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take the statistics that the normalisation needs from the training split; they are saved with the weights.

        Args:
            recordings: voice ``(frames, voice_channels)`` and echo ``(frames, echo_channels)`` of one recording after
                the other; nothing is kept of them, and none is asked for where no statistics are needed.
        """
        fitted = (GlobalStats, MinMaxNorm)
        if not isinstance(self.voice_stats, fitted) and not isinstance(self.echo_stats, fitted):
            return
        for features in recordings:
            for stats, part in zip((self.voice_stats, self.echo_stats), features, strict=True):
                if isinstance(stats, fitted):
                    stats.update(part[None], torch.tensor([len(part)], device=part.device))

    def fit_head(self, batches: Iterable[Pairs]) -> None:
        """Fit what of the head has a closed form, before the first epoch and after `fit_statistics`.

        Args:
            batches: crops of the training split; none is asked for unless ``head.needs_fit``.

        Raises:
            ValueError: there is no live recording among them.
        """
        if isinstance(self.head, RidgeHead):
            self.head.fit(self._streams(batch) for batch in batches)

    def _streams(self, batch: Pairs) -> Streams:
        """What the head reads of a batch, on the model's device."""
        frames, device = batch.voice.shape[1], self.device
        lengths = (batch.voice_lengths, batch.echo_lengths, batch.lengths)
        voice_mask, echo_mask, mask = (frame_mask(length.to(device), frames) for length in lengths)
        voice, echo, *pairs = (
            part.to(device) for part in (batch.voice, batch.echo, batch.voice_of, batch.echo_of, batch.live)
        )
        streams = self.stem(voice, voice_mask), self.standardise(echo, echo_mask)
        return Streams(*streams, voice_mask, echo_mask, pairs[0], pairs[1], mask, pairs[2])

    @property
    def out_of_range(self) -> dict[str, float]:
        """Share of the values outside the range of min-max normalisation since `reset_out_of_range`, by stream."""
        return {name: stats.out_of_range for name, stats in self._ranged()}

    def reset_out_of_range(self) -> None:
        """Count values outside the range anew."""
        for _, stats in self._ranged():
            stats.reset()

    def _ranged(self) -> list[tuple[str, MinMaxNorm]]:
        streams = (("voice", self.voice_stats), ("echo", self.echo_stats))
        return [(name, stats) for name, stats in streams if isinstance(stats, MinMaxNorm)]

    def _normalised(self, voice: Tensor, mask: Tensor | None) -> Tensor:
        """Normalised voice features, channels first: ``(batch, voice_channels, frames)``."""
        return self.voice_stats(voice, mask).transpose(1, 2)
