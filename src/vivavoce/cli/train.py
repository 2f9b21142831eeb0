"""`vivavoce train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out

SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the config; repeatable.")
]


def train(
    config: Annotated[Path, typer.Argument(help="The experiment as YAML.")],
    out_dir: Annotated[Path, typer.Option("--out", help="The run folder to write.")],
    overrides: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a speaker and liveness model into a run folder."""
    from vivavoce.config import ExperimentConfig
    from vivavoce.experiment import Experiment
    from vivavoce.settings import load_settings

    experiment = Experiment(load_settings(ExperimentConfig, config, overrides or []))
    run = experiment.train(out_dir, resume)
    calibration = run.read_calibration()
    result = {
        "run": str(run.path),
        "validation": {
            "speaker_eer": calibration.speaker.eer,
            "liveness_eer": calibration.liveness.eer if calibration.liveness else None,
        },
        "metrics": run.read_metrics(),
    }
    emit(result, as_json, _show)


def _show(result: dict[str, Any]) -> None:
    validation = result["validation"]
    out.print(f"Run: [bold]{result['run']}[/]")
    out.print(f"Validation: speaker EER {100 * validation['speaker_eer']:.1f} %", highlight=False)
    if validation["liveness_eer"] is not None:
        out.print(f"            liveness EER {100 * validation['liveness_eer']:.1f} %", highlight=False)
