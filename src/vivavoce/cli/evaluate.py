"""`vivavoce evaluate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, err, out


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder, or the folder that `train --fold` filled.")],
    manifest: Annotated[
        Path | None, typer.Argument(help="The recordings to evaluate on; folds have test parts of their own.")
    ] = None,
    trials: Annotated[
        Path | None, typer.Option(help="CSV of trials: enrol (paths joined by ;), test, label. Default: made here.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Where to write the report. Default: RUN/report.html")] = None,
    crop_s: Annotated[
        float | None, typer.Option(min=0.5, help="Judge liveness on the middle of each recording, seconds.")
    ] = None,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Go on where the run was trained on some of it; the report says so.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a run: speaker trials, liveness by attack species, a report; or the runs of folds: mean ± sd."""
    from vivavoce.errors import UserError

    if (run / "crossvalidation.json").is_file():
        for name, value in (("MANIFEST", manifest), ("--trials", trials), ("--report", report)):
            if value is not None:
                raise UserError(
                    f"{name} does not go with {run}, which holds the runs of folds: each is evaluated on its own test "
                    "part, with its own report; leave it out, or give the run of one fold."
                )
        _evaluate_folds(run, crop_s, allow_leak, as_json)
        return
    if manifest is None:
        raise UserError(f"{run} needs a manifest to be evaluated on; give it as the second argument.")
    from vivavoce.assessment import evaluate as run_evaluation

    result, path = run_evaluation(run, manifest, trials, report=report, liveness_crop_s=crop_s, allow_leak=allow_leak)
    emit({**result.summary(), "report": str(path)}, as_json, show_evaluation)


def show_evaluation(result: dict[str, Any]) -> None:
    """Print the main figures of an evaluation."""
    from rich.box import SIMPLE
    from rich.table import Column, Table

    voice = next((measure for measure in result["speaker_measures"] if measure["key"] == "eer"), None)
    if voice is not None:
        out.print(f"Speaker EER [bold]{_figure(voice)}[/] over {voice['trials']['target']} target trials")
    for measure in result["system_measures"]:
        if measure["key"] in ("false_rejects", "false_accepts", "attacks_accepted"):
            out.print(f"System: {measure['name']} [bold]{_figure(measure)}[/]", highlight=False)
    measured = {(measure["key"], measure["species"]): measure for measure in result["liveness_measures"]}
    # Without frames and with names that never break, eighty columns hold the longest name beside three full intervals.
    columns = (Column("Attack", no_wrap=True), "Live", "Attacks", "EER", "Attacks accepted", "Live rejected")
    table = Table(*columns, box=SIMPLE, show_edge=False, padding=(0, 1, 0, 0))
    for row in result["liveness"]:
        found = [measured.get(key) for key in (("eer", row["species"]), ("apcer", row["species"]), ("bpcer", None))]
        rates = [_figure(measure) if measure else "–" for measure in found]
        table.add_row(row["species"], str(row["n_live"]), str(row["n_spoof"]), *rates)
    if result["liveness"]:
        out.print(table)
    for note in result.get("notes", []):
        out.print(f"[yellow]Note:[/] {note}", highlight=False, soft_wrap=True)
    out.print(f"Report: [bold]{result['report']}[/]", soft_wrap=True)


def _figure(measure: dict[str, Any]) -> str:
    """A rate with its interval; of too few trials the interval alone."""
    if measure["value"] is None:
        return f"few: {100 * measure['low']:.0f}–{100 * measure['high']:.0f} %"
    return _percent(measure)


def _evaluate_folds(run: Path, crop_s: float | None, allow_leak: bool, as_json: bool) -> None:
    from vivavoce.crossvalidation import evaluate_folds

    def say(line: str) -> None:
        err.print(f"[cyan]▸[/] {line}", highlight=False, soft_wrap=True)

    found = evaluate_folds(run, liveness_crop_s=crop_s, allow_leak=allow_leak, say=say)
    emit(found.to_dict(), as_json, show_folds)


def show_folds(result: dict[str, Any]) -> None:
    """Print a line a fold, and the mean ± standard deviation of each equal error rate."""
    from rich.table import Table

    names = list(result["eer"])
    table = Table("EER", *names)
    for one in result["folds"]:
        cells = [f"{100 * one['eer'][name]:.1f} %" if name in one["eer"] else "–" for name in names]
        table.add_row(f"fold {one['fold']}", *cells)
    table.add_section()
    table.add_row("mean ± sd", *(_spread(result["eer"][name]) for name in names))
    out.print(table)
    if result["missing"]:
        which = ", ".join(map(str, result["missing"]))
        out.print(f"Not trained to the end, and not in the mean: fold {which}.", highlight=False, soft_wrap=True)


def _spread(summary: dict[str, Any]) -> str:
    mean = f"{100 * summary['mean']:.1f}"
    return f"{mean} %" if summary["sd"] is None else f"{mean} ± {100 * summary['sd']:.1f} %"


def _percent(estimate: dict[str, Any]) -> str:
    value = f"{100 * estimate['value']:.1f} %"
    if estimate.get("low") is None:
        return value
    return f"{value} ({100 * estimate['low']:.1f}–{100 * estimate['high']:.1f})"
