"""The state of a task: what training and validation curve say together."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.signal import medfilt

from vivavoce.training.diagnosis.trend import NOTHING, Direction, Trend, estimate_trend, level

# A curve that lost less than this share of its first level has never learned.
LEARNED = 0.2
# One that keeps less than this share of it has nothing left to gain.
NOTHING_LEFT = 0.05
# The schedule has ended where the rate is below this share of its highest.
RATE_ENDED = 0.2
# And, where the plan is known, not before this share of the run is over.
MOSTLY_DONE = 0.8
# Towards the end of a schedule a training loss that falls by no more than this, validation at its best, is no fault.
LAST_POLISH = 0.15
NEAR_BEST = 1.05
# Validation this much above its best, and by so many deviations of its noise, has been better for good reason.
FAR_ABOVE, NOISES = 1.5, 4.0
# How sure a verdict is that rests on the end of the run and not on its curves.
UNSURE = 0.5
# Epochs in a row that must have given an alarm.
HELD = 3
# Change over the last quarter that a verdict needs beside one curve that is flat.
PLAIN = 0.06
# Part of the 98 % intervals, taken together, by which two changes must differ: one chance in twenty.
SURELY_APART = 0.7
# Both curves flat from the start may be the plateau that many trainings begin with.
FEWEST_FLAT = 8


class State(StrEnum):
    """What a task's curves say."""

    LEARNING = "still learning"
    OVERFITTING = "overfitting"
    DATA = "data at fault"
    BOTTLENECK = "bottleneck"
    STRUCTURE = "structure or hyper-parameters"
    FINISHED = "finished"
    TOO_EARLY = "too early to say"

    @property
    def is_alarm(self) -> bool:
        """Something is to be done."""
        return self in (State.OVERFITTING, State.DATA, State.BOTTLENECK, State.STRUCTURE)


@dataclass(frozen=True)
class Curves:
    """The curves of one task, one value an epoch each.

    Attributes:
        train: training loss ``(epochs,)``.
        validation: validation loss, or error rate where there is no loss ``(epochs,)``.
        rate: learning rate ``(epochs,)``, or None where it is not known.
        hardening: first epochs in which the training task itself grows harder (a margin, harder negatives).
        share_done: share of the planned epochs that are over; None: the plan is not known.
        chance: what both curves are where nothing was learned; None: not known.
    """

    train: np.ndarray
    validation: np.ndarray
    rate: np.ndarray | None = None
    hardening: int = 0
    share_done: float | None = None
    chance: tuple[float | None, float | None] = (None, None)

    def before(self, last: int) -> "Curves":
        """The curves as they were ``last`` epochs ago."""
        stop = len(self.train) - last
        share = None if self.share_done is None else self.share_done * stop / len(self.train)
        rate = None if self.rate is None else self.rate[:stop]
        return Curves(self.train[:stop], self.validation[:stop], rate, self.hardening, share, self.chance)

    @property
    def schedule_ended(self) -> bool:
        """The learning rate has come down, so that curves level off by themselves; or the planned end is near.

        A rate that is low in the midst of a run is no end: it may be a step, a restart, a plateau or our own lowering.
        """
        if self.share_done is not None and self.share_done < MOSTLY_DONE:
            return False
        if self.rate is not None and len(self.rate) and np.nanmax(self.rate) > 0:
            return bool(self.rate[-1] <= RATE_ENDED * np.nanmax(self.rate) and len(self.rate) > 1 and not self.warming)
        return self.share_done is not None and self.share_done >= MOSTLY_DONE

    @property
    def coming_down(self) -> bool:
        """The schedule lowers the learning rate, and has not ended."""
        return self.rate is not None and len(self.rate) > 2 and bool(self.rate[-1] < self.rate[-3])

    @property
    def warming(self) -> bool:
        """The learning rate still rises for the first time."""
        return self.rate is not None and len(self.rate) > 1 and bool(np.all(np.diff(self.rate) > 0))


@dataclass(frozen=True)
class Judgement:
    """State of a task with what it stands on."""

    state: State
    confidence: float
    train: Trend
    validation: Trend


def judge(curves: Curves) -> Judgement:
    """Judge a task's curves; what is to be done something about must have held for three epochs.

    Each epoch of a run asks anew, so that a rare accident of noise would come up in some epoch of many a run; that it
    comes three times in a row with the same answer is far rarer.
    """
    now = _judge_once(curves)
    if not now.state.is_alarm:
        return now
    if all(_judge_once(curves.before(last)).state is now.state for last in range(1, HELD)):
        return now
    return Judgement(State.TOO_EARLY, 0.0, now.train, now.validation)


