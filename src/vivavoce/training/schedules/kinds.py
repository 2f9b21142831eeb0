"""The kinds of schedules: PyTorch's, by their names there."""

from itertools import pairwise
from typing import Literal

from pydantic import Field, field_validator
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from vivavoce.errors import UserError
from vivavoce.training.schedules.base import EpochConfig, WarmUpConfig
from vivavoce.training.schedules.expression import Expression

LONGEST_EXPRESSION = 400


class ConstantConfig(WarmUpConfig):
    """One rate, behind warm-up."""

    type: Literal["constant"] = "constant"

    def scheduler(self, meter: Optimizer, span: int, total_steps: int, steps_per_epoch: int) -> LRScheduler | None:
        """None: nothing changes."""
        return None


class StepConfig(EpochConfig):
    """The rate falls by a factor every so many epochs (`StepLR`)."""

    type: Literal["step"] = "step"
    every: int = Field(default=10, ge=1, description="epochs between two falls")
    gamma: float = Field(default=0.1, gt=0, le=1, description="by what the rate is multiplied")

    def scheduler(self, meter: Optimizer, span: int, total_steps: int, steps_per_epoch: int) -> LRScheduler | None:
        """One step of it is an epoch."""
        return StepLR(meter, self.every, self.gamma)


class MultistepConfig(EpochConfig):
    """The rate falls by a factor after each of some epochs (`MultiStepLR`)."""

    type: Literal["multistep"] = "multistep"
    milestones: tuple[int, ...] = Field(min_length=1, description="epochs after which the rate falls")
    gamma: float = Field(default=0.1, gt=0, le=1, description="by what the rate is multiplied")

    @field_validator("milestones")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value[0] < 1 or any(late <= early for early, late in pairwise(value)):
            raise ValueError("epochs must rise, and begin with 1 or later")
        return value

    def scheduler(self, meter: Optimizer, span: int, total_steps: int, steps_per_epoch: int) -> LRScheduler | None:
        """One step of it is an epoch."""
        return MultiStepLR(meter, list(self.milestones), self.gamma)


class ExponentialConfig(EpochConfig):
    """The rate falls by a factor every epoch (`ExponentialLR`)."""

    type: Literal["exponential"] = "exponential"
    gamma: float = Field(default=0.95, gt=0, le=1, description="by what the rate is multiplied each epoch")

    def scheduler(self, meter: Optimizer, span: int, total_steps: int, steps_per_epoch: int) -> LRScheduler | None:
        """One step of it is an epoch."""
        return ExponentialLR(meter, self.gamma)


class CosineConfig(WarmUpConfig):
    """Half a cosine from the end of warm-up to the end of the run (`CosineAnnealingLR`).

    Source: Loshchilov & Hutter, "SGDR", ICLR 2017, eq. 5.
    """

    type: Literal["cosine"] = "cosine"
    end: float = Field(default=0.0, ge=0, le=1, description="the last rate, as a share of the peak")

    def scheduler(self, meter: Optimizer, span: int, total_steps: int, steps_per_epoch: int) -> LRScheduler | None:
        """One step of it is one of the run."""
        return CosineAnnealingLR(meter, span, self.end)


class CosineRestartsConfig(WarmUpConfig):
    """Half cosines one after the other, each from the peak (`CosineAnnealingWarmRestarts`).

    Source: Loshchilov & Hutter, "SGDR", ICLR 2017.
    """

    type: Literal["cosine_restarts"] = "cosine_restarts"
    first: int = Field(default=10, ge=1, description="epochs of the first cosine, behind warm-up")
    growth: int = Field(default=1, ge=1, description="each cosine is so many times as long as the one before")
    end: float = Field(default=0.0, ge=0, le=1, description="the lowest rate, as a share of the peak")

    def scheduler(self, meter: Optimizer, span: int, total_steps: int, steps_per_epoch: int) -> LRScheduler | None:
        """One step of it is one of the run."""
        return CosineAnnealingWarmRestarts(meter, self.first * steps_per_epoch, self.growth, self.end)


