"""`vivavoce lr-find`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out
from vivavoce.cli.schedule import PictureOption
from vivavoce.cli.train import AllowLeakOption, SetOption


def lr_find(
    config: Annotated[Path, typer.Argument(help="The experiment as YAML.")],
    overrides: SetOption = None,
    start: Annotated[float, typer.Option("--from", help="The first rate.")] = 1e-6,
    end: Annotated[float, typer.Option("--to", help="The last one.")] = 1.0,
    steps: Annotated[int, typer.Option(min=10, help="Steps from the one to the other.")] = 100,
    picture: PictureOption = None,
    allow_leak: AllowLeakOption = False,
    as_json: JsonOption = False,
) -> None:
    """Try rising learning rates on the untrained model, and suggest one; nothing is kept of the model."""
    from vivavoce.config import ExperimentConfig
    from vivavoce.experiment import Experiment
    from vivavoce.settings import load_settings
    from vivavoce.training.lr_finder import check_range, find_rate
    from vivavoce.training.rate_pictures import check_picture, draw_range_test

    check_picture(picture)
    check_range(start, end)
    settings = load_settings(ExperimentConfig, config, overrides or [])
    with Experiment(settings).prepared(allow_leak) as trainer:
        found = find_rate(trainer, start, end, steps)
    if picture is not None:
        draw_range_test(picture, found)
    rate = found.suggestion
    result = {
        "suggestion": rate,
        "largest_stable": found.largest_stable,
        "set": None if rate is None else f"--set training.learning_rate={rate:.2g}",
        "diverged": found.diverged,
        "rates": found.rates.tolist(),
        "losses": found.losses.tolist(),
        "smoothed": found.smoothed.tolist(),
        "picture": None if picture is None else str(picture),
    }
    emit(result, as_json, _show)


def _show(result: dict[str, Any]) -> None:
    from vivavoce.cli.chart import curve, samples

    rates, smoothed = result["rates"], result["smoothed"]
    if out.is_terminal:
        for line in curve(smoothed, out.width - 12):
            out.print(line, highlight=False, markup=False)
        out.print(f"{'':11}rate {rates[0]:.2g} to {rates[-1]:.2g}, logarithmic", highlight=False)
    else:
        out.print(f"{'rate':>10}  smoothed loss", highlight=False)
        for step in samples(len(rates)):
            out.print(f"{rates[step]:10.2g}  {smoothed[step]:.4g}", highlight=False)
    if result["diverged"]:
        out.print(f"The loss diverged after {len(rates)} steps.", highlight=False)
    if result["suggestion"] is None:
        out.print("The loss falls at no rate more than it wavers; try more --steps, or another range.", soft_wrap=True)
    else:
        stable = result["largest_stable"]
        out.print(
            f"It falls fastest at {result['suggestion']:.2g}, and is least at {stable:.2g}.",
            highlight=False,
            soft_wrap=True,
        )
        out.print(result["set"], highlight=False, soft_wrap=True)
    if result["picture"]:
        out.print(f"Picture: {result['picture']}", highlight=False, soft_wrap=True)
