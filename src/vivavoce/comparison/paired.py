"""Whether a figure differs between two systems by more than chance: their difference on the same resampled speakers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivavoce.evaluation.bootstrap import LEVEL

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PairedTest:
    """The 95 % interval of a difference, and the probability of one so far from 0 if there were none."""

    low: float
    high: float
    p_value: float
    never: bool  # no resample has a difference

    @property
    def half_width(self) -> float:
        """Half the interval: about the smallest difference that would have shown."""
        return (self.high - self.low) / 2


def paired_test(first: Floats, second: Floats) -> PairedTest | None:
    """Test the difference of a figure between two systems, ``first - second``, on the same draws of speakers.

    With R resampled differences d*, the interval runs from the (R + 1) 0.025-th smallest to the (R + 1) 0.025-th
    largest, and ``p = 2 (1 + min(#{d* <= 0}, #{d* >= 0})) / (R + 1)``, at most 1: the level at which the interval just
    reaches 0. So ``p <= 0.05`` exactly where the interval excludes 0.

    Args:
        first: the figure of one system in each resample, ``(resamples,)``.
        second: that of the other.

    Returns:
        None where too few resamples have the figure (NaN: no trial of a class) for an interval.

    Source: Davison & Hinkley, "Bootstrap methods and their application", 1997, chapter 4 for (1 + #) / (R + 1) and
    section 5.3 for the interval; the test by the interval is in Efron & Tibshirani, "An introduction to the bootstrap",
    1993, section 15.4.
    """
    drawn = np.sort((first - second)[np.isfinite(first) & np.isfinite(second)])
    # The tolerance keeps (39 + 1) 0.025 from being just below 1.
    rank = math.floor((drawn.size + 1) * (1 - LEVEL) / 2 + 1e-9)
    if rank < 1:
        return None
    beyond = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    p_value = min(1.0, 2 * (1 + beyond) / (drawn.size + 1))
    return PairedTest(float(drawn[rank - 1]), float(drawn[-rank]), p_value, not drawn.any())


def holm(p_values: Sequence[float]) -> list[float]:
    """Raise p-values so that of all of them together, not of each, 5 in 100 fall below 0.05 by chance.

    The k-th smallest of m is multiplied by m - k + 1; none falls below a smaller one's, and none exceeds 1.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    raised = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1)))
    adjusted = np.empty_like(values)
    adjusted[order] = raised
    return adjusted.tolist()
