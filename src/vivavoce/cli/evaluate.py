"""`vivavoce evaluate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    manifest: Annotated[Path, typer.Argument(help="The recordings to evaluate on.")],
    trials: Annotated[
        Path | None, typer.Option(help="CSV of trials: enrol (paths joined by ;), test, label. Default: made here.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Where to write the report. Default: RUN/report.html")] = None,
    crop_s: Annotated[
        float | None, typer.Option(min=0.5, help="Judge liveness on the middle of each recording, seconds.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a run: speaker trials, liveness by attack species, a report."""
    from vivavoce.assessment import evaluate as run_evaluation

    result, path = run_evaluation(run, manifest, trials, report=report, liveness_crop_s=crop_s)
    emit({**result.summary(), "report": str(path)}, as_json, show_evaluation)


def show_evaluation(result: dict[str, Any]) -> None:
    """Print the main figures of an evaluation."""
    from rich.table import Table

    if speaker := result.get("speaker"):
        out.print(f"Speaker EER [bold]{_percent(speaker['eer'])}[/] over {speaker['n_target']} target trials")
    table = Table("Attack", "Live", "Attacks", "EER", "Attacks accepted", "Live rejected")
    for row in result["liveness"]:
        rates = [_percent(row[name]) if row[name] else "–" for name in ("apcer", "bpcer")]
        table.add_row(row["species"], str(row["n_live"]), str(row["n_spoof"]), _percent(row["eer"]), *rates)
    if result["liveness"]:
        out.print(table)
    out.print(f"Report: [bold]{result['report']}[/]", soft_wrap=True)


def _percent(estimate: dict[str, Any]) -> str:
    value = f"{100 * estimate['value']:.1f} %"
    if estimate.get("low") is None:
        return value
    return f"{value} ({100 * estimate['low']:.1f}–{100 * estimate['high']:.1f})"
