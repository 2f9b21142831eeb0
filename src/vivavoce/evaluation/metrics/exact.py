"""Exact binomial intervals, for rates of few or independent trials."""

from scipy.stats import beta


def clopper_pearson(errors: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Give the exact interval of a rate after ``errors`` in ``trials`` independent trials.

    Args:
        errors: trials decided wrongly.
        trials: all trials, at least 1.
        level: how often such intervals are to hold the true rate, inside (0, 1).

    Returns:
        ``(low, high)``, both inside [0, 1]; it covers at least ``level``, and often more.

    Raises:
        ValueError: ``errors`` is not among 0 … ``trials``, there is no trial, or ``level`` is not inside (0, 1).

    Source: Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
    Biometrika 26, 1934.
    """
    if not 0 <= errors <= trials or trials < 1 or not 0 < level < 1:
        raise ValueError(f"{errors} errors in {trials} trials at level {level} give no interval")
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, errors, trials - errors + 1)) if errors else 0.0
    high = float(beta.ppf(1 - tail, errors + 1, trials - errors)) if errors < trials else 1.0
    return low, high
