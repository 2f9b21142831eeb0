"""The joint model: one voice trunk for the speaker, one head for liveness."""

from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from vivavoce.models.ecapa_tdnn import EcapaConfig
from vivavoce.models.layers.masking import frame_mask
from vivavoce.models.layers.pooling import masked_mean
from vivavoce.models.liveness_head import LinearHeadConfig, Liveness, LstmHeadConfig
from vivavoce.models.xvector import XVectorConfig
from vivavoce.signal.normalize import GlobalStats

NAMED: dict[str, dict[str, Any]] = {
    "xvector-linear": {"trunk": {"type": "xvector"}, "head": {"type": "linear"}},
    "xvector-lstm": {"trunk": {"type": "xvector"}, "head": {"type": "lstm"}},
    "ecapa-lstm": {"trunk": {"type": "ecapa"}, "head": {"type": "lstm"}},
}


class ModelConfig(BaseModel):
    """A named model; any key of its trunk or head may be overridden."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="ecapa-lstm", description="one of " + ", ".join(NAMED))
    trunk: Annotated[XVectorConfig | EcapaConfig, Field(discriminator="type")]
    head: Annotated[LinearHeadConfig | LstmHeadConfig, Field(discriminator="type")]

    @model_validator(mode="before")
    @classmethod
    def _fill_from_name(cls, data: Any) -> Any:
        """Take what is not given from the named model."""
        if not isinstance(data, dict):
            return data
        name = data.get("name", "ecapa-lstm")
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

    def build(self, mels: int, echo_channels: int) -> "JointModel":
        """Make the model for features of these widths."""
        return JointModel(self, mels, echo_channels)


class JointModel(nn.Module):
    """Voice trunk → speaker embedding; the trunk's stem + echo → liveness.

    The liveness head reads the trunk's stem (local frames of 50 ms), since everything behind it mixes in the whole
    utterance and so loses when a thing was said.
    """

    def __init__(self, config: ModelConfig, mels: int, echo_channels: int) -> None:
        super().__init__()
        self.config = config
        self.trunk = config.trunk.build(mels)
        self.head = config.head.build(self.trunk.stem_channels, echo_channels)
        self.echo_stats = GlobalStats(echo_channels)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.echo_stats.mean.device

    def embed(self, voice: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Speaker embeddings of unit length.

        Args:
            voice: log-mel frames ``(batch, frames, mels)``.
            lengths: frames of each utterance ``(batch,)``; ``None`` where none is padded.

        Returns:
            ``(batch, embedding_dim)``.
        """
        mask = None if lengths is None else frame_mask(lengths, voice.shape[1])
        return functional.normalize(self.trunk(centre(voice, mask), mask).float(), dim=1)

    def liveness(self, voice: Tensor, echo: Tensor, lengths: Tensor | None = None) -> Liveness:
        """Liveness logits of voice ``(batch, frames, mels)`` with echo ``(batch, frames, channels)``."""
        mask = None if lengths is None else frame_mask(lengths, voice.shape[1])
        return self.head(self.stem(voice, mask), self.standardise(echo), mask)

    def stem(self, voice: Tensor, mask: Tensor | None) -> Tensor:
        """Local voice frames for the head, ``(batch, stem_channels, frames)``."""
        return self.trunk.stem(centre(voice, mask), mask)

    def standardise(self, echo: Tensor) -> Tensor:
        """Echo features in units of the training set's spread, ``(batch, channels, frames)``."""
        return self.echo_stats(echo).transpose(1, 2)

    def fit_echo(self, recordings: Iterable[Tensor]) -> None:
        """Take the echo statistics from training recordings ``(frames, channels)``; they are saved with the weights."""
        for echo in recordings:
            self.echo_stats.update(echo[None], torch.tensor([len(echo)]))


def centre(voice: Tensor, mask: Tensor | None) -> Tensor:
    """Take each utterance's own mean off (channel removal) and put channels first: ``(batch, mels, frames)``."""
    x = voice.transpose(1, 2)
    return x - masked_mean(x, mask)[:, :, None]
