"""The x-vector speaker trunk.

Source: Snyder et al. 2018, "X-vectors: robust DNN embeddings for speaker recognition", table 1.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from vivavoce.models.layers.pooling import StatisticsPooling
from vivavoce.models.layers.tdnn import Tdnn


class XVectorConfig(BaseModel):
    """Size of an x-vector trunk."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["xvector"] = "xvector"
    channels: int = Field(default=512, ge=8, description="channels of the frame-level layers")
    pooled_channels: int = Field(default=1500, ge=8, description="channels of the last frame-level layer")
    embedding_dim: int = Field(default=512, ge=2)

    def build(self, mels: int) -> "XVector":
        """Make the trunk for log-mel frames of ``mels`` bins."""
        return XVector(self, mels)


class XVector(nn.Module):
    """Five TDNN layers, statistics pooling, one affine layer to the embedding."""

    def __init__(self, config: XVectorConfig, mels: int) -> None:
        super().__init__()
        width = config.channels
        self.stem = Tdnn(mels, width, 5)
        self.blocks = nn.ModuleList(
            [
                Tdnn(width, width, 3, dilation=2),
                Tdnn(width, width, 3, dilation=3),
                Tdnn(width, width, 1),
                Tdnn(width, config.pooled_channels, 1),
            ]
        )
        self.pooling = StatisticsPooling()
        self.embedding = nn.Linear(2 * config.pooled_channels, config.embedding_dim)
        self.stem_channels = width
        self.embedding_dim = config.embedding_dim

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Embed log-mel frames ``(batch, mels, frames)``: ``(batch, embedding_dim)``."""
        x = self.stem(x, mask)
        for block in self.blocks:
            x = block(x, mask)
        return self.embedding(self.pooling(x, mask))
