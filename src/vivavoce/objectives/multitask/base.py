"""What all forms of a joint loss share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

TASKS = ("speaker", "correlation")
# What the weight of the other task is multiplied with by `Multitask.focus`.
OUT_OF_FOCUS = 0.3


class Terms(NamedTuple):
    """What each task adds to the total, and what the form adds so that it may learn itself (None: nothing)."""

    speaker: Tensor
    correlation: Tensor
    own: Tensor | None = None


class Multitask(nn.Module, ABC):
    """Joins the losses of the two tasks."""

    in_focus: Tensor
    # Whether the value of the total changes with the weights as its gradient says.
    follows_gradient = True

    def __init__(self) -> None:
        super().__init__()
        # A buffer, so that a resumed run keeps it.
        self.register_buffer("in_focus", torch.ones(len(TASKS)))

    def forward(self, speaker: Tensor, correlation: Tensor, progress: float, shared: Sequence[nn.Parameter]) -> Tensor:
        """Total loss, to call ``backward`` on.

        Args:
            speaker: loss of the speaker task.
            correlation: loss of the correlation task.
            progress: share of the run that is over, 0…1.
            shared: parameters that both losses depend on.
        """
        terms = self.terms(speaker.float(), correlation.float(), progress, shared)
        total = self.in_focus[0] * terms.speaker + self.in_focus[1] * terms.correlation
        return total if terms.own is None else total + terms.own

    def focus(self, task: Literal["speaker", "correlation"]) -> None:
        """From now on the other task counts for less by a fixed factor, on top of what the form gives it."""
        for place, name in enumerate(TASKS):
            self.in_focus[place] = 1.0 if name == task else OUT_OF_FOCUS

    @abstractmethod
    def terms(self, speaker: Tensor, correlation: Tensor, progress: float, shared: Sequence[nn.Parameter]) -> Terms:
        """Weigh the two losses, as if both were in focus; arguments as in `forward`."""
