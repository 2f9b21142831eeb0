"""The pictures of a tuning's report: what trials reached, which keys mattered, and where the good values lie."""

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from vivavoce.evaluation.report.figure import BLUE, INK, ORANGE, STYLE, VERMILION, WIDTH_IN, Picture, inline_svg
from vivavoce.tuning.metric import Metric, is_rate
from vivavoce.tuning.results import TrialRecord, TuningResult

MOST_SLICES = 8
# Values this far above the best, in ranges of the better half, are drawn at the edge: one bad trial hides no others.
_HEADROOM = 2.0


def pictures(result: TuningResult, logarithmic: set[str]) -> list[Picture]:
    """Draw what the trials allow; ``logarithmic`` are the keys whose logarithm was searched."""
    done = [trial for trial in result.trials if trial.state == "complete" and trial.value is not None]
    if not done:
        return []
    drawn = [_history(result, done)]
    if result.importance:
        drawn.append(_importance(result.importance))
    if len(done) > 1:
        drawn.append(_slices(result, done, logarithmic))
    return drawn


def _history(result: TuningResult, done: list[TrialRecord]) -> Picture:
    scale = _scale(result.metric)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 3.6), layout="constrained")
        axis = figure.subplots()
        numbers = np.array([trial.number for trial in done])
        values = scale * _values(done)
        top = _top(values)
        axis.plot(numbers, np.minimum(values, top), "o", color=BLUE, markersize=4, alpha=0.7, label="trial")
        pruned = [trial for trial in result.trials if trial.state == "pruned" and trial.value is not None]
        if pruned:
            x = [trial.number for trial in pruned]
            axis.plot(
                x, np.minimum(scale * _values(pruned), top), "x", color=INK, alpha=0.4, markersize=4, label="pruned"
            )
        best = np.minimum.accumulate(values)
        axis.step(numbers, best, where="post", color=BLUE, label="best so far")
        chance = result.chance
        if chance is not None:
            told = [trial for trial in done if trial.resamples is not None]
            reference = next(trial.value for trial in told if trial.number == chance.reference) or 0.0
            bounds = scale * (reference - np.array(chance.bounds))
            label = "what chance gives"
            axis.step([t.number for t in told], bounds, where="post", color=VERMILION, linestyle="--", label=label)
            axis.axhline(scale * reference, color=INK, linewidth=0.8, linestyle=":", alpha=0.5)
        axis.set(xlabel="trial", ylabel=_label(result.metric))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(True)
        figure.legend(loc="outside upper left", ncols=2)
        svg = inline_svg(figure, "history")
    caption = "Lower is better; what is far worse is drawn at the upper edge."
    if chance is not None:
        caption += (
            " The dotted line is the trial that gains are counted from; the best of trials that are no better than it "
            "lies above the dashed line in 95 of 100 draws of validation speakers. A best below it is more than luck."
        )
    return Picture("history", "History", caption, svg)


def _importance(shares: dict[str, float]) -> Picture:
    names = sorted(shares, key=lambda name: shares[name])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 0.9 + 0.42 * len(names)), layout="constrained")
        axis = figure.subplots()
        axis.barh(range(len(names)), [100 * shares[name] for name in names], color=BLUE, height=0.6)
        axis.set_yticks(range(len(names)), names)
        axis.set_xlabel("share of the variance, %")
        svg = inline_svg(figure, "importance")
    caption = "How much of the trials' differences each key explains by itself and with others (fANOVA)."
    return Picture("importance", "Importance", caption, svg)


def _slices(result: TuningResult, done: list[TrialRecord], logarithmic: set[str]) -> Picture:
    keys = list(result.importance) or list(done[0].params)
    keys = keys[:MOST_SLICES]
    values, order = _scale(result.metric) * _values(done), np.arange(len(done))
    best = int(np.argmin(values))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 2.4 * len(keys)), layout="constrained")
        for axis, key in zip(figure.subplots(len(keys), 1, squeeze=False)[:, 0], keys, strict=True):
            x = [trial.params[key] for trial in done]
            if any(isinstance(value, str) for value in x):
                labels = sorted({str(value) for value in x})
                x = [labels.index(str(value)) for value in x]
                axis.set_xticks(range(len(labels)), [_short(label) for label in labels])
                axis.set_xlim(-0.5, len(labels) - 0.5)
            elif key in logarithmic:
                axis.set_xscale("log")
                axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.xaxis.set_minor_formatter(NullFormatter())
            axis.scatter(x, np.minimum(values, _top(values)), c=order, cmap="cividis_r", s=16)
            axis.plot(x[best], values[best], "o", markersize=10, markerfacecolor="none", color=ORANGE)
            axis.set(xlabel=key, ylabel=_label(result.metric))
            axis.grid(True)
        svg = inline_svg(figure, "slices")
    caption = "One dot a trial, later ones darker; the best is ringed. A best at the edge of a range: widen the range."
    return Picture("slices", "Values", caption, svg)


def _values(trials: list[TrialRecord]) -> np.ndarray:
    return np.array([np.nan if trial.value is None else trial.value for trial in trials], dtype=float)


def _top(values: np.ndarray) -> float:
    """Highest value to draw, so that trials that went badly wrong do not press all others together."""
    low, middle = float(values.min()), float(np.median(values))
    return min(float(values.max()), middle + 2 * _HEADROOM * (middle - low)) if middle > low else float(values.max())


def _scale(metric: Metric) -> float:
    return 100.0 if is_rate(metric) else 1.0


def _label(metric: Metric) -> str:
    return metric.replace("_", " ") + (", %" if is_rate(metric) else "")


def _short(label: str) -> str:
    return label if len(label) <= 18 else f"{label[:17]}…"
