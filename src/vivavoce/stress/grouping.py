"""Groups of given recordings by what their metadata say: a breakdown, where nothing can be made worse."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vivavoce.corpus.manifest import Row
from vivavoce.stress.config import CurveName, StressConfig
from vivavoce.stress.curves import CURVES, levels_of, named

Group = tuple[str, float | None, NDArray[np.bool_]]  # name, value, which recordings

_COLUMNS: dict[CurveName, str] = {
    "distance": "distance_cm",
    "sway": "sway_mm",
    "posture": "posture",
    "device": "device",
}


def groups_of(name: CurveName, rows: Sequence[Row], config: StressConfig) -> list[Group]:
    """Group recordings; empty where their metadata do not say enough for two groups.

    Numbers go into bins around the curve's levels, whose borders lie half-way between them on a log scale; the lowest
    and the highest bin are open. Recordings of which nothing is known are in no group.

    Args:
        name: the curve.
        rows: the test recordings.
        config: the levels.
    """
    column = _COLUMNS.get(name)
    if column is None:
        return []
    values = [getattr(row.meta, column) for row in rows]
    groups = _named_groups(values) if name in ("posture", "device") else _bins(name, values, config)
    return groups if len(groups) > 1 else []


def _named_groups(values: Sequence[str | None]) -> list[Group]:
    known = np.array(["" if value is None else str(value) for value in values])
    return [(str(value), None, known == value) for value in np.unique(known) if value]


def _bins(name: CurveName, values: Sequence[float | None], config: StressConfig) -> list[Group]:
    known = np.array([np.nan if value is None else value for value in values], dtype=float)
    levels = [float(level) for level in levels_of(name, config)]
    edges = np.sqrt(np.array(levels[:-1]) * np.array(levels[1:]))
    place = np.where(np.isnan(known), -1, np.searchsorted(edges, np.nan_to_num(known), side="left"))
    titles = [f"up to {named(name, _round(edges[0]))}"]
    titles += [f"{_round(low):g}–{_round(high):g} {CURVES[name].unit}" for low, high in pairwise(edges)]
    titles.append(f"over {named(name, _round(edges[-1]))}")
    found = [(title, level, place == number) for number, (title, level) in enumerate(zip(titles, levels, strict=True))]
    return [group for group in found if group[2].any()]


def _round(edge: float) -> float:
    return float(f"{edge:.2g}")
