"""The pictures of a comparison: error trade-offs of all systems, and their differences with intervals."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vivavoce.comparison.results import Comparison, Difference
from vivavoce.comparison.wording import short_name
from vivavoce.evaluation.measures import Unit
from vivavoce.evaluation.report.figure import BLUE, INK, STYLE, WIDTH_IN, Picture, inline_svg
from vivavoce.evaluation.report.plots import ATTACK_COLOURS, det_picture
from vivavoce.evaluation.scores import TrialScores

AXES: dict[Unit, str] = {"rate": "percentage points", "cost": "cost"}
COLOURS = (BLUE, *ATTACK_COLOURS)  # of the systems in their order
UNSHOWN = 0.45  # how faint a difference is drawn that is not shown to be real
LONGEST_NAME = 28  # letters of a legend that fit on a phone


def pictures_of(comparison: Comparison, systems: Sequence[TrialScores]) -> list[Picture]:
    """Draw what the trials allow.

    Args:
        comparison: what was found.
        systems: the scores compared, on the same trials.
    """
    pairs = list(dict.fromkeys((one.first, one.second) for one in comparison.differences))
    drawn = [_differences(comparison, number, *pair) for number, pair in enumerate(pairs)]
    return [picture for picture in drawn if picture] + _trade_offs(systems)


def _trade_offs(systems: Sequence[TrialScores]) -> list[Picture]:
    trials = systems[0].trials
    answered = np.all([~np.isnan(system.score) for system in systems], axis=0)
    genuine = trials.is_target & answered
    pictures = []
    for name, title, others in (
        ("det-speakers", "Users against other people", trials.is_nontarget & answered),
        ("det-attacks", "Users against attacks", trials.is_spoof & answered),
    ):
        if others.any():
            curves = {one.name: (one.score[genuine], one.score[others]) for one in systems}
            pictures.append(det_picture(name, title, curves))
    return pictures


def _differences(comparison: Comparison, number: int, first: str, second: str) -> Picture | None:
    found = [one for one in comparison.pair(first, second) if one.low is not None and one.value is not None]
    panels = [rows for unit in AXES if (rows := [one for one in found if one.unit == unit])]
    if not panels:
        return None
    names = {name: short_name(measure) for name, measure in comparison.figures.items()}
    order = [system.name for system in comparison.systems]
    colours = {name: COLOURS[order.index(name) % len(COLOURS)] for name in (first, second)}
    heights = [0.36 * len(rows) + 0.3 for rows in panels]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 1.2 + sum(heights) + 0.5 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, rows in zip(axes, panels, strict=True):
            _draw(axis, rows, names, colours)
        looks = [
            *((f"{_short(name)} is better", hue, 1.0) for name, hue in colours.items()),
            ("not shown", INK, UNSHOWN),
        ]
        marks = [
            Line2D([], [], color=hue, alpha=alpha, marker="o", linewidth=2, label=text) for text, hue, alpha in looks
        ]
        figure.legend(handles=marks, loc="outside upper left", ncols=1)
        svg = inline_svg(figure, f"differences-{number}")
    caption = (
        f"Dots are differences, bars their 95 % intervals on the same resampled speakers. Left of 0 {first} is better, "
        f"right of 0 {second}."
    )
    return Picture(f"differences-{number}", f"{first} − {second}", caption, svg)


def _draw(axis: Axes, rows: Sequence[Difference], names: Mapping[str, str], colours: Mapping[str, str]) -> None:
    unit = rows[0].unit
    scale = 100.0 if unit == "rate" else 1.0
    axis.axvline(0, color=INK, linewidth=0.8, linestyle=":")
    for place, one in enumerate(reversed(rows)):
        colour, alpha = (INK, UNSHOWN) if one.better is None else (colours[one.better], 1.0)
        axis.hlines(place, scale * (one.low or 0.0), scale * (one.high or 0.0), color=colour, alpha=alpha, linewidth=2)
        axis.plot(scale * (one.value or 0.0), place, "o", color=colour, alpha=alpha, markersize=6)
    axis.set_yticks(range(len(rows)), [names[one.figure] for one in reversed(rows)])
    axis.set_ylim(-0.6, len(rows) - 0.4)
    reach = 1.1 * max(abs(bound) for one in rows for bound in (one.low or 0.0, one.high or 0.0, one.value or 0.0))
    axis.set_xlim(-scale * (reach or 0.01), scale * (reach or 0.01))
    axis.xaxis.set_major_locator(MaxNLocator(6, prune="both"))
    axis.set_xlabel(AXES[unit])
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(True, axis="x")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
