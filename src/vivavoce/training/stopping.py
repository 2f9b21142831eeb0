"""Which epoch was the best, and when there is no more to wait for."""

import math

from pydantic import BaseModel, ConfigDict, Field


class EarlyStoppingConfig(BaseModel):
    """Ends a run whose validation cost no longer falls (Prechelt 1998, "Early stopping - but when?", criterion UP)."""

    model_config = ConfigDict(extra="forbid")

    patience: int = Field(default=10, ge=1, description="epochs without a gain that are waited for")
    min_gain: float = Field(default=0.0, ge=0, description="by how much the cost must fall to count as a gain")


class Best:
    """The best epoch so far by a cost of which less is better."""

    def __init__(self, stopping: EarlyStoppingConfig | None) -> None:
        self.stopping = stopping
        self.epoch = 0
        self.cost = math.inf
        self.last_gain = 0  # epoch
        self.reference = math.inf  # cost that the next gain is measured from

    def see(self, epoch: int, cost: float) -> bool:
        """Take the cost of an epoch; returns whether it is the best. Of equal ones the later is, having seen more."""
        if cost < self.reference - (self.stopping.min_gain if self.stopping else 0.0):
            self.reference, self.last_gain = cost, epoch
        if cost > self.cost:
            return False
        self.cost, self.epoch = cost, epoch
        return True

    def enough(self, epoch: int) -> bool:
        """Whether early stopping has waited long enough at the end of ``epoch``."""
        return self.stopping is not None and epoch - self.last_gain >= self.stopping.patience

    def state_dict(self) -> dict[str, float]:
        """All that the decisions rest on."""
        return {name: vars(self)[name] for name in ("epoch", "cost", "last_gain", "reference")}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from a saved state."""
        for name, value in state.items():
            setattr(self, name, value)
