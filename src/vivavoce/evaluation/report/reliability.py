"""The calibration plot: what a probability was said to be, and how often it was true."""

import matplotlib as mpl
from matplotlib.figure import Figure

from vivavoce.evaluation.report.figure import BLUE, INK, STYLE, WIDTH_IN, Picture, inline_svg
from vivavoce.evaluation.report.results import Reliability

QUESTIONS = {
    "speaker": "Is it the enrolled speaker?",
    "liveness": "Is a living mouth speaking?",
    "fused": "Is it the user, live?",
}


def reliability_picture(found: Reliability) -> Picture:
    """Draw the share that was true over the probability that was given, with exact 95 % bars, and the counts below."""
    name = f"reliability-{found.part}"
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.78 * WIDTH_IN, 4.7), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[4.2, 1])
        top.plot([0, 1], [0, 1], color=INK, alpha=0.35, linewidth=0.9, linestyle="--")
        x = [point.predicted for point in found.bins]
        y = [point.observed for point in found.bins]
        below = [max(point.observed - point.low, 0) for point in found.bins]
        above = [max(point.high - point.observed, 0) for point in found.bins]
        top.plot(x, y, color=BLUE, linewidth=1, marker="o", markersize=5)
        top.errorbar(x, y, yerr=[below, above], color=BLUE, linestyle="none", elinewidth=1, capsize=3)
        top.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), ylabel="share that was true")
        top.grid(True)
        counts = [point.count for point in found.bins]
        bottom.bar(x, counts, width=0.03, color=BLUE, alpha=0.5)
        bottom.set(xlabel="probability given", ylabel="count", ylim=(0, 1.35 * max(counts, default=1)), yticks=[])
        for place, count in zip(x, counts, strict=True):
            bottom.annotate(f"{count}", (place, count), (0, 2), textcoords="offset points", ha="center", fontsize=10)
        figure.align_ylabels()
        svg = inline_svg(figure, name)
    caption = (
        "Each dot is a group of recordings: on the dashed line, probabilities can be taken at their word; below it, "
        "they promise too much. Both classes weigh alike. Bars are exact 95 % intervals, as if trials were independent."
    )
    return Picture(name, QUESTIONS.get(found.part, found.part), caption, svg)
