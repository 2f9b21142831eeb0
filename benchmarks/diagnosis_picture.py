"""Draw docs/diagnosis.svg: the curves of the provoked runs, one row a run, one column a task."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from vivavoce.evaluation.report.figure import STYLE
from vivavoce.files import atomic_path

TRAIN, VALIDATION = "#0969da", "#cf222e"
ACROSS = 2  # runs beside each other


def draw(runs: list[dict], target: Path) -> None:
    """Draw training and validation loss of both tasks of each run, with the state that was found."""
    rows = -(-len(runs) // ACROSS)
    with mpl.rc_context({**STYLE, "svg.hashsalt": "diagnosis", "font.size": 7}):
        figure = Figure(figsize=(2.6 * 2 * ACROSS, 1.65 * rows), layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_facecolor("white")
        axes = np.atleast_2d(figure.subplots(rows, 2 * ACROSS))
        for place, run in enumerate(runs):
            states = {task["task"]: task["state"] for task in run["diagnosis"]["tasks"]}
            for column, task in enumerate(("speaker", "liveness")):
                panel = axes[place // ACROSS, 2 * (place % ACROSS) + column]
                for split, colour in (("train", TRAIN), ("validation", VALIDATION)):
                    lines = [line for line in run["metrics"] if line["split"] == split]
                    values = [line.get(f"loss_{task}", np.nan) for line in lines]
                    panel.plot([line["epoch"] for line in lines], values, color=colour, label=split)
                _scale(panel)
                panel.set_title(f"{run['name'].replace('_', ' ')}\n{task}: {states.get(task, '–')}", fontsize=7)
        axes[0, 0].legend(frameon=False, fontsize=7)
        for panel in axes.flat[2 * len(runs) :]:
            panel.set_visible(False)
        with atomic_path(target) as temporary:
            figure.savefig(temporary, metadata={"Date": None})


def _scale(panel: Axes) -> None:
    """A logarithmic axis with three values."""
    panel.set_yscale("log")
    ticks = np.geomspace(*panel.get_ylim(), 5)[1:-1]
    panel.set_yticks(ticks, [f"{tick:.3g}" for tick in ticks])
    panel.minorticks_off()
