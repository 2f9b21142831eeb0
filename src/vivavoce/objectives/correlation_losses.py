"""The forms that the correlation task's loss can take, each for one logit with one label in 0…1.

All are computed in float32 whatever the logits' type, leave the balance of the classes to their caller, and take
smoothed labels.
"""

from abc import ABC, abstractmethod
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

# Between these bounds the two logits grow with the score; beyond, the loss would only sharpen what is settled.
SCALES = (0.05, 20.0)


class BinaryLoss(nn.Module, ABC):
    """A loss of one logit and its label."""

    @abstractmethod
    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of each logit with its label in 0…1, all three of any one shape."""


class BceConfig(BaseModel):
    """Binary cross-entropy with logits."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["bce"] = "bce"

    def build(self) -> "BceLoss":
        """Make the loss."""
        return BceLoss()


class TwoLogitConfig(BaseModel):
    """Cross-entropy of two logits that are affine in the score."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["two_logit"] = "two_logit"

    def build(self) -> "TwoLogitLoss":
        """Make the loss."""
        return TwoLogitLoss()


class MseConfig(BaseModel):
    """Squared error of the sigmoid."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["mse"] = "mse"

    def build(self) -> "MseLoss":
        """Make the loss."""
        return MseLoss()


class FocalConfig(BaseModel):
    """Focal loss."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["focal"] = "focal"
    gamma: float = Field(default=2.0, ge=0, le=10, description="how far easy examples are discounted; 0: not at all")
    alpha: float | None = Field(
        default=None, gt=0, lt=1, description="weight of the live class, 1 - alpha that of attacks; null: both 1"
    )

    def build(self) -> "FocalLoss":
        """Make the loss."""
        return FocalLoss(self)


LossConfig = Annotated[BceConfig | TwoLogitConfig | MseConfig | FocalConfig, Field(discriminator="type")]


class BceLoss(BinaryLoss):
    """Binary cross-entropy with logits: -q log σ(z) - (1 - q) log σ(-z).

    Source: Good 1952, "Rational decisions" (the logarithmic score).
    """

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of each logit."""
        return functional.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none")


class TwoLogitLoss(BinaryLoss):
    """Softmax cross-entropy of the logits (attack, live) = (-a·z + b, c·z + d) of a score z.

    Begins as a = c = 1/2 and b = d = 0, where it is exactly `BceLoss`, and learns all four: the score need not have the
    scale of a logit. a and c are exponentials, so that a higher score always speaks for live. The layer is no part of
    the model and stays behind when training ends; where the score's threshold lies, calibration then finds.

    Source: Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs".
    """

    def __init__(self) -> None:
        super().__init__()
        # Logarithms of 2a and 2c, so that weight decay draws towards the plain cross-entropy.
        self.log_scale = nn.Parameter(torch.zeros(2))
        self.offset = nn.Parameter(torch.zeros(2))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of each score."""
        attack, live = 0.5 * self.log_scale.exp().clamp(*SCALES)
        score, labels = logits.float(), labels.float()
        # The two logits enter a softmax, so that their difference is all that counts.
        odds = (live + attack) * score + self.offset[1] - self.offset[0]
        return functional.binary_cross_entropy_with_logits(odds, labels, reduction="none")


class MseLoss(BinaryLoss):
    """Squared error of the probability: (q - σ(z))².

    Bounded, so that a wrong label costs no more than 1, but a wrong answer given for sure hardly teaches any more.
    Source: Brier 1950, "Verification of forecasts expressed in terms of probability".
    """

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of each logit."""
        return (logits.float().sigmoid() - labels.float()).square()


class FocalLoss(BinaryLoss):
    """Cross-entropy that discounts what is already right: -α (1 - p)^γ log p with p the probability of the label.

    A smoothed label counts both classes by their shares. The least loss then lies at a less sure logit than the
    smoothed label's own, since focal loss is no proper score; with γ = 0 it is at the label.
    Source: Lin et al. 2017, "Focal loss for dense object detection", eq. 5.
    """

    def __init__(self, config: FocalConfig) -> None:
        super().__init__()
        self.gamma = config.gamma
        self.alphas = (1.0, 1.0) if config.alpha is None else (config.alpha, 1 - config.alpha)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of each logit."""
        score, labels = logits.float(), labels.float()
        log_live, log_attack = functional.logsigmoid(score), functional.logsigmoid(-score)
        # Powers by their logarithms: the power of a probability that is rounded to 0 has no finite gradient.
        live = self.alphas[0] * (self.gamma * log_attack).exp() * -log_live
        attack = self.alphas[1] * (self.gamma * log_live).exp() * -log_attack
        return labels * live + (1 - labels) * attack
