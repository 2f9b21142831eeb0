"""What trials are compared by: one figure of the validation split, of which less is better."""

import math
from collections.abc import Mapping
from typing import Final, get_args

from vivavoce.errors import UserError
from vivavoce.training.config import Metric, Task

METRICS: Final[tuple[Metric, ...]] = get_args(Metric)
# The tasks without which a metric is not measured.
NEEDS: dict[Metric, tuple[Task, ...]] = {
    "eer": (),
    "loss": (),
    "a_dcf": ("speaker", "liveness"),
    "speaker_eer": ("speaker",),
    "liveness_eer": ("liveness",),
}
_RATES = ("eer", "speaker_eer", "liveness_eer")


def metric_of(summary: Mapping[str, float], metric: Metric) -> float:
    """Take a metric out of the validation summary of an epoch.

    ``eer`` is the mean of the tasks' equal error rates, ``loss`` the sum of their losses.

    Raises:
        UserError: the epoch has no such figure, or it is no finite number.
    """
    names = {"eer": ("speaker_eer", "liveness_eer"), "loss": ("loss_speaker", "loss_liveness")}.get(metric, (metric,))
    if metric in summary:
        names = (metric,)
    found = [summary[name] for name in names if name in summary]
    value = sum(found) / len(found) if metric == "eer" and found else sum(found)
    if not found or not math.isfinite(value):
        raise UserError(f"Validation gave no finite {metric}; choose another metric, or see why training failed.")
    return value


def best_epoch(epochs: Mapping[int, Mapping[str, float]], best_by: Metric) -> int:
    """The epoch whose weights the run keeps: with the least ``training.best_by``, the last of equals."""
    costs = {epoch: metric_of(summary, best_by) for epoch, summary in epochs.items()}
    return min(sorted(costs, reverse=True), key=lambda epoch: costs[epoch])


def is_rate(metric: Metric) -> bool:
    """Whether the metric is a share (0–1) that people read in per cent."""
    return metric in _RATES


def shown(value: float, metric: Metric) -> str:
    """Write a value of the metric for people."""
    return f"{100 * value:.2f} %" if is_rate(metric) else f"{value:.4f}"


def shown_difference(value: float, metric: Metric) -> str:
    """Write the difference of two values for people: rates in percentage points."""
    return f"{100 * value:.2f} points" if is_rate(metric) else f"{value:.4f}"
