"""The figure of a curve: error rates above, the joint cost below them, and how often there is no answer at the foot."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vivavoce.evaluation.report.figure import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    STYLE,
    VERMILION,
    WIDTH_IN,
    Picture,
    inline_svg,
)
from vivavoce.stress.results import SHOWN, CurveResult, Level

_COLOURS = {
    "speaker_eer": (BLUE, "o", "-"),
    "liveness_eer": (VERMILION, "s", "--"),
    "a_dcf": (GREEN, "D", "-"),
    "act_a_dcf": (PURPLE, "v", "--"),
    "live_abstained": (INK, "o", "-"),
    "attack_abstained": (ORANGE, "s", "--"),
}
_WORDS = SHOWN | {"live_abstained": "live", "attack_abstained": "attacks"}
# Panels: which figures, on what axis, how high in inches, and the factor to what is drawn.
_PANELS = (
    (("speaker_eer", "liveness_eer"), "EER, %", 2.3, 100.0),
    (("a_dcf", "act_a_dcf"), "a-DCF", 1.9, 1.0),
    (("live_abstained", "attack_abstained"), "no answer, %", 1.1, 100.0),
)
_APART = 0.12  # between the marks of one level, so that their intervals do not hide each other
# More letters than this under an axis of 5 inches run into each other.
_MOST_LETTERS = 34
CAPTION = "Bars are 95 % intervals over resampled speakers; a bar without a mark has too few trials for a figure."


def picture_of(curve: CurveResult) -> Picture | None:
    """Draw a curve, its levels side by side at equal steps; None where it has no figure."""
    panels = [([key for key in keys if curve.has(key)], label, height, scale) for keys, label, height, scale in _PANELS]
    panels = [panel for panel in panels if panel[0]]
    if not panels:
        return None
    heights = [height for _, _, height, _ in panels]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 0.9 + sum(heights)), layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (keys, label, _, scale) in zip(axes, panels, strict=True):
            tops = [
                _draw(axis, curve, key, scale, _APART * (turn - (len(keys) - 1) / 2)) for turn, key in enumerate(keys)
            ]
            axis.set_ylabel(label)
            # Intervals without a figure reach to 100 % mostly, and would press the others together.
            axis.set_ylim(0, 1.06 * max(tops) or 1)
            axis.grid(True, axis="y")
            if label.startswith("no answer"):
                axis.set(ylim=(-4, 104), yticks=[0, 50, 100])
            if len(keys) > 1:
                axis.legend(loc="lower left", bbox_to_anchor=(0, 0.98), ncols=2, borderaxespad=0, handlelength=1.6)
        ticks = [_tick(level, curve) for level in curve.levels]
        crowded = sum(map(len, ticks)) > _MOST_LETTERS
        axes[-1].set_xticks(range(len(ticks)), ticks, **({"rotation": 35, "ha": "right"} if crowded else {}))
        axes[-1].set_xlim(-0.4, len(ticks) - 0.6)
        axes[-1].set_xlabel(curve.words.axis)
        figure.align_ylabels()
        svg = inline_svg(figure, f"stress-{curve.name}")
    return Picture(curve.name, curve.words.title, CAPTION, svg)


def _draw(axis: Axes, curve: CurveResult, key: str, scale: float, shift: float) -> float:
    """Draw one figure; returns the highest end of the intervals of those levels that have it."""
    measures = [level.measures.get(key) for level in curve.levels]
    values, low, high = (
        scale * np.array([np.nan if m is None or getattr(m, part) is None else getattr(m, part) for m in measures])
        for part in ("value", "low", "high")
    )
    x = np.arange(len(values)) + shift
    colour, mark, style = _COLOURS[key]
    # Levels without an order are not joined: nothing lies between two codecs.
    line = style if curve.words.worse is not None else "none"
    axis.plot(x, values, color=colour, marker=mark, markersize=4.5, linestyle=line, linewidth=1.4, label=_WORDS[key])
    axis.vlines(x, low, high, color=colour, linewidth=1.6, alpha=0.55)
    if curve.how != "grouped" and np.isfinite(values[0]) and not key.endswith("abstained"):
        axis.axhline(values[0], color=colour, linewidth=0.8, linestyle=":", alpha=0.6)
    return float(np.nanmax(np.where(np.isfinite(values), np.fmax(values, high), 0.0)))


def _tick(level: Level, curve: CurveResult) -> str:
    return level.name.removesuffix(f" {curve.words.unit}") if curve.words.unit else level.name
