"""Which learning rates a model can take: the learning-rate range test.

The rate rises exponentially from step to step of an untrained model; where its loss falls fastest is a good peak, where
it stops falling is the most that stays stable. Source: Smith, "Cyclical learning rates for training neural networks",
WACV 2017, section 3.3; the smoothed curve and where to stop: Gugger, "How do you find a good learning rate", 2018.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
from scipy.ndimage import gaussian_filter1d

from vivavoce.errors import UserError
from vivavoce.progress import track
from vivavoce.training.crops import Batches
from vivavoce.training.learner import Learner, NotFinite
from vivavoce.training.trainer import Trainer

# Of the running mean that says when to stop. Gugger's 0.98 is for epochs of steps; over 100 it would look far back.
BETA = 0.9
# Training has diverged where the running mean is so many times its least (Gugger), and above where it began.
DIVERGED = 4.0
# Of the curve that is read: standard deviation of the smoothing, as a share of the steps. Unlike a running mean it
# looks both ways, so that the steepest place does not move to higher rates.
SMOOTHING = 0.04
FEWEST = 4
# A fall is believed where it is so many standard errors of the smoothed curve.
SURE = 4.0
# Median of the absolute difference of two normal numbers, in their standard deviations.
NORMAL_DIFFERENCE = 0.954


@dataclass(frozen=True)
class RangeTest:
    """The rates that were tried, and what the losses say of them."""

    rates: np.ndarray  # (steps,) rising
    losses: np.ndarray  # (steps,) before the step at that rate
    smoothed: np.ndarray  # (steps,) of what came before divergence
    suggestion: float | None  # where the loss falls fastest; None: it does not fall
    largest_stable: float | None  # where it is least
    diverged: bool


def sweep(step: Callable[[float], float], start: float, end: float, steps: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Take steps at rising rates until the loss diverges.

    Args:
        step: takes one step at a rate and returns the loss before it; infinite or NaN where it diverged.
        start: the first rate.
        end: the last one.
        steps: how many, evenly on a logarithmic axis.

    Returns:
        The rates tried and their losses, both ``(steps done,)`` and finite, and whether the loss diverged.
    """
    found: list[float] = []
    mean, least, first = 0.0, math.inf, math.inf
    rates = np.geomspace(start, end, steps)
    for number, rate in enumerate(track(rates.tolist(), "Trying rates"), 1):
        loss = step(rate)
        if not math.isfinite(loss):
            return rates[: len(found)], np.array(found), True
        found.append(loss)
        mean = BETA * mean + (1 - BETA) * loss
        running = mean / (1 - BETA**number)  # without this the mean would begin at zero
        first, least = min(first, running) if number == 1 else first, min(least, running)
        if running > max(DIVERGED * least, first):
            return rates[:number], np.array(found), True
    return rates, np.array(found), False


def read_curve(rates: np.ndarray, losses: np.ndarray, diverged: bool, steps: int) -> RangeTest:
    """Find where the loss falls fastest over the logarithm of the rate, and where it is least.

    Args:
        rates: tried, ``(tried,)``.
        losses: at each, ``(tried,)``.
        diverged: whether the sweep ended early.
        steps: how many it was to have; the smoothing is a share of them.

    Raises:
        UserError: it diverged at once.
    """
    if len(losses) < FEWEST:
        raise UserError(
            f"The loss diverged after {len(losses)} steps, which say nothing; begin lower with --from, or set "
            "training.precision=float32."
        )
    width = max(1.0, SMOOTHING * steps)
    first = max(3, round(2 * width))
    begin = float(np.median(losses[:first]))
    # What explodes at the end would reach back through the smoothing.
    smoothed = gaussian_filter1d(np.minimum(losses, begin + abs(begin)), width, mode="nearest")
    lowest = int(np.argmin(smoothed))
    noise = float(np.median(np.abs(np.diff(losses)))) / NORMAL_DIFFERENCE
    # Of a median, and of a Gaussian window, which averages over about 2 sqrt(pi) of its standard deviations.
    error = noise * math.sqrt(math.pi / 2 / first + 1 / (2 * math.sqrt(math.pi) * width))
    if lowest == 0 or begin - smoothed[lowest] <= SURE * error:
        return RangeTest(rates, losses, smoothed, None, None, diverged)
    slope = np.gradient(smoothed, np.log(rates))[: lowest + 1]
    return RangeTest(rates, losses, smoothed, float(rates[int(np.argmin(slope))]), float(rates[lowest]), diverged)


def check_range(start: float, end: float) -> None:
    """Refuse rates that do not rise.

    Raises:
        UserError: ``start`` is not above 0 and below a finite ``end``.
    """
    if not 0 < start < end < math.inf:
        raise UserError(f"The rates from {start:g} to {end:g} do not rise above 0; choose others with --from and --to.")


def find_rate(trainer: Trainer, start: float, end: float, steps: int) -> RangeTest:
    """Try rising rates on an untrained trainer, which is no use for training afterwards (`Experiment.prepared`).

    Rates of parts (`training.layer_rates`) keep their proportion. All else is as in the first step of a run: a margin
    that grew or a weight of a task that changed meanwhile would move the loss as rates do.

    Args:
        trainer: model, losses and data.
        start: the first rate.
        end: the last one, above it.
        steps: of the optimiser.

    Raises:
        UserError: as of `check_range` and `read_curve`.
    """
    check_range(start, end)
    trainer.begin()
    learner, batches = trainer.learner, _endless(trainer)
    learner.model.train()
    numbers = count()

    def step(rate: float) -> float:
        _set_rate(learner, rate)
        some = islice(batches, learner.config.accumulate)
        try:
            return float(np.mean([_learn(learner, batch, trainer.seed + next(numbers)) for batch in some]))
        except NotFinite:
            return math.inf

    return read_curve(*sweep(step, start, end, steps), steps)


def _learn(learner: Learner, batches: Batches, seed: int) -> float:
    losses = learner.losses(batches, seed)
    learner.learn(losses)
    learner.updates = 0
    return float(losses.total.detach())


def _set_rate(learner: Learner, rate: float) -> None:
    for group in learner.optimiser.param_groups:
        group["lr"] = rate * group["initial_lr"] / learner.config.learning_rate


def _endless(trainer: Trainer) -> Iterator[Batches]:
    for epoch in count():
        yield from trainer.data.epoch(epoch % trainer.config.epochs)
