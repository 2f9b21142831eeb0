"""Whether the best trial gains more than choosing the best of many gives by chance.

Every trial is judged on the same validation speakers, so the best of many is in part the luckiest of many, and the more
so the more there are. The reality check (White, "A reality check for data snooping", Econometrica 68(5), 2000) asks how
large the best gain over a reference would be if no trial were truly better: it resamples the speakers, with the same
draws for all trials, and takes the largest gain of each draw, each trial's gain centred on its mean. Trials that are
clearly worse than the reference are not centred, so that they do not widen the distribution (Hansen, "A test for
superior predictive ability", Journal of Business & Economic Statistics 23(4), 2005, section 2).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vivavoce.tuning.metric import Metric, shown_difference

LEVEL = 0.95
# Resampling fewer understates how much chance does (Cameron, Gelbach & Miller, "Bootstrap-based improvements for
# inference with clustered errors", Review of Economics and Statistics 90(3), 2008).
LEAST_SPEAKERS = 10


class Resampled(NamedTuple):
    """The metric of a finished run on resampled validation speakers, the same draws for every run."""

    speakers: int
    values: list[float | None]  # None: the draw lacks a class


@dataclass(frozen=True)
class Chance:
    """The best trial's gain beside the gain that chance alone gives in ``LEVEL`` of the draws."""

    trials: int  # that were compared
    speakers: int  # that were resampled
    reference: int  # number of the trial that gains are counted from
    is_start: bool  # the reference is the configuration that the search began with; else the median trial
    best: int  # number of the best trial
    gain: float
    by_chance: float
    p_value: float
    bounds: tuple[float, ...]  # gain by chance among the first 1, 2, … trials

    @property
    def beyond(self) -> bool:
        """Whether the gain is larger than chance gives."""
        return self.gain > self.by_chance

    def sentence(self, metric: Metric) -> str:
        """What it means, for people."""
        over = f"trial {self.reference}, " + ("which you began with" if self.is_start else "the median one")
        if self.gain <= 0:
            return f"None of the {self.trials} trials that ended is better than {over}."
        verb = "is larger than" if self.beyond else "is not larger than"
        text = (
            f"The best trial's gain of {shown_difference(self.gain, metric)} over {over}, {verb} what choosing among "
            f"{self.trials} trials gives by chance ({shown_difference(self.by_chance, metric)} on {self.speakers} "
            "validation speakers)"
        )
        if self.beyond:
            return f"{text}."
        return f"{text}: the search fits the validation set; use fresh or more validation speakers, or fewer trials."

    def to_dict(self) -> dict[str, float | int | bool]:
        """Write it for JSON."""
        return {
            "trials": self.trials,
            "speakers": self.speakers,
            "reference_trial": self.reference,
            "reference_is_start": self.is_start,
            "gain": self.gain,
            "gain_by_chance": self.by_chance,
            "p_value": self.p_value,
            "beyond_chance": self.beyond,
        }


def judge(
    numbers: list[int], values: NDArray[np.float64], resamples: NDArray[np.float64], speakers: int, start: int | None
) -> Chance | None:
    """Compare the best gain with that of chance.

    Args:
        numbers: of the trials that ended well, in their order, ``(trials,)``.
        values: their metric, ``(trials,)``; lower is better.
        resamples: the metric on resampled speakers, the same draws for all trials, ``(trials, draws)``.
        speakers: how many are resampled.
        start: number of the trial that the search began with; None, or one that did not end well: the median trial is
            the reference.

    Returns:
        None where there are fewer than two trials or ``LEAST_SPEAKERS`` speakers.
    """
    resamples = resamples[:, np.isfinite(resamples).all(axis=0)]
    if len(numbers) < 2 or speakers < LEAST_SPEAKERS or resamples.shape[1] < 2:
        return None
    is_start = start in numbers
    reference = numbers.index(start) if start is not None and is_start else int(np.argsort(values)[len(values) // 2])
    gains = values[reference] - values
    drawn = resamples[reference] - resamples
    # Draws of n speakers scatter by the share (n - 1) / n of the variance too little.
    drawn = drawn.mean(axis=1, keepdims=True) + math.sqrt(speakers / (speakers - 1)) * (
        drawn - drawn.mean(axis=1, keepdims=True)
    )
    # The law of the iterated logarithm: what lies further below does so by more than chance.
    worse = gains < -drawn.std(axis=1) * math.sqrt(2 * math.log(math.log(speakers)))
    centred = drawn - np.where(worse, 0.0, drawn.mean(axis=1))[:, None]
    largest = np.maximum.accumulate(np.maximum(centred, 0.0), axis=0)  # (trials, draws) among the first so many
    bounds = np.quantile(largest, LEVEL, axis=1)
    best = int(np.argmin(values))
    return Chance(
        trials=len(numbers),
        speakers=speakers,
        reference=numbers[reference],
        is_start=is_start,
        best=numbers[best],
        gain=float(gains[best]),
        by_chance=float(bounds[-1]),
        p_value=float((largest[-1] >= gains[best]).mean()),
        bounds=tuple(bounds.tolist()),
    )
