"""The ECAPA-TDNN speaker trunk, and the variants of it that other toolkits train.

Source: Desplanques, Thienpondt & Demuynck 2020, "ECAPA-TDNN: emphasized channel attention, propagation and
aggregation in TDNN based speaker verification", figure 2.
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor, nn

from vivavoce.models.layers.attentive import AttentiveStatistics, Context, Scorer
from vivavoce.models.layers.frames_major import convolve, join, normalise
from vivavoce.models.layers.padding import Padding
from vivavoce.models.layers.pooling import VARIANCE_FLOOR
from vivavoce.models.layers.res2net import Identity, Res2Conv
from vivavoce.models.layers.squeeze_excitation import SqueezeExcitation
from vivavoce.models.layers.tdnn import Tdnn

Preset = Literal["default", "speechbrain", "wespeaker", "tao"]
# What differs from the default in the networks of SpeechBrain (lobes/models/ECAPA_TDNN.py; 3D-Speaker's is the same),
# WeSpeaker (models/ecapa_tdnn.py, with global context) and TaoRuijie (model.py).
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "speechbrain": {"padding": "reflect", "variance_floor": 1e-12},
    "wespeaker": {"identity": "last", "scorer": "tanh", "context": "unbiased", "aggregate_norm": False},
    "tao": {
        **{"identity": "last", "block_inputs": "summed", "attention": 256, "embedding_norm": True},
        **{"context": "unbiased_floored", "variance_floor": 1e-4, "aggregate_norm": False},
    },
}


class EcapaConfig(BaseModel):
    """Size and variant of an ECAPA-TDNN trunk."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["ecapa"] = "ecapa"
    channels: int = Field(default=512, ge=8, multiple_of=8, description="channels of the SE-Res2 blocks")
    pooled_channels: int = Field(default=1536, ge=8, description="channels that enter the pooling")
    bottleneck: int = Field(default=128, ge=4, description="width of the squeeze, and of the attention if not given")
    dilations: tuple[PositiveInt, ...] = Field(default=(2, 3, 4), min_length=1)
    scale: int = Field(default=8, ge=2)
    embedding_dim: int = Field(default=192, ge=2)
    padding: Literal["zero", "reflect"] = Field(
        default="zero", description="beyond an utterance's ends: zero, or reflect (the utterance mirrored)"
    )
    identity: Identity = Field(default="first", description="chunk that a Res2 convolution passes on as it is")
    block_inputs: Literal["sequential", "summed"] = Field(
        default="sequential", description="a block reads the output before it, or the sum of all outputs before it"
    )
    aggregate_norm: bool = Field(default=True, description="batch norm between aggregation and pooling")
    attention: int | None = Field(default=None, ge=4, description="width of the attention; null: bottleneck")
    scorer: Scorer = Field(default="norm", description="inside the attention: norm (ReLU, batch norm, tanh) or tanh")
    context: Context = Field(
        default="floored",
        description="deviation of the whole utterance that the attention is told, with the mean: floored √max(σ², f), "
        "unbiased_floored √max(s², f), unbiased √(s² + f) with s² = σ²·n/(n-1), f = variance_floor; none: neither",
    )
    variance_floor: float = Field(default=VARIANCE_FLOOR, gt=0, description="least variance under a square root")
    embedding_norm: bool = Field(default=False, description="batch norm on the embedding")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.channels % self.scale:
            raise ValueError(f"channels ({self.channels}) must be a multiple of scale ({self.scale})")
        # One network has one config, so that configs can be compared.
        self.attention = None if self.attention == self.bottleneck else self.attention
        return self

    @classmethod
    def preset(cls, name: Preset, **sizes: Any) -> "EcapaConfig":
        """Return the variant of a toolkit, of these sizes."""
        return cls.model_validate({**PRESETS[name], **sizes})

    def build(self, mels: int) -> "EcapaTdnn":
        """Make the trunk for log-mel frames of ``mels`` bins."""
        return EcapaTdnn(self, mels)


class SeRes2Block(nn.Module):
    """1×1 TDNN → Res2 convolution → 1×1 TDNN → squeeze and excitation, with a residual connection."""

    def __init__(
        self,
        channels: int,
        dilation: int,
        scale: int,
        bottleneck: int,
        identity: Identity = "first",
        padding: Padding = "zero",
    ) -> None:
        super().__init__()
        self.expand = Tdnn(channels, channels, 1)
        self.res2 = Res2Conv(channels, 3, dilation, scale, identity, padding)
        self.project = Tdnn(channels, channels, 1)
        self.gate = SqueezeExcitation(channels, bottleneck)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``(batch, channels, frames)`` to the same shape."""
        return x + self.gate(self.project(self.res2(self.expand(x, mask), mask), mask), mask)


class EcapaTdnn(nn.Module):
    """Stem, SE-Res2 blocks, multi-layer aggregation, attentive statistics, affine embedding."""

    def __init__(self, config: EcapaConfig, mels: int) -> None:
        super().__init__()
        width, pooled = config.channels, config.pooled_channels
        self.stem = Tdnn(mels, width, 5, padding=config.padding)
        self.blocks = nn.ModuleList(
            SeRes2Block(width, dilation, config.scale, config.bottleneck, config.identity, config.padding)
            for dilation in config.dilations
        )
        self.summed = config.block_inputs == "summed"
        self.aggregate = nn.Conv1d(width * len(config.dilations), pooled, 1)
        self.aggregate_norm = nn.BatchNorm1d(pooled) if config.aggregate_norm else nn.Identity()
        self.pooling = AttentiveStatistics(
            pooled, config.attention or config.bottleneck, config.scorer, config.context, config.variance_floor
        )
        self.pooled_norm = nn.BatchNorm1d(2 * pooled)
        self.embedding = nn.Linear(2 * pooled, config.embedding_dim)
        self.embedding_norm = nn.BatchNorm1d(config.embedding_dim) if config.embedding_norm else nn.Identity()
        self.stem_channels = width
        self.embedding_dim = config.embedding_dim

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embed log-mel frames ``(batch, mels, frames)``: ``(batch, embedding_dim)``."""
        x = self.stem(x, mask)
        outputs = []
        for block in self.blocks:
            outputs.append(block(x, mask))
            x = x + outputs[-1] if self.summed else outputs[-1]
        x = normalise(self.aggregate_norm, convolve(self.aggregate, join(outputs)).relu())
        return self.embedding_norm(self.embedding(self.pooled_norm(self.pooling(x, mask))))
