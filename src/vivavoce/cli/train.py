"""`vivavoce train`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out

SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the config; repeatable.")
]
AllowLeakOption = Annotated[
    bool, typer.Option("--allow-leak", help="Go on where manifests share speakers, files or sources; it is recorded.")
]


def train(
    config: Annotated[Path, typer.Argument(help="The experiment as YAML.")],
    out_dir: Annotated[Path, typer.Option("--out", help="The run folder to write; with --fold, the folder of runs.")],
    overrides: SetOption = None,
    fold: Annotated[
        str | None, typer.Option(metavar="K|all", help="Train fold K (from 0) of data.folds, or all, into OUT/fold-K.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
    allow_leak: AllowLeakOption = False,
    act: Annotated[
        bool | None,
        typer.Option("--act/--no-act", help="Let the diagnosis act by itself, as training.act.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a speaker and liveness model into a run folder; training and validation must not leak into each other."""
    from vivavoce.config import ExperimentConfig
    from vivavoce.settings import load_settings

    acting = [] if act is None else [f"training.act={str(act).lower()}"]
    settings = load_settings(ExperimentConfig, config, [*(overrides or []), *acting])
    if fold is None:
        from vivavoce.experiment import Experiment

        emit(_describe(Experiment(settings).train(out_dir, resume, allow_leak)), as_json, _show)
        return
    from vivavoce.crossvalidation import train_folds

    runs = train_folds(settings, _fold(fold), out_dir, resume, allow_leak)
    emit({"folds": [{"fold": number, **_describe(run)} for number, run in runs.items()]}, as_json, _show_folds)


def _fold(text: str) -> int | None:
    """Read ``--fold``; None: all of them."""
    from vivavoce.errors import UserError

    if text == "all":
        return None
    if not text.isdecimal():
        raise UserError(f"--fold {text} is not possible; give a number from 0, or all.")
    return int(text)


def _describe(run: Any) -> dict[str, Any]:
    calibration = run.read_calibration()
    return {
        "run": str(run.path),
        "validation": {
            "speaker_eer": calibration.speaker.eer if calibration.speaker else None,
            "liveness_eer": calibration.liveness.eer if calibration.liveness else None,
        },
        "leaks": json.loads(run.leaks.read_text(encoding="utf-8")) if run.leaks.is_file() else [],
        "metrics": run.read_metrics(),
    }


def _show(result: dict[str, Any]) -> None:
    validation = result["validation"]
    out.print(f"Run: [bold]{result['run']}[/]", soft_wrap=True)
    rates = [
        f"{task} EER {100 * rate:.1f} %"
        for task in ("speaker", "liveness")
        if (rate := validation[f"{task}_eer"]) is not None
    ]
    out.print("Validation: " + f"\n{'':12}".join(rates), highlight=False)


def _show_folds(result: dict[str, Any]) -> None:
    for run in result["folds"]:
        _show(run)
