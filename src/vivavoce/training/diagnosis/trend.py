"""Where a noisy loss curve is going: a robust slope of its recent part, with an interval."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.signal import savgol_filter
from scipy.stats import t as student
from scipy.stats import theilslopes

FEWEST = 5  # epochs, below which nothing is said
# What a curve does over the last quarter of the run so far, as a share of its level: less than SMALL is flat.
SMALL = 0.04
# A flat curve's interval must lie within ± this; a noisier curve may have as much as its noise, up to the second.
FLAT_WITHIN, FLAT_AT_MOST = 0.06, 0.12
# Share of the first level that is added before the logarithm, so that a curve near zero does not seem to race.
OFFSET = 0.05
# Of the interval that must leave zero out for a curve to move, and of the one that must be narrow for it to be flat.
MOVING, STANDING = 0.98, 0.9
# Theil–Sen's variance against least squares, normal noise (Sen 1968: efficiency 3/π for long series).
THEIL_SEN_VARIANCE = math.pi / 3
MOST_CORRELATED = 0.6  # lag-one correlation above which a short curve's estimate is not believed
PRIOR_EPOCHS = 10  # epochs that "noise is not correlated" counts for beside the estimate
NORMAL_MAD = 1.4826  # standard deviation over median absolute deviation, normal distribution
LEAST_NOISE = 1e-3


class Direction(StrEnum):
    """What a curve does now."""

    FALLING = "falling"
    FLAT = "flat"
    RISING = "rising"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Trend:
    """The recent course of a curve.

    Attributes:
        direction: what it does.
        change: over the last quarter of the run so far, as a share of its level (logarithm of the ratio).
        low: lower end of the 98 % interval of ``change``.
        high: upper end.
        sure: probability of the direction, 0 to 1, given the noise that was found.
        noise: standard deviation of one epoch about the trend, as a share of the level.
        window: epochs that were looked at.
    """

    direction: Direction
    change: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    sure: float = 0.0
    noise: float = math.nan
    window: int = 0


NOTHING = Trend(Direction.UNKNOWN)


def estimate_trend(values: np.ndarray, ignore: int = 0) -> Trend:
    """Estimate what a curve ``(epochs,)`` does now; its first ``ignore`` epochs are no part of it.

    The logarithm of the curve makes noise that goes with the level alike everywhere. The slope is Theil–Sen's (Theil
    1950, Sen 1968) over the last quarter of the run or, where that leaves the direction open and does not contradict,
    the last half or three quarters. Its standard error is that of a regression with noise correlated from epoch to
    epoch (first order, Bartlett 1946), whose size and correlation come from the whole curve and from the window.
    """
    values = np.asarray(values, dtype=float)[ignore:]
    if len(values) < FEWEST or not np.isfinite(values).all():
        return NOTHING
    curve = _logarithm(values)
    noise, correlation = _noise(curve)
    recent = min(len(curve), max(FEWEST, math.ceil(len(curve) / 4)))
    first = found = _over(curve, recent, recent, noise, correlation)
    for share in (0.5, 0.75):
        if found.direction is not Direction.UNKNOWN:
            break
        longer = min(len(curve), max(recent + 2, math.ceil(share * len(curve))))
        wider = _over(curve, longer, recent, noise, correlation)
        if wider.direction is not Direction.UNKNOWN and first.low <= wider.change <= first.high:
            found = wider
    return found


def level(values: np.ndarray, last: bool = False) -> float:
    """Level of a curve at its end, the median of three epochs; at its beginning the first epoch's, if that is more.

    A training that learns most in its first epoch would else seem to have learned nothing.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return math.nan
    return float(np.median(finite[-3:]) if last else max(finite[0], np.median(finite[:3])))


def _logarithm(values: np.ndarray) -> np.ndarray:
    values = values - min(0.0, float(values.min()))
    return np.log(values + max(OFFSET * level(values), 1e-12))


def _noise(curve: np.ndarray) -> tuple[float, float]:
    """Standard deviation and lag-one correlation of a curve about a smooth one."""
    if len(curve) < 2 * FEWEST - 2:
        second = np.diff(curve, 2)  # white noise makes second differences √6 times as large
        return max(LEAST_NOISE, NORMAL_MAD * float(np.median(np.abs(second))) / math.sqrt(6)), 0.0
    span = max(7, len(curve) // 3) | 1
    rest = (curve - savgol_filter(curve, min(span, len(curve) - 1 + len(curve) % 2), 2))[len(curve) // 3 :]
    spread = NORMAL_MAD * float(np.median(np.abs(rest - np.median(rest))))
    # A local quadratic follows some of the noise: it takes about 9 / (4 · span) of the variance with it.
    spread /= math.sqrt(max(0.3, 1 - 2.25 / span))
    kept = np.clip(rest, -3 * spread, 3 * spread)
    together = float((kept[1:] * kept[:-1]).mean() / max(float((kept**2).mean()), 1e-12))
    correlation = together * len(rest) / (len(rest) + PRIOR_EPOCHS)
    return max(LEAST_NOISE, spread), min(max(correlation, 0.0), MOST_CORRELATED)


def _over(curve: np.ndarray, window: int, horizon: int, noise: float, correlation: float) -> Trend:
    """The trend of the last ``window`` epochs, told as the change over ``horizon`` of them."""
    part = curve[-window:]
    fit = theilslopes(part, np.arange(window))
    slope, intercept = float(fit.slope), float(fit.intercept)  # pyright: ignore[reportAttributeAccessIssue]
    rest = part - intercept - slope * np.arange(window)
    own = NORMAL_MAD * float(np.median(np.abs(rest))) * math.sqrt(window / (window - 2))
    known, here = max(1, len(curve) - window), window - 2
    pooled = math.sqrt((known * noise**2 + here * own**2) / (known + here))
    error = pooled * math.sqrt(THEIL_SEN_VARIANCE * 12 / (window**3 - window))
    error *= math.sqrt((1 + correlation) / (1 - correlation)) * (horizon - 1)
    freedom = max(3.0, 0.5 * len(curve))
    change = slope * (horizon - 1)
    low, high = (change + sign * float(student.ppf(0.5 + MOVING / 2, freedom)) * error for sign in (-1, 1))
    narrow = float(student.ppf(0.5 + STANDING / 2, freedom)) * error
    within = min(max(FLAT_WITHIN, pooled), FLAT_AT_MOST)
    distribution = student(freedom, change, error)
    if high < 0 and change <= -SMALL:
        return Trend(Direction.FALLING, change, low, high, float(distribution.cdf(0)), pooled, window)
    if low > 0 and change >= SMALL:
        return Trend(Direction.RISING, change, low, high, float(distribution.sf(0)), pooled, window)
    if abs(change) + narrow < within and abs(change) < within / 2:
        inside = float(distribution.cdf(within) - distribution.cdf(-within))
        return Trend(Direction.FLAT, change, low, high, inside, pooled, window)
    return Trend(Direction.UNKNOWN, change, low, high, 0.0, pooled, window)
