"""Operating points of a detector: its miss and false-alarm rates.

Everywhere a higher score speaks for the target class (the enrolled speaker, or a living mouth), and a recording is
accepted where ``score >= threshold``.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vivavoce.errors import UserError

Floats = NDArray[np.float64]


class ErrorRates(NamedTuple):
    """Miss and false-alarm rates (0–1) at given thresholds; scalars for one threshold, else arrays."""

    p_miss: float | Floats
    p_fa: float | Floats


def det_curve(targets: ArrayLike, nontargets: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Give every operating point of a detector, from accepting all to rejecting all.

    Args:
        targets: scores of target trials, ``(targets,)``.
        nontargets: scores of non-target trials, ``(nontargets,)``.

    Returns:
        ``(p_miss, p_fa, thresholds)``, each ``(distinct scores + 1,)``. Thresholds rise through the distinct scores
        and end with infinity; ``p_miss`` never falls and ``p_fa`` never rises along them.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    targets, nontargets = checked_scores(targets, "target"), checked_scores(nontargets, "non-target")
    levels = np.unique(np.concatenate([targets, nontargets]))
    thresholds = np.append(levels, np.inf)
    rates = error_rates_at(thresholds, targets, nontargets)
    return np.asarray(rates.p_miss), np.asarray(rates.p_fa), thresholds


def roc_curve(targets: ArrayLike, nontargets: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Give the operating points as a ROC, from rejecting all to accepting all.

    Args:
        targets: scores of target trials, ``(targets,)``.
        nontargets: scores of non-target trials, ``(nontargets,)``.

    Returns:
        ``(p_fa, p_hit, thresholds)``, each ``(distinct scores + 1,)``: false-alarm rates, rates of accepted targets,
        and falling thresholds that begin with infinity.

    Raises:
        UserError: a class is empty or holds a score that is not finite.

    Source: Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27, 2006, section 5.
    """
    p_miss, p_fa, thresholds = det_curve(targets, nontargets)
    return p_fa[::-1], 1 - p_miss[::-1], thresholds[::-1]


class SpoofingRates(NamedTuple):
    """Operating points of one score against other speakers and attacks, each ``(..., points)``, thresholds rising."""

    p_miss: Floats
    p_fa_nontarget: Floats
    p_fa_spoof: Floats


def spoofing_curve(targets: ArrayLike, nontargets: ArrayLike, spoofs: ArrayLike) -> tuple[SpoofingRates, Floats]:
    """Give every operating point of a score that is to accept targets alone, and its threshold ``(points,)``.

    Args:
        targets: scores of genuine trials, ``(targets,)``.
        nontargets: scores of other speakers' live trials, ``(nontargets,)``.
        spoofs: scores of attacks that claim the enrolled speaker, ``(spoofs,)``.

    Raises:
        UserError: a class is empty or holds a score that is not finite.
    """
    others = np.concatenate([checked_scores(nontargets, "non-target"), checked_scores(spoofs, "spoof")])
    levels = np.unique(np.concatenate([checked_scores(targets, "target"), others]))
    thresholds = np.append(levels, np.inf)
    by_speaker = error_rates_at(thresholds, targets, nontargets)
    by_spoof = error_rates_at(thresholds, targets, spoofs)
    rates = SpoofingRates(np.asarray(by_speaker.p_miss), np.asarray(by_speaker.p_fa), np.asarray(by_spoof.p_fa))
    return rates, thresholds


def error_rates_at(threshold: ArrayLike, targets: ArrayLike, nontargets: ArrayLike) -> ErrorRates:
    """Give the miss and false-alarm rate of accepting ``score >= threshold``, for one threshold or an array of them.

    Raises:
        UserError: a class is empty or holds a score that is not finite.
    """
    targets, nontargets = np.sort(checked_scores(targets, "target")), np.sort(checked_scores(nontargets, "non-target"))
    p_miss = np.searchsorted(targets, threshold, side="left") / targets.size
    p_fa = 1.0 - np.searchsorted(nontargets, threshold, side="left") / nontargets.size
    if np.ndim(threshold) == 0:
        return ErrorRates(float(p_miss), float(p_fa))
    return ErrorRates(p_miss, p_fa)


def meeting(p_miss: Floats, p_fa: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Find where curves of operating points ``(..., points)``, joined by straight lines, meet ``p_miss = p_fa``.

    Returns:
        ``(above, share)``, each ``(...,)``: the first point with ``p_miss >= p_fa``, which is never point 0, and which
        share of the way to it from the point before the two meet.
    """
    gap = p_fa - p_miss  # 1 at the first point, -1 at the last
    above = np.maximum(np.argmax(gap <= 0, axis=-1), 1)
    before, after = _pick(gap, above - 1), _pick(gap, above)
    return above, before / (before - after)


def rate_at(rates: Floats, above: NDArray[np.intp], share: Floats) -> Floats:
    """Give rates ``(..., points)`` at the place that `meeting` found, ``(...,)``."""
    low = _pick(rates, above - 1)
    return low + share * (_pick(rates, above) - low)


def _pick(values: Floats, index: NDArray[np.intp]) -> Floats:
    return np.take_along_axis(values, np.expand_dims(index, -1), axis=-1)[..., 0]


def between(levels: Floats, index: int) -> float:
    """Give a threshold of operating point ``index`` half-way to the next lower score (finite at both ends)."""
    if index == 0:
        return float(levels[0])
    if not np.isfinite(levels[index]):
        return float(np.nextafter(levels[index - 1], np.inf))
    middle = levels[index - 1] / 2 + levels[index] / 2
    # Between neighbouring floats there is no middle; the upper one still divides them.
    return float(middle if middle > levels[index - 1] else levels[index])


def checked_scores(scores: ArrayLike, name: str) -> Floats:
    """Give finite scores as a flat array, or refuse them by their class's name with a UserError."""
    array = np.asarray(scores, dtype=np.float64).ravel()
    if array.size == 0:
        raise UserError(f"There is no {name} score to compute error rates from; add {name} trials.")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise UserError(
            f"{count} of {array.size} {name} scores are not finite; retrain, or leave out those recordings."
        )
    return array
