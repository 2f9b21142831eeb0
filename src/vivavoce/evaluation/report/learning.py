"""Pictures of the training behind a run: losses, error rates and the learning rate by epoch."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from vivavoce.evaluation.report.figure import BLUE, STYLE, VERMILION, WIDTH_IN, Picture, inline_svg


def training_pictures(metrics: Sequence[Mapping[str, object]]) -> list[Picture]:
    """Draw losses, then error rates and the learning rate, by epoch, training beside validation.

    Args:
        metrics: lines of ``metrics.jsonl``: ``epoch``, ``split`` (``train`` or ``validation``), ``loss``, any
            ``loss_*`` and ``*eer*``, and ``lr``. Other keys are left out.

    Returns:
        Up to two pictures; none where no line has an epoch and one of these.
    """
    lines = [line for line in metrics if _is_number(line.get("epoch"))]
    # Those of single kinds of attack have a slash in their names; there may be a dozen of them.
    keys = {key for line in lines for key, value in line.items() if _is_number(value) and "/" not in key}
    losses = [key for key in ("loss", *sorted(key for key in keys if key.startswith("loss_"))) if key in keys]
    others = [key for key in (*sorted(key for key in keys if "eer" in key), "lr") if key in keys]
    warning = "A validation loss that rises while that of training falls: the model learns its speakers by heart."
    pictures = []
    if losses:
        pictures.append(Picture("losses", "Losses", warning, _draw_epochs(lines, losses, "losses")))
    if others:
        title = "Learning rate" if others == ["lr"] else "Error rates and learning rate"
        pictures.append(Picture("schedule", title, "By epoch of training.", _draw_epochs(lines, others, "schedule")))
    return pictures


def _draw_epochs(lines: Sequence[Mapping[str, object]], keys: Sequence[str], name: str) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 0.9 + 1.35 * max(len(keys), 2)), layout="constrained")
        axes = figure.subplots(len(keys), 1, sharex=True, squeeze=False)[:, 0]
        handles: dict[str, Artist] = {}
        for axis, key in zip(axes, keys, strict=True):
            for split, colour, style in (("train", BLUE, "-"), ("validation", VERMILION, "--")):
                points = sorted(
                    (float(line["epoch"]), float(line[key]))  # pyright: ignore[reportArgumentType]
                    for line in lines
                    if str(line.get("split", "train")) == split and _is_number(line.get(key))
                )
                if not points or (key == "lr" and split == "validation"):
                    continue
                x, y = np.array(points).T
                # Single epochs would vanish without a mark; hundreds of marks would hide the line.
                mark = "o" if len(points) < 40 else None
                handles[split] = axis.plot(x, y, color=colour, linestyle=style, marker=mark, markersize=3)[0]
            axis.set_ylabel({"lr": "learning rate"}.get(key, key.replace("loss_", "loss, ").replace("_", " ")))
            axis.grid(True)
        figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=2)
        figure.align_ylabels()
        axes[-1].set_xlabel("epoch")
        axes[-1].xaxis.get_major_locator().set_params(integer=True)
        return inline_svg(figure, name)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
