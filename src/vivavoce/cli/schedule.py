"""`vivavoce schedule`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out
from vivavoce.cli.train import SetOption

if TYPE_CHECKING:
    from vivavoce.config import ExperimentConfig

PictureOption = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Draw it, too: a .png or .svg file.")]
WAITS = "it falls with the validation cost; shown is a run whose cost never improves after its first epoch"


def schedule(
    config: Annotated[Path, typer.Argument(help="The experiment as YAML.")],
    overrides: SetOption = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of the run. Default: training.epochs.")] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option(min=1, help="Steps of an epoch. Default: as the training manifest gives.")
    ] = None,
    picture: PictureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the learning rate of a run before it is trained."""
    import numpy as np

    from vivavoce.config import ExperimentConfig
    from vivavoce.settings import load_settings
    from vivavoce.training.rate_pictures import check_picture, draw_schedule

    check_picture(picture)
    given = [] if epochs is None else [f"training.epochs={epochs}"]
    settings = load_settings(ExperimentConfig, config, [*(overrides or []), *given])
    training = settings.training
    steps = steps_per_epoch or _steps(settings)
    factors = np.array(training.schedule.factors(training.epochs * steps, steps))
    rates = training.learning_rate * factors
    kind = training.schedule.type
    if picture is not None:
        draw_schedule(picture, rates, steps, f"{kind}, peak {rates.max():g}")
    result = {
        "type": kind,
        "epochs": training.epochs,
        "steps_per_epoch": steps,
        "warmup_steps": training.schedule.warmup(len(rates)),
        "peak": float(rates.max()),
        "note": WAITS if kind == "plateau" else None,
        "rates": rates.tolist(),
        "picture": None if picture is None else str(picture),
    }
    emit(result, as_json, _show)


def _steps(settings: "ExperimentConfig") -> int:
    from vivavoce.corpus.manifest import read_rows
    from vivavoce.errors import UserError
    from vivavoce.training.epoch_steps import epoch_steps

    if settings.data.train is None:
        raise UserError("data.folds gives no training manifest to count steps from; say --steps-per-epoch.")
    return epoch_steps(read_rows(settings.data.train), settings.training, settings.seed)


def _show(result: dict[str, Any]) -> None:
    from vivavoce.cli.chart import curve, samples

    rates, steps = result["rates"], result["steps_per_epoch"]
    out.print(
        f"{result['type']}: {result['epochs']} epochs of {steps} steps, warm-up {result['warmup_steps']} steps, "
        f"peak {result['peak']:.3g}, last {rates[-1]:.3g}",
        highlight=False,
        soft_wrap=True,
    )
    if out.is_terminal:
        for line in curve(rates, out.width - 12):
            out.print(line, highlight=False, markup=False)
        out.print(f"{'':11}epoch 0 to {result['epochs']}", highlight=False)
    else:
        out.print(f"{'epoch':>8} {'step':>8}  rate", highlight=False)
        for step in samples(len(rates)):
            out.print(f"{step / steps:8.2f} {step:8d}  {rates[step]:.4g}", highlight=False)
    if result["note"]:
        out.print(f"{result['type']}: {result['note']}.", highlight=False, soft_wrap=True)
    if result["picture"]:
        out.print(f"Picture: {result['picture']}", highlight=False, soft_wrap=True)
