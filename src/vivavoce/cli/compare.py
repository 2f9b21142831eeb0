"""`vivavoce compare`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out

if TYPE_CHECKING:
    from vivavoce.evaluation.scores import TrialScores
    from vivavoce.evaluation.trials.table import Trials


def compare(
    systems: Annotated[
        list[Path], typer.Argument(metavar="A B …", help="Two run folders or score files, or more.", show_default=False)
    ],
    manifest: Annotated[
        Path | None, typer.Option("--on", metavar="MANIFEST", help="Recordings to score with run folders.")
    ] = None,
    trials: Annotated[
        Path | None,
        typer.Option(help="The trials to compare on. Default: those of the first score file, or made from MANIFEST."),
    ] = None,
    names: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="What to call the systems. Default: as their files and folders.")
    ] = None,
    page: Annotated[Path | None, typer.Option("--out", metavar="PAGE.html", help="Where to write the page.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare systems on the same trials: runs, or score files of other toolkits; is the difference real?"""
    from vivavoce.comparison.comparing import compare as run_comparison
    from vivavoce.comparison.loading import load_systems
    from vivavoce.comparison.page import write_page

    called = None if names is None else [name.strip() for name in names.split(",")]
    scores = load_systems(systems, _score, manifest, trials, called)
    found = run_comparison(scores).model_copy(update={"command": shlex.join(["vivavoce", *sys.argv[1:]])})
    if page is not None:
        write_page(found, scores, page)
    emit({**found.model_dump(mode="json"), "report": None if page is None else str(page)}, as_json, _show)


def _score(run: Path, manifest: Path, trials: "Trials") -> "TrialScores":
    from vivavoce.assessment import run_scores

    return run_scores(run, manifest, trials)


def _show(result: dict[str, Any]) -> None:
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Column, Table

    from vivavoce.comparison.results import Comparison
    from vivavoce.comparison.wording import p_text, short_name, value_text
    from vivavoce.evaluation.report.wording import measure_text

    report = result.pop("report")
    found = Comparison.model_validate(result)
    names = [escape(system.name) for system in found.systems]
    short = {name: short_name(measure) for name, measure in found.figures.items()}
    style: dict[str, Any] = {"box": SIMPLE, "show_edge": False, "padding": (0, 1, 0, 0)}
    figures = Table(Column("Figure", no_wrap=True), *names, **style)
    for name in short:
        figures.add_row(short[name], *(measure_text(system.measures.get(name)) for system in found.systems))
    several = len(names) > 2
    columns = ["Pair", "Difference"] if several else [" − ".join(names)]
    differences = Table(Column("Figure", no_wrap=True), *columns, "p", "Verdict", **style)
    for one in found.differences:
        pair = [escape(f"{one.first} − {one.second}")] if several else []
        differences.add_row(short[one.figure], *pair, value_text(one), p_text(one.p_holm), escape(one.verdict))
    out.print(f"[bold]{escape(found.headline)}[/]", highlight=False, soft_wrap=True)
    out.print(figures)
    out.print(differences)
    stated = "; ".join(name for name, measure in found.figures.items() if measure.parameters)
    if stated:
        out.print(f"With parameters: {stated}", highlight=False, soft_wrap=True)
    for note in found.notes:
        out.print(f"[yellow]Note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    if report:
        out.print(f"Page: [bold]{escape(report)}[/]", highlight=False, soft_wrap=True)
