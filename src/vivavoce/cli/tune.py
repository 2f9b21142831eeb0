"""`vivavoce tune`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, err, out
from vivavoce.cli.train import AllowLeakOption, SetOption


def tune(
    space: Annotated[Path, typer.Argument(help="What to search, as YAML; see examples/space.yaml.")],
    out_dir: Annotated[Path, typer.Option("--out", help="The folder for trials, report and best configuration.")],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials of the whole study, of all workers together.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Begin no trial after this time; the last one is finished.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="A database that several workers share. [default: OUT/study.db]")
    ] = None,
    study: Annotated[str, typer.Option(metavar="NAME", help="Name of the study in the database.")] = "tuning",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the tuning in OUT.")] = False,
    overrides: SetOption = None,
    allow_leak: AllowLeakOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search the settings that train best; says whether the best one is more than luck."""
    from vivavoce.tuning.runner import ExperimentRunner
    from vivavoce.tuning.space import load_space
    from vivavoce.tuning.tuner import Tuner

    found = load_space(space, overrides or [])
    tuner = Tuner(
        found,
        out_dir,
        ExperimentRunner(found, out_dir, allow_leak),
        storage=storage,
        name=study,
        resume=resume,
        say=lambda line: err.print(line, highlight=False, markup=False, soft_wrap=True),
    )
    result = tuner.tune(trials, minutes)
    described = result.to_dict(out_dir) | {
        "report": str(tuner.report),
        "best_config": str(tuner.best_config) if result.best else None,
        "verdict": result.verdict if result.best else None,
    }
    emit(described, as_json, _show)


def _show(result: dict[str, Any]) -> None:
    counts = result["trials"]
    ended = ", ".join(f"{counts[state]} {state}" for state in ("complete", "pruned", "failed", "running"))
    out.print(f"Trials: {ended}, of {counts['planned']} planned", highlight=False)
    if result["best"] is None:
        out.print("No trial has ended well yet.")
    else:
        from vivavoce.tuning.metric import shown

        best, metric = result["best"], result["metric"]
        value = shown(best["value"], metric)
        out.print(f"Best: trial {best['number']}, {metric} {value}, {best['run']}", highlight=False, soft_wrap=True)
        out.print(f"Train it: vivavoce train {result['best_config']} --out RUN", highlight=False, soft_wrap=True)
    if result["verdict"]:
        out.print(result["verdict"], highlight=False, soft_wrap=True)
    out.print(f"Report: [bold]{result['report']}[/]", soft_wrap=True)
