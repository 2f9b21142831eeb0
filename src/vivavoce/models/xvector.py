"""The x-vector speaker trunk, and the variants of it that other toolkits train.

Source: Snyder et al. 2018, "X-vectors: robust DNN embeddings for speaker recognition", table 1.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vivavoce.models.layers.padding import Padding
from vivavoce.models.layers.pooling import Deviation, StatisticsPooling
from vivavoce.models.layers.tdnn import Rectifier, Tdnn

Preset = Literal["default", "kaldi", "speechbrain", "wespeaker", "3dspeaker"]
FRAMES_SEEN = 15  # by one frame that enters the pooling: 7 on either side; a deviation takes two of them
_UNPADDED = {"padding": "none", "rectifier": "relu", "affine": False}
# What differs from the default in the networks of Kaldi (egs/voxceleb/v2), SpeechBrain (lobes/models/Xvector.py),
# WeSpeaker (models/tdnn.py) and 3D-Speaker (models/xvector/TDNN.py).
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "kaldi": {**_UNPADDED, "std": "floored", "segment_layers": 1},
    "speechbrain": {
        **{"padding": "reflect", "rectifier": "leaky_relu", "affine": True},
        **{"std": "unbiased_offset", "segment_layers": 1},
    },
    "wespeaker": {**_UNPADDED, "std": "unbiased", "segment_layers": 2},
    "3dspeaker": {**_UNPADDED, "std": "unbiased", "segment_layers": 1},
}


class XVectorConfig(BaseModel):
    """Size and variant of an x-vector trunk."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["xvector"] = "xvector"
    channels: int = Field(default=512, ge=8, description="channels of the frame-level layers")
    pooled_channels: int = Field(default=1500, ge=8, description="channels of the last frame-level layer")
    embedding_dim: int = Field(default=512, ge=2)
    padding: Padding = Field(
        default="zero", description="beyond the ends: zero, reflect (the utterance mirrored) or none (frames fall away)"
    )
    rectifier: Rectifier = Field(default="relu", description="relu, or leaky_relu with a slope of 0.01")
    affine: bool = Field(default=True, description="batch norm with a learnt scale and shift")
    std: Deviation = Field(
        default="floored",
        description="deviation in the pooling: floored √max(σ², 1e-7), unbiased √(s² + 1e-7), "
        "unbiased_offset s + 1e-5 with s² = σ²·n/(n-1)",
    )
    segment_layers: Literal[1, 2] = Field(
        default=1, description="affine layers behind the pooling; the last one's output is the embedding"
    )

    @classmethod
    def preset(cls, name: Preset, **sizes: int) -> "XVectorConfig":
        """Return the variant of a toolkit, of these sizes."""
        return cls.model_validate({**PRESETS[name], **sizes})

    def build(self, mels: int) -> "XVector":
        """Make the trunk for log-mel frames of ``mels`` bins."""
        return XVector(self, mels)


class SegmentLayer(nn.Module):
    """Affine → ReLU → batch norm on vectors ``(batch, channels)``."""

    def __init__(self, channels_in: int, channels_out: int, affine: bool) -> None:
        super().__init__()
        self.affine = nn.Linear(channels_in, channels_out)
        self.norm = nn.BatchNorm1d(channels_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels_in)`` to ``(batch, channels_out)``."""
        return self.norm(self.affine(x).relu())


class XVector(nn.Module):
    """Five TDNN layers, statistics pooling, one or two affine layers to the embedding.

    The stem gives a frame for every frame whatever the padding, since the liveness head reads it on the echo's grid:
    of an unpadded trunk it sees zeros beyond the ends, and those of its frames never reach the layers behind it.
    """

    def __init__(self, config: XVectorConfig, mels: int) -> None:
        super().__init__()
        width, pooled = config.channels, config.pooled_channels
        self.config = config
        options = config.rectifier, config.affine
        self.stem = Tdnn(mels, width, 5, 1, "zero" if config.padding == "none" else config.padding, *options)
        self.blocks = nn.ModuleList(
            [
                Tdnn(width, width, 3, 2, config.padding, *options),
                Tdnn(width, width, 3, 3, config.padding, *options),
                Tdnn(width, width, 1, 1, config.padding, *options),
                Tdnn(width, pooled, 1, 1, config.padding, *options),
            ]
        )
        self.pooling = StatisticsPooling(config.std)
        hidden = config.embedding_dim if config.segment_layers == 2 else 2 * pooled
        self.segment = SegmentLayer(2 * pooled, hidden, config.affine) if config.segment_layers == 2 else nn.Identity()
        self.embedding = nn.Linear(hidden, config.embedding_dim)
        self.stem_channels = width
        self.embedding_dim = config.embedding_dim

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embed log-mel frames ``(batch, mels, frames)``: ``(batch, embedding_dim)``.

        Raises:
            ValueError: an unpadded trunk was given fewer frames than it looks at.
        """
        x = self.stem(x, mask)
        if self.config.padding == "none":
            self._check_frames(x.shape[2])
            x, mask = _cut(x, mask, self.stem.context)
        for block in self.blocks:
            x = block(x, mask)
            if self.config.padding == "none" and mask is not None:
                mask = mask[:, mask.shape[1] - x.shape[2] :]
        return self.embedding(self.segment(self.pooling(x, mask)))

    def _check_frames(self, frames: int) -> None:
        if frames < FRAMES_SEEN + 1:
            raise ValueError(
                f"{frames} frames are too few for an x-vector trunk without padding, which needs {FRAMES_SEEN + 1}"
            )


def _cut(x: Tensor, mask: Tensor | None, context: int) -> tuple[Tensor, Tensor | None]:
    """Take ``context`` frames off either end of each utterance."""
    return x[:, :, context : x.shape[2] - context], None if mask is None else mask[:, 2 * context :]
