"""What is known of a recording when it is judged, besides its scores: all that a calibration may go by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Condition = Literal["posture", "device", "duration"]
UNKNOWN = ""


@dataclass(frozen=True)
class Known:
    """What is known of test recordings: arrays of one shape ``(...,)``, or single values.

    Attributes:
        seconds: how long each is, s; None: unknown, as long as those of the calibration.
        conditions: of ``posture`` and ``device``, the value of each as its metadata or the phone says; `UNKNOWN` or
            nothing at all where it is not known.
        measures: quality measures by name, NaN or nothing at all where one is not known. The logarithm of
            ``seconds`` is known as ``duration``, too.
    """

    seconds: ArrayLike | None = None
    conditions: Mapping[str, ArrayLike] = field(default_factory=dict)
    measures: Mapping[str, ArrayLike] = field(default_factory=dict)

    def measure(self, name: str) -> NDArray[np.float64]:
        """The values of a quality measure; NaN where it is not known."""
        if name == "duration" and self.seconds is not None:
            return np.log(np.asarray(self.seconds, np.float64))
        return np.asarray(self.measures.get(name, np.nan), np.float64)

    def condition(self, name: Condition, edges_s: ArrayLike = ()) -> NDArray[np.str_]:
        """The values of a condition; `UNKNOWN` where it is not known.

        Args:
            name: the condition.
            edges_s: where bins of the duration end and the next begin, s.
        """
        if name != "duration":
            return np.asarray(self.conditions.get(name, UNKNOWN), np.str_)
        if self.seconds is None:
            return np.asarray(UNKNOWN, np.str_)
        edges = np.asarray(edges_s, np.float64)
        return duration_bins(edges)[np.searchsorted(edges, np.asarray(self.seconds, np.float64), side="right")]

    def take(self, items: NDArray[np.intp] | NDArray[np.bool_]) -> "Known":
        """What is known of some of the recordings, in the order of ``items``."""
        return Known(
            None if self.seconds is None else np.asarray(self.seconds)[items],
            {name: np.asarray(values)[items] for name, values in self.conditions.items()},
            {name: np.asarray(values)[items] for name, values in self.measures.items()},
        )


def duration_bins(edges_s: NDArray[np.float64]) -> NDArray[np.str_]:
    """Name the bins between edges in s, such as ``under 3 s``, ``3 to 5 s`` and ``5 s and more``."""
    names = [f"{edge:.3g}" for edge in edges_s.tolist()]
    if not names:
        return np.array(["all"])
    between = [f"{low} to {high} s" for low, high in pairwise(names)]
    return np.array([f"under {names[0]} s", *between, f"{names[-1]} s and more"])
