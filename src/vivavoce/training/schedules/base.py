"""The learning rate of a run, set after each step: warm-up, then the factor that a PyTorch scheduler gives."""

import math
from abc import abstractmethod
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from vivavoce.errors import UserError


def stand_in() -> Optimizer:
    """Make an optimiser of nothing with the rate 1, on which a PyTorch scheduler shows its factor."""
    return torch.optim.SGD([torch.zeros(1)], lr=1.0)


class Schedule:
    """Sets the rate of every parameter group: its ``initial_lr`` times `factor`.

    PyTorch's scheduler runs on a stand-in with the rate 1, not on the optimiser itself, since there
    its recurrences take whatever else changes a rate for their own last value; `OneCycleLR` overwrites the groups'
    own rates; `SequentialLR`, which would put warm-up in front, sets wrong first rates (pytorch issues 67586, 72874,
    185872) and cannot hold `ReduceLROnPlateau` (68978).
    """

    def __init__(
        self, config: "WarmUpConfig", optimiser: Optimizer, total_steps: int, steps_per_epoch: int, warmup: int
    ) -> None:
        """Set the rate of step 0.

        Args:
            config: says which step of the stand-in's scheduler belongs to which step of the run.
            optimiser: each group's ``initial_lr`` is its rate at factor 1; where it is missing, its ``lr`` is.
            total_steps: of the run; beyond them the last rate stays.
            steps_per_epoch: of the run.
            warmup: first steps, in which the rate rises linearly.
        """
        self._config = config
        self._optimiser = optimiser
        self._last = max(0, total_steps - 1)
        self._epoch_steps = steps_per_epoch
        self._warmup = warmup
        self._meter = stand_in()
        self._scheduler = config.scheduler(self._meter, max(1, total_steps - warmup), total_steps, steps_per_epoch)
        self._meter.step()  # PyTorch warns where a scheduler steps before its optimiser ever has
        self._step = self._at = 0
        self._lowered = 1.0
        for group in optimiser.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))
        self._set_rates()

    @property
    def factor(self) -> float:
        """By what the base rate is multiplied in the coming step."""
        ramp = (self._step + 1) / self._warmup if self._step < self._warmup else 1.0
        return ramp * float(self._meter.param_groups[0]["lr"]) * self._lowered

    def step(self) -> None:
        """Set the rates of the next step; call after each step of the optimiser."""
        self._step += 1
        if self._scheduler is not None and not isinstance(self._scheduler, ReduceLROnPlateau):
            wanted = self._config.position(min(self._step, self._last), self._warmup, self._epoch_steps)
            while self._at < wanted:
                self._scheduler.step()
                self._at += 1
        self._set_rates()

    def end_epoch(self, cost: float) -> None:
        """Take the validation cost of an epoch, lower is better; only a plateau's schedule listens, after warm-up."""
        if isinstance(self._scheduler, ReduceLROnPlateau) and self._step >= self._warmup:
            self._scheduler.step(cost)
            self._set_rates()

    def lower(self, factor: float) -> None:
        """Multiply this and all later rates.

        Raises:
            ValueError: ``factor`` is not finite or not above 0.
        """
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(f"the rate can be multiplied by a finite number above 0, not by {factor}")
        self._lowered *= factor
        self._set_rates()

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, as plain numbers; what the config says is not repeated."""
        inner = {} if self._scheduler is None else self._scheduler.state_dict()
        return {
            "step": self._step,
            "at": self._at,
            "lowered": self._lowered,
            "factor": float(self._meter.param_groups[0]["lr"]),
            "scheduler": {name: value for name, value in inner.items() if isinstance(value, bool | int | float)},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` stood, and set the optimiser's rates."""
        self._step, self._at, self._lowered = state["step"], state["at"], state["lowered"]
        self._meter.param_groups[0]["lr"] = state["factor"]
        if self._scheduler is not None:
            self._scheduler.load_state_dict({**self._scheduler.state_dict(), **state["scheduler"]})
        self._set_rates()

    def _set_rates(self) -> None:
        for group in self._optimiser.param_groups:
            rate = group["initial_lr"] * self.factor
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)  # a compiled step keeps hold of its tensor
            else:
                group["lr"] = rate


class WarmUpConfig(BaseModel):
    """What every schedule has: a linear rise of the rate in front."""

    model_config = ConfigDict(extra="forbid")

    warmup_share: float = Field(default=0.08, ge=0, lt=1, description="share of the run in which the rate rises")
    warmup_steps: int | None = Field(default=None, ge=0, description="steps in which the rate rises, in its place")

    @abstractmethod
    def scheduler(self, meter: Optimizer, span: int, total_steps: int, steps_per_epoch: int) -> LRScheduler | None:
        """Make PyTorch's scheduler of ``meter``; ``span`` is how many steps warm-up leaves. None: the factor is 1."""

    def position(self, step: int, warmup: int, steps_per_epoch: int) -> int:
        """Which step of the scheduler belongs to ``step`` of the run: here the one behind warm-up."""
        return max(0, step - warmup)

    def warmup(self, total_steps: int) -> int:
        """Steps of the run in which the rate rises.

        Raises:
            UserError: the run is no longer than that.
        """
        if self.warmup_steps is None:
            return max(1, round(self.warmup_share * total_steps)) if self.warmup_share else 0
        if self.warmup_steps >= total_steps:
            raise UserError(
                f"training.schedule.warmup_steps is {self.warmup_steps}, and the whole run has {total_steps} steps; "
                "lower it, or raise training.epochs."
            )
        return self.warmup_steps

    def build(self, optimiser: Optimizer, total_steps: int, steps_per_epoch: int) -> Schedule:
        """Make the schedule of a run, and set the rate of its first step.

        Raises:
            UserError: the run is too short for the schedule, or an expression gives no possible rate.
        """
        return Schedule(self, optimiser, total_steps, steps_per_epoch, self.warmup(total_steps))

    def factors(self, total_steps: int, steps_per_epoch: int) -> list[float]:
        """The factor of each step of a run whose validation cost never improves after its first epoch.

        Raises:
            UserError: as of `build`.
        """
        schedule = self.build(stand_in(), total_steps, steps_per_epoch)
        found = []
        for step in range(1, total_steps + 1):
            found.append(schedule.factor)
            schedule.step()
            if step % steps_per_epoch == 0:
                schedule.end_epoch(1.0)
        return found


class EpochConfig(WarmUpConfig):
    """A schedule that counts epochs from the beginning of the run, so that epochs mean what the config says."""

    def position(self, step: int, warmup: int, steps_per_epoch: int) -> int:
        """Epochs that are over."""
        return step // steps_per_epoch
