"""Losses of the speaker task: classification of the training speakers, or comparison within a batch.

All are called as ``loss(embeddings, speakers, margin_share)``; those without a margin have nothing to share.
"""

from typing import Annotated

from pydantic import Field

from vivavoce.objectives.speaker.aam import AamSoftmaxConfig, AamSoftmaxLoss
from vivavoce.objectives.speaker.am import AmSoftmaxConfig, AmSoftmaxLoss
from vivavoce.objectives.speaker.ge2e import Ge2eConfig, Ge2eLoss
from vivavoce.objectives.speaker.prototypical import PrototypicalConfig, PrototypicalLoss
from vivavoce.objectives.speaker.softmax import SoftmaxConfig, SoftmaxLoss
from vivavoce.objectives.speaker.subcentre import SubcentreAamConfig, SubcentreAamLoss

__all__ = [
    "AamSoftmaxConfig",
    "AamSoftmaxLoss",
    "AmSoftmaxConfig",
    "AmSoftmaxLoss",
    "Ge2eConfig",
    "Ge2eLoss",
    "PrototypicalConfig",
    "PrototypicalLoss",
    "SoftmaxConfig",
    "SoftmaxLoss",
    "SpeakerLossConfig",
    "SubcentreAamConfig",
    "SubcentreAamLoss",
]

SpeakerLossConfig = Annotated[
    AamSoftmaxConfig | AmSoftmaxConfig | SubcentreAamConfig | SoftmaxConfig | Ge2eConfig | PrototypicalConfig,
    Field(discriminator="type"),
]
