"""`vivavoce diagnose`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from vivavoce.cli.output import JsonOption, emit, err, out

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40
COLOURS = {"still learning": "green", "finished": "green", "too early to say": "blue"}


def diagnose(
    run: Annotated[Path, typer.Argument(help="The run folder, finished or not.", show_default=False)],
    no_audit: Annotated[
        bool, typer.Option("--no-audit", help="Read no sound file, even where the data seem to be at fault.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes of the audit.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Say what a run's loss curves, gradients and data show, why, and what to change."""
    from vivavoce.errors import UserError
    from vivavoce.files import write_json
    from vivavoce.inspection import inspect
    from vivavoce.training.diagnosis.reading import read_lines
    from vivavoce.training.run_folder import RunFolder

    folder = RunFolder.open(run)
    found = inspect(folder, not no_audit, workers).to_dict()
    lines = read_lines(folder)
    emit({"run": str(run), **found}, as_json, lambda result: _show(result, lines))
    try:
        write_json(folder.diagnosis, found)
    except UserError as error:  # the answer is given all the same, as of a run that is kept read-only
        err.print(f"[bold yellow]Warning:[/] {escape(str(error))}", highlight=False, soft_wrap=True)


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """Draw a curve in one line of text, the highest value as the tallest bar; what is no number as a space."""
    if not values:
        return ""
    shown = [values[round(place * (len(values) - 1) / max(1, width - 1))] for place in range(width)]
    shown = list(values) if len(values) <= width else shown
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return " " * len(shown)
    low, high = min(finite), max(finite)
    steps = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * steps)] if math.isfinite(value) else " " for value in shown)


def _show(result: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    _line(result["headline"], "bold")
    for task in result["tasks"]:
        colour = COLOURS.get(task["state"], "red")
        sure = f", {100 * task['confidence']:.0f} % sure" if task["confidence"] else ""
        out.print(f"\n[bold]{task['task']}[/]: [{colour}]{task['state']}[/]{sure}", highlight=False)
        for split in ("train", "validation"):
            name = "loss" if task["task"] == "joint" else f"loss_{task['task']}"
            values = [float(line[name]) for line in lines if line.get("split") == split and line.get(name) is not None]
            if values:
                _line(f"  {split:10}  {sparkline(values)}  {values[-1]:.3g}")
        for sentence in task["evidence"]:
            _line(f"  {sentence}")
        _advice(task["advice"])
    for cause in result["causes"]:
        out.print(f"\n[bold red]{cause['says']}[/]", highlight=False, soft_wrap=True)
        for sentence in cause["evidence"]:
            _line(f"  {sentence}")
        _advice(cause["advice"])
    if result["checked"]:
        _line(f"\nOf the data: {result['checked']}.", "dim")


def _advice(advice: dict[str, Any]) -> None:
    if advice["sets"]:
        _line("  → " + " ".join(f"--set '{change}'" for change in advice["sets"]))
    for sentence in (advice["beside"], advice["expect"]):
        if sentence:
            _line(f"  → {sentence}")


def _line(text: str, style: str = "") -> None:
    out.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
