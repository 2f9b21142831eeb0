"""`vivavoce verify`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out
from vivavoce.errors import UserError

COLOURS = {"accept": "green", "not_the_speaker": "red", "not_live": "red", "abstain": "yellow"}


def verify(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    enrol: Annotated[
        list[Path], typer.Option(metavar="A.wav B.wav …", help="Recordings of the user; three are usual.")
    ],
    test: Annotated[Path, typer.Option(help="The recording to judge.")],
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="", help="Further recordings behind --enrol.", hidden=True)
    ] = None,
    probe_hz: Annotated[
        str | None,
        typer.Option(help="Tones that the phone was told to play, Hz, separated by spaces. Default: detected."),
    ] = None,
    channel: Annotated[int, typer.Option(min=0, help="Channel of files with several.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Judge one recording: accept, not_the_speaker, not_live or abstain."""
    from vivavoce.verifier import Verifier

    tones = _tones(probe_hz)
    # A command line option takes one value; the names that follow --enrol arrive as arguments.
    verdict = Verifier.load(run).enrol([*enrol, *(more or [])], channel).verify(test, channel, tones)
    emit(verdict.model_dump(mode="json"), as_json, _show)


def _tones(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        tones = tuple(float(tone) for tone in text.split())
    except ValueError:
        tones = ()
    if not tones or not all(0 < tone < float("inf") for tone in tones):
        raise UserError(f"--probe-hz {text!r} is not a list of frequencies; write them as '18050 18300'.")
    return tones


def _show(verdict: dict[str, Any]) -> None:
    answer = verdict["verdict"]
    out.print(f"[bold {COLOURS[answer]}]{answer}[/]  {verdict['reason']}", highlight=False)
    out.print(
        f"speaker   score {verdict['speaker_score']:6.2f}  threshold {verdict['speaker_threshold']:6.2f}  "
        f"probability {verdict['speaker_probability']:.2f}",
        highlight=False,
    )
    if verdict["liveness_score"] is not None:
        out.print(
            f"liveness  score {verdict['liveness_score']:6.2f}  threshold {verdict['liveness_threshold']:6.2f}  "
            f"probability {verdict['liveness_probability']:.2f}",
            highlight=False,
        )
