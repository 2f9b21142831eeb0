"""The pictures of scores: histograms beside the threshold, and error trade-offs."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import NDArray
from scipy.stats import norm

from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.metrics.rates import det_curve
from vivavoce.evaluation.report.figure import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILION,
    WIDTH_IN,
    Picture,
    inline_svg,
)
from vivavoce.evaluation.report.results import percent

Floats = NDArray[np.float64]

ATTACK_COLOURS = (VERMILION, GREEN, ORANGE, PURPLE, SKY)
# With the six colours these give twelve looks before one returns.
LINE_STYLES = ("-", "--", "-.", ":")
_BINS = 48
_RATE_TICKS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4)
_DET_LIMITS = (0.0007, 0.6)
_CELLS_OF_A_DEVIATE = 50  # a curve of more points is not drawn finer, only larger


def histogram_picture(
    name: str, title: str, genuine: tuple[str, Floats], others: Mapping[str, Floats], threshold: float | None
) -> Picture:
    """Draw a strip for each kind of ``others``: its scores beside the genuine ones, with the threshold.

    Args:
        name: of the picture, unique in a page.
        title: of the picture.
        genuine: label and scores ``(n,)`` of what should be accepted.
        others: label to scores ``(n,)`` of what should be rejected; at least one.
        threshold: accepted from here upward; None: not known.
    """
    edges = _edges([genuine[1], *others.values()], threshold)
    with mpl.rc_context(STYLE):
        height = 3.3 if len(others) == 1 else (1.0 if len(others) <= 3 else 0.8) * len(others)
        figure = Figure(figsize=(WIDTH_IN, 1.0 + height), layout="constrained")
        axes = figure.subplots(len(others), 1, sharex=True, squeeze=False)[:, 0]
        for number, (axis, (label, scores)) in enumerate(zip(axes, others.items(), strict=True)):
            colour = ATTACK_COLOURS[number % len(ATTACK_COLOURS)]
            _draw_shares(axis, genuine[1], edges, BLUE, "-")
            _draw_shares(axis, scores, edges, colour, "--")
            if threshold is not None:
                axis.axvline(threshold, color=INK, linewidth=1.2, linestyle=":")
            axis.set(yticks=[], ylim=(0, None))
            axis.spines["left"].set_visible(False)
            if len(others) > 1:
                axis.set_title(label, loc="left", fontsize=11, pad=2)
        axes[-1].set_xlabel("score (higher: accepted)")
        handles: list[Patch | Line2D] = [Patch(facecolor=BLUE, alpha=0.5, label=_shown(genuine[0]))]
        if len(others) == 1:
            handles += [Patch(facecolor=ATTACK_COLOURS[0], alpha=0.5, label=_shown(label)) for label in others]
        if threshold is not None:
            handles.append(Line2D([], [], color=INK, linewidth=1.2, linestyle=":", label="threshold"))
        figure.legend(handles=handles, loc="outside upper left", ncols=3, handlelength=1.4)
        svg = inline_svg(figure, name)
    caption = f"Share of recordings at each score: {genuine[0]} in blue, the others within a dashed outline."
    if threshold is not None:
        caption += " Right of the dotted threshold they are accepted."
    return Picture(name, title, caption, svg)


def det_picture(
    name: str, title: str, curves: Mapping[str, tuple[Floats, Floats]], pooled: str | None = None
) -> Picture:
    """Draw detection error trade-offs on normal-deviate axes (Martin et al., Eurospeech 1997), the worst first.

    Args:
        name: of the picture, unique in a page.
        title: of the picture.
        curves: label to (genuine scores ``(n,)``, other scores ``(m,)``); at least one.
        pooled: the label of the curve that holds all others, drawn in the colour of the text.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 4.3 + 0.23 * len(curves)), layout="constrained")
        axis = figure.subplots()
        low, high = norm.ppf(_DET_LIMITS)
        axis.plot([low, high], [low, high], color=INK, alpha=0.25, linewidth=0.8)
        colours = (BLUE, *ATTACK_COLOURS) if pooled is None else ATTACK_COLOURS
        looks = [label for label in curves if label != pooled]
        rates = {label: eer(*scores).rate for label, scores in curves.items()}
        for label in sorted(curves, key=lambda label: -rates[label]):
            number = looks.index(label) if label in looks else 0
            colour = INK if label == pooled else colours[number % len(colours)]
            style = "-" if label == pooled else LINE_STYLES[number % len(LINE_STYLES)]
            x, y = _deviates(*curves[label], low - 1, high + 1)
            text = f"{label}, EER {percent(rates[label])}"
            width = 2.4 if label == pooled else 1.6
            axis.plot(x, y, color=colour, linestyle=style, linewidth=width, label=_shown(text))
            point = np.clip(norm.ppf(rates[label]), low, high)
            axis.plot(point, point, "o", color=colour, markersize=5, clip_on=False)
        axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axis.set(xlabel="false accepts, %", ylabel="false rejects, %")
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_locator(FixedLocator(norm.ppf(_RATE_TICKS).tolist()))
            side.set_major_formatter(FixedFormatter([f"{100 * rate:g}" for rate in _RATE_TICKS]))
            side.set_minor_locator(NullLocator())
        axis.grid(True)
        figure.legend(loc="outside lower left", ncols=1, handlelength=2.6)
        svg = inline_svg(figure, name)
    caption = "Each curve trades false accepts for false rejects; lower left is better. Dots mark equal error rates."
    return Picture(name, title, caption, svg)


def _edges(scores: list[Floats], threshold: float | None) -> Floats:
    """Bins that hold the threshold and all scores but a few far out."""
    pooled = np.concatenate([*scores, [] if threshold is None else [threshold]])
    low, high = np.quantile(pooled, [0.0005, 0.9995])
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    margin = 0.03 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, _BINS + 1)


def _draw_shares(axis: Axes, scores: Floats, edges: Floats, colour: str, style: str) -> None:
    share = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)[0] / max(len(scores), 1)
    axis.stairs(share, edges, fill=True, color=colour, alpha=0.28, linewidth=0)
    axis.stairs(share, edges, color=colour, linestyle=style, linewidth=1.4)


def _deviates(genuine: Floats, others: Floats, low: float, high: float) -> tuple[Floats, Floats]:
    """The curve's points as normal deviates of (false accepts, false rejects), without those the eye cannot tell."""
    p_miss, p_fa, _ = det_curve(genuine, others)
    x, y = np.clip(norm.ppf(p_fa), low, high), np.clip(norm.ppf(p_miss), low, high)
    cells = np.round(np.stack([x, y]) * _CELLS_OF_A_DEVIATE)
    moved = np.any(np.diff(cells, axis=1) != 0, axis=0)
    keep = np.concatenate([[True], moved[:-1] | moved[1:], [True]])
    return x[keep], y[keep]


def _shown(label: str) -> str:
    """Keep a label that begins with an underscore, which matplotlib would leave out of the legend."""
    return f" {label}" if label.startswith("_") else label
