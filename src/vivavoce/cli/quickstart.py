"""`vivavoce quickstart`."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, err, out
from vivavoce.cli.verify import COLOURS


def quickstart(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for everything that is made.")] = Path("quickstart"),
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="Real speech: a table, a folder with an index.csv, or a folder a speaker. Default: made here."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every draw.")] = 0,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes of the training. Default: by how much speech there is.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: all cores.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Do the whole job: voices, simulated recordings, training, evaluation, four verdicts."""
    from rich.markup import escape

    from vivavoce.quickstart import quickstart as run_quickstart

    result = run_quickstart(
        *(out_dir, corpus, seed, workers or os.cpu_count() or 1),
        say=lambda line: err.print(f"[cyan]▸[/] {escape(line)}", highlight=False, soft_wrap=True),
        epochs=epochs,
    )
    shown = {
        **result.evaluation.summary(),
        "run": str(result.run),
        "report": str(result.report),
        "verdicts_shown": [demonstration.model_dump() for demonstration in result.demonstrations],
    }
    emit(shown, as_json, _show)


def _show(result: dict[str, Any]) -> None:
    from rich.table import Table

    from vivavoce.cli.evaluate import show_evaluation
    from vivavoce.evaluation.report.results import TRUTHS

    table = Table("Recording", "What it is", "Verdict", "Speaker", "Liveness")
    for row in result["verdicts_shown"]:
        live = "–" if row["liveness_score"] is None else f"{row['liveness_score']:.2f}"
        verdict = f"[{COLOURS[row['verdict']]}]{row['verdict']}[/]"
        table.add_row(row["file"], TRUTHS[row["truth"]], verdict, f"{row['speaker_score']:.2f}", live)
    out.print(table)
    show_evaluation(result)
