"""Whether probabilities come true: how often trials of each predicted probability are targets."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from vivavoce.evaluation.metrics.exact import clopper_pearson
from vivavoce.evaluation.metrics.rates import checked_scores


class ReliabilityBin(NamedTuple):
    """The trials whose predicted probability lies in one bin, at even odds of the two classes."""

    low: float  # lower edge of the bin
    high: float  # its upper edge
    predicted: float  # mean probability of its trials, each class counted as half of all
    observed: float  # share of targets among them, each class counted as half of all
    count: int  # trials in it
    lowest: float  # of the 95 % interval of `observed`
    highest: float


def reliability(llrs_target: ArrayLike, llrs_nontarget: ArrayLike, bins: int = 10) -> list[ReliabilityBin]:
    """Bin trials by the probability that their log-likelihood ratio gives at even odds.

    A trial weighs the inverse of its class's number of trials, so that the classes are even whatever their sizes. The
    interval of a bin is that of Clopper and Pearson for its share of targets as counted, its odds then weighted in
    the same way; it takes trials for independent.

    Args:
        llrs_target: natural-log likelihood ratios of target trials, ``(targets,)``.
        llrs_nontarget: those of non-target trials, ``(nontargets,)``.
        bins: bins of the same width between 0 and 1; those without a trial are left out.

    Raises:
        UserError: a class is empty or holds a ratio that is not finite.
        ValueError: there is no bin.

    Source: Murphy & Winkler, "Reliability of subjective probability forecasts of precipitation and temperature",
    Applied Statistics 26, 1977; Bröcker & Smith, "Increasing the reliability of reliability diagrams", 2007.
    """
    if bins < 1:
        raise ValueError(f"bins={bins} must be at least 1")
    parts = [expit(checked_scores(llrs_target, "target")), expit(checked_scores(llrs_nontarget, "non-target"))]
    sizes = np.array([part.size for part in parts])
    place = [np.minimum((part * bins).astype(np.intp), bins - 1) for part in parts]
    counts = np.stack([np.bincount(at, minlength=bins) for at in place])
    sums = np.stack([np.bincount(at, part, bins) for at, part in zip(place, parts, strict=True)])
    mass = (counts / sizes[:, None]).sum(axis=0)
    found = []
    for number in np.flatnonzero(mass).tolist():
        hits, count = int(counts[0, number]), int(counts[:, number].sum())
        ends = [_even(share, sizes[0], sizes[1]) for share in clopper_pearson(hits, count)]
        found.append(
            ReliabilityBin(
                low=number / bins,
                high=(number + 1) / bins,
                predicted=float((sums[:, number] / sizes).sum() / mass[number]),
                observed=_even(hits / count, sizes[0], sizes[1]),
                count=count,
                lowest=ends[0],
                highest=ends[1],
            )
        )
    return found


def _even(share: float, targets: int, nontargets: int) -> float:
    """What a share of targets would be if there were as many trials of either class."""
    target, nontarget = share / targets, (1 - share) / nontargets
    return float(target / (target + nontarget))
