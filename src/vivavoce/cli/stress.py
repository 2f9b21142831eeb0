"""`vivavoce stress`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out

if TYPE_CHECKING:
    from vivavoce.stress.config import StressConfig


def stress(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    manifest: Annotated[Path, typer.Argument(help="Recordings of speakers that the run has not seen.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for stress.json and stress.html. Default: RUN/stress")
    ] = None,
    curves: Annotated[
        str | None,
        typer.Option(
            help="Curves, joined by commas: snr, duration, rate, codec, band, gain, distance, sway, posture, rolloff, "
            "device. Default: all that the recordings allow."
        ),
    ] = None,
    levels: Annotated[
        list[str] | None,
        typer.Option(metavar="CURVE=A,B,…", help="Levels of one curve, such as snr=30,20,10; repeatable."),
    ] = None,
    max_recordings: Annotated[
        int | None, typer.Option(min=10, help="Test recordings at most, drawn from all speakers and kinds.")
    ] = None,
    trials: Annotated[
        Path | None, typer.Option(help="CSV of trials: enrol (paths joined by ;), test, label. Default: made here.")
    ] = None,
    noise: Annotated[Path | None, typer.Option(help="Folder of noise recordings. Default: made pink noise.")] = None,
    resimulate: Annotated[
        Path | None,
        typer.Option(
            metavar="SPEECH", help="Manifest of recorded speech to simulate distance, sway, posture and rolloff from."
        ),
    ] = None,
    phones: Annotated[
        Path | None, typer.Option(help="Known phone times of SPEECH (JSON lines beside made voices).")
    ] = None,
    both: Annotated[bool, typer.Option("--both", help="Make the enrolment recordings worse, too.")] = False,
    config: Annotated[Path | None, typer.Option(help="All settings of the test, as YAML.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the config; repeatable."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: 2.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of every draw. Default: the config's.")] = None,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Go on where the run was trained on some of it; the page says so.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make recordings worse level by level: error rates against noise, duration, codec, distance and more."""
    from vivavoce.stress.stress import stress as run_stress

    given = {"max_recordings": max_recordings, "noise": noise, "workers": workers, "seed": seed}
    settings = _settings(config, curves, levels or [], {**given, "degrade_enrolment": both or None}, overrides or [])
    result, page = run_stress(
        run,
        manifest,
        settings,
        out_dir,
        trials=trials,
        resimulate=resimulate,
        phones=phones,
        command=shlex.join(["vivavoce", *sys.argv[1:]]),
        allow_leak=allow_leak,
    )
    emit({**result.model_dump(mode="json"), "report": str(page)}, as_json, _show)


def _settings(
    config: Path | None, curves: str | None, levels: list[str], given: dict[str, Any], overrides: list[str]
) -> "StressConfig":
    import json

    from vivavoce.errors import UserError
    from vivavoce.settings import load_settings
    from vivavoce.stress.config import CURVE_NAMES, StressConfig

    asked = None if curves is None else [name.strip() for name in curves.split(",")]
    names, said = list(asked or []), list(overrides)
    for text in levels:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise UserError(f"Levels are written CURVE=A,B,…, such as snr=30,20,10, not {text}.")
        names.append(name)
        said.append(f"{name}=[{values}]")
    unknown = [name for name in names if name not in CURVE_NAMES]
    if unknown:
        raise UserError(f"There is no curve {unknown[0]!r}; there are {', '.join(CURVE_NAMES)}.")
    if asked is not None:
        said.append(f"curves={json.dumps(asked)}")
    said += [f"{key}={json.dumps(value, default=str)}" for key, value in given.items() if value is not None]
    return load_settings(StressConfig, config, said)


def _show(result: dict[str, Any]) -> None:
    from rich.box import SIMPLE
    from rich.table import Column, Table

    from vivavoce.stress.results import SHOWN, CurveResult
    from vivavoce.stress.words import shown, shown_bounds

    for curve in (CurveResult.model_validate(one) for one in result["curves"]):
        keys = [key for key in SHOWN if curve.has(key)]
        asks = curve.has("live_abstained")
        names = [*(SHOWN[key] for key in keys), *(["No answer, live"] if asks else [])]
        first = Column(curve.words.title, no_wrap=True)
        table = Table(first, *names, box=SIMPLE, show_edge=False, padding=(0, 1, 0, 0))
        for level in curve.levels:
            measures = [level.measures.get(key) for key in keys]
            cells = [f"{shown(one)}\n{shown_bounds(one)}".rstrip() for one in measures]
            table.add_row(level.name, *cells, *([shown(level.measures.get("live_abstained"))] if asks else []))
        out.print(table)
        for sentence in curve.sentences:
            out.print(sentence, highlight=False, soft_wrap=True)
        out.print()
    for note in result["notes"]:
        out.print(f"[yellow]Note:[/] {note}", highlight=False, soft_wrap=True)
    out.print(f"Report: [bold]{result['report']}[/]", soft_wrap=True)