def _judge_once(curves: Curves) -> Judgement:
    train = estimate_trend(curves.train, curves.hardening)
    validation = estimate_trend(curves.validation)
    if curves.hardening and train is NOTHING and validation.direction is Direction.FALLING:
        return Judgement(State.LEARNING, validation.sure, train, validation)
    state = _state(train, validation, curves)
    if state in (State.TOO_EARLY, State.FINISHED, State.BOTTLENECK) and _risen(curves, validation):
        return Judgement(State.OVERFITTING, UNSURE, train, validation)
    if state is State.TOO_EARLY and _over(curves):
        return Judgement(State.FINISHED, UNSURE, train, validation)
    confidence = 0.0 if state is State.TOO_EARLY else min(train.sure, validation.sure)
    return Judgement(state, confidence, train, validation)


def _state(train: Trend, validation: Trend, curves: Curves) -> State:
    falling, flat, rising = Direction.FALLING, Direction.FLAT, Direction.RISING
    pair = (train.direction, validation.direction)
    if Direction.UNKNOWN in pair:
        return State.TOO_EARLY
    if pair == (falling, falling):
        return State.LEARNING
    if pair == (flat, flat):
        return _both_flat(curves)
    if pair == (falling, flat) and _polishing(train, curves):
        return State.FINISHED
    if pair in ((falling, flat), (flat, falling)) and not _apart(train, validation):
        return State.FINISHED if curves.schedule_ended and _learned(curves) else State.TOO_EARLY
    if pair in ((falling, flat), (falling, rising)):
        return State.OVERFITTING
    if pair == (flat, falling):
        return State.LEARNING if curves.schedule_ended and _fallen(curves.train, curves.chance[0]) else State.DATA
    if pair == (rising, falling):
        return State.DATA
    if max(train.change, validation.change) < (PLAIN if pair == (rising, rising) else 2 * PLAIN):
        return State.TOO_EARLY
    # Training that fell and stands while validation rises has learned by heart what there was.
    return State.OVERFITTING if train.direction is flat and _fallen(curves.train, curves.chance[0]) else State.STRUCTURE


def _apart(train: Trend, validation: Trend) -> bool:
    """One of the curves falls plainly, and beyond doubt more than the other."""
    first, second = sorted((train, validation), key=lambda trend: trend.change)
    doubt = SURELY_APART * math.hypot(first.high - first.change, second.high - second.change)
    return first.change <= -PLAIN and second.change - first.change > doubt


def _both_flat(curves: Curves) -> State:
    """At the end of a schedule that has taught something this is how it should be, else a bottleneck.

    Where the schedule still brings the rate down, curves that have learned something mostly fall on: wait for it.
    """
    learned = _learned(curves)
    if learned and (curves.schedule_ended or (_exhausted(curves.train) and _exhausted(curves.validation))):
        return State.FINISHED
    if curves.warming or len(curves.train) < FEWEST_FLAT or (learned and curves.coming_down):
        return State.TOO_EARLY
    return State.BOTTLENECK


def _over(curves: Curves) -> bool:
    """All planned epochs are over, both curves came down, and validation does not rise."""
    if not (curves.share_done is not None and curves.share_done >= 1 and curves.schedule_ended and _learned(curves)):
        return False
    return estimate_trend(curves.validation).direction is not Direction.RISING


def _risen(curves: Curves, validation: Trend) -> bool:
    """Training has come down, validation is far above its best, beyond its noise, and does not fall."""
    if (
        validation.window == 0
        or validation.direction is Direction.FALLING
        or not _fallen(curves.train, curves.chance[0])
    ):
        return False
    offset = 0.05 * max(level(curves.validation), curves.chance[1] or 0.0)
    best = float(np.min(medfilt(curves.validation, 3)[1:-1]))  # it pads with zeros
    risen = math.log((level(curves.validation, last=True) + offset) / (best + offset))
    return risen > max(math.log(FAR_ABOVE), NOISES * validation.noise)


def _polishing(train: Trend, curves: Curves) -> bool:
    """The end of a schedule: a little less training loss still, validation as good as it ever was."""
    if not (curves.schedule_ended and _fallen(curves.validation, curves.chance[1])):
        return False
    best = float(np.min(curves.validation))
    offset = 0.05 * level(curves.validation)
    return -train.change <= LAST_POLISH and level(curves.validation, last=True) + offset <= NEAR_BEST * (best + offset)


def _learned(curves: Curves) -> bool:
    pairs = zip((curves.train, curves.validation), curves.chance, strict=True)
    return all(_fallen(values, chance) for values, chance in pairs)


def _fallen(values: np.ndarray, chance: float | None = None) -> bool:
    """A curve has come down from where it began, or from what chance gives."""
    return len(values) > 0 and level(values, last=True) <= (1 - LEARNED) * max(level(values), chance or 0.0)


def _exhausted(values: np.ndarray) -> bool:
    return level(values, last=True) <= NOTHING_LEFT * level(values)
