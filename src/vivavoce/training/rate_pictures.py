"""Pictures of learning rates, as files: a schedule before training, and a range test."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vivavoce.errors import UserError
from vivavoce.evaluation.report.figure import BLUE, INK, STYLE, VERMILION, WIDTH_IN
from vivavoce.files import atomic_path
from vivavoce.training.lr_finder import RangeTest

FORMATS = (".png", ".svg")
DPI = 200


def check_picture(path: Path | None) -> None:
    """Refuse a picture whose name asks for no format that is known.

    Raises:
        UserError: it ends in neither .png nor .svg.
    """
    if path is not None and path.suffix.lower() not in FORMATS:
        raise UserError(f"The picture {path} ends in none of {', '.join(FORMATS)}; choose such a name.")


def draw_schedule(path: Path, rates: np.ndarray, steps_per_epoch: int, title: str) -> None:
    """Draw the rate of each step, ``(steps,)``, over epochs."""
    with mpl.rc_context(STYLE):
        figure, axis = _axis(title)
        axis.plot(np.arange(len(rates)) / steps_per_epoch, rates, color=BLUE)
        axis.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
        _save(figure, path)


def draw_range_test(path: Path, found: RangeTest) -> None:
    """Draw loss over rate, with the suggestion and the largest stable rate."""
    with mpl.rc_context(STYLE):
        figure, axis = _axis("Learning-rate range test")
        axis.semilogx(found.rates, found.losses, ".", color=INK, alpha=0.3, label="loss of a step")
        axis.semilogx(found.rates, found.smoothed, color=BLUE, label="smoothed")
        for rate, colour, style, label in (
            (found.suggestion, VERMILION, "--", "falls fastest"),
            (found.largest_stable, INK, ":", "largest stable"),
        ):
            if rate is not None:
                axis.axvline(rate, color=colour, linestyle=style, linewidth=1.2, label=f"{label}: {rate:.2g}")
        # The explosion at the end would press all else flat.
        low, high = float(np.min(found.losses)), float(np.max(found.smoothed))
        axis.set(xlabel="learning rate", ylabel="loss", ylim=(low - 0.05 * (high - low), high + 0.1 * (high - low)))
        axis.legend()
        _save(figure, path)


def _axis(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_IN, 3.2), layout="constrained")
    axis = figure.subplots()
    axis.set_title(title, fontsize=12)
    axis.grid(True)
    return figure, axis


def _save(figure: Figure, path: Path) -> None:
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata=metadata)