class OneCycleConfig(WarmUpConfig):
    """One rise to the peak and a long fall far below the start (`OneCycleLR`).

    The momentum is not cycled against the rate: that was shown for SGD, and AdamW's betas stay what the config says.
    Since it rises by itself, it has no other warm-up unless one is asked for.

    Source: Smith & Topin, "Super-convergence", 2019.
    """

    type: Literal["one_cycle"] = "one_cycle"
    warmup_share: float = Field(default=0.0, ge=0, lt=1, description="share of the run before the cycle begins")
    rise: float = Field(default=0.3, gt=0, lt=1, description="share of the cycle in which the rate rises")
    start: float = Field(default=0.04, gt=0, lt=1, description="the first rate, as a share of the peak")
    end: float = Field(default=4e-6, gt=0, lt=1, description="the last rate, as a share of the peak")
    anneal: Literal["cos", "linear"] = Field(default="cos", description="the form of rise and fall")

    def scheduler(self, meter: Optimizer, span: int, total_steps: int, steps_per_epoch: int) -> LRScheduler | None:
        """One step of it is one of the run."""
        # PyTorch's cycle divides by the steps of its rise less one, and by those of its fall.
        if self.rise * span <= 1 or span < 3:
            raise UserError(
                f"training.schedule is one_cycle, and its rise of {self.rise:g} is {self.rise * span:.1f} of the "
                f"{span} steps that it has; raise training.epochs or training.schedule.rise."
            )
        return OneCycleLR(
            meter,
            max_lr=1.0,
            total_steps=span,
            pct_start=self.rise,
            anneal_strategy=self.anneal,
            cycle_momentum=False,
            div_factor=1 / self.start,
            final_div_factor=self.start / self.end,
        )


class PlateauConfig(WarmUpConfig):
    """The rate falls by a factor when the validation cost stands still (`ReduceLROnPlateau`)."""

    type: Literal["plateau"] = "plateau"
    gamma: float = Field(default=0.3, gt=0, lt=1, description="by what the rate is multiplied")
    patience: int = Field(default=3, ge=0, description="epochs without an improvement that are waited for")
    threshold: float = Field(default=1e-3, ge=0, lt=1, description="a smaller relative improvement is none")
    cooldown: int = Field(default=0, ge=0, description="epochs after a fall that do not count")
    end: float = Field(default=1e-3, ge=0, le=1, description="the lowest rate, as a share of the peak")

    def scheduler(self, meter: Optimizer, span: int, total_steps: int, steps_per_epoch: int) -> LRScheduler | None:
        """It steps with the validation, not with the run."""
        return ReduceLROnPlateau(
            meter,
            factor=self.gamma,
            patience=self.patience,
            threshold=self.threshold,
            cooldown=self.cooldown,
            min_lr=self.end,
        )


class LambdaConfig(WarmUpConfig):
    """Any factor, as an expression of `step`, `epoch`, `total` and `share` (`LambdaLR`)."""

    type: Literal["lambda"] = "lambda"
    warmup_share: float = Field(default=0.0, ge=0, lt=1, description="share of the run in which the rate rises")
    expression: str = Field(
        max_length=LONGEST_EXPRESSION,
        description="factor of the peak, such as 0.95 ** epoch or min(1, step / 100) * cos(pi * share / 2)",
    )

    @field_validator("expression")
    @classmethod
    def _readable(cls, value: str) -> str:
        Expression(value)
        return value

    def position(self, step: int, warmup: int, steps_per_epoch: int) -> int:
        """The run's own step: the expression sees all of the run, warm-up multiplies it."""
        return step

    def scheduler(self, meter: Optimizer, span: int, total_steps: int, steps_per_epoch: int) -> LRScheduler | None:
        """One step of it is one of the run, each of which is tried here."""
        expression = Expression(self.expression)

        def factor(step: int) -> float:
            epoch = step // steps_per_epoch
            return expression(step=step, epoch=epoch, total=total_steps, share=step / total_steps)

        for step in range(total_steps):
            try:
                found = factor(step)
            except (ArithmeticError, ValueError) as error:
                raise UserError(self._refusal(step, f"cannot be computed ({error})")) from error
            if not 0 <= found < float("inf"):
                raise UserError(self._refusal(step, f"is {found:g}, and a rate is finite and not below 0"))
        return LambdaLR(meter, factor)

    def _refusal(self, step: int, what: str) -> str:
        return f"training.schedule.expression, {self.expression}, {what} in step {step} of the run; correct it."
