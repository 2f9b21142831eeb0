"""Uncertainty weighting: each task's weight is learnt as the inverse of a noise variance."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from vivavoce.objectives.multitask.base import Multitask, Terms

# Weights stay between e^-4 and e^4, 0.018 and 55.
BOUND = 4.0


class UncertaintyConfig(BaseModel):
    """Weights learnt as homoscedastic uncertainties."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["uncertainty"] = "uncertainty"

    def build(self) -> "UncertaintyWeighting":
        """Make the joint loss."""
        return UncertaintyWeighting()


class UncertaintyWeighting(Multitask):
    """Σ l·e^-s + s/2 with a learnt log variance s = log σ² for each task, 0 at first: the plain sum.

    Source: Kendall, Gal & Cipolla 2018, "Multi-task learning using uncertainty to weigh losses for scene geometry and
    semantics", eq. 10, where both tasks are classifications. With the losses given, the best variance is 2·l, so that
    the weighted losses come to 1/2 each. The variances are bounded by a hyperbolic tangent: a clamp would hold one that
    has reached its bound. They learn from the losses as they are, so that they do not undo a change of focus.
    """

    def __init__(self) -> None:
        super().__init__()
        self.free = nn.Parameter(torch.zeros(2))

    @property
    def log_variances(self) -> Tensor:
        """Bounded log variances of the speaker and the correlation task, ``(2,)``."""
        return BOUND * torch.tanh(self.free / BOUND)

    def terms(self, speaker: Tensor, correlation: Tensor, progress: float, shared: Sequence[nn.Parameter]) -> Terms:
        """The weighted losses with fixed weights, and what the variances learn from, which adds half their sum."""
        log_variances = self.log_variances
        weights = (-log_variances).exp()
        weighted = weights * torch.stack([speaker, correlation]).detach()
        learnt = (weighted - weighted.detach() + 0.5 * log_variances).sum()
        fixed = weights.detach()
        return Terms(fixed[0] * speaker, fixed[1] * correlation, learnt)
