"""`vivavoce verify`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from vivavoce.cli.output import JsonOption, emit, out
from vivavoce.errors import UserError

ENROL = "--enrol"
COLOURS = {"accept": "green", "not_the_speaker": "red", "not_live": "red", "abstain": "yellow"}


class NamesBehindEnrol(TyperCommand):
    """A command whose ``--enrol`` takes every name up to the next option, or up to the run folder."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Give each name behind ``--enrol`` an ``--enrol`` of its own, since an option takes one value."""
        spread: list[str] = []
        enrolling = False
        for before, word in zip(["", *args], args, strict=False):
            if word.startswith("-"):
                enrolling = word.split("=")[0] == ENROL
            elif enrolling and before != ENROL and not _is_run(word):
                spread.append(ENROL)
            spread.append(word)
        return super().parse_args(ctx, spread)


def verify(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    enrol: Annotated[
        list[Path], typer.Option(ENROL, metavar="A.wav B.wav …", help="Recordings of the user; three are usual.")
    ],
    test: Annotated[Path, typer.Option(help="The recording to judge.")],
    more: Annotated[list[Path] | None, typer.Argument(metavar="", hidden=True)] = None,
    probe_hz: Annotated[
        str | None,
        typer.Option(help="Tones that the phone was told to play, Hz, separated by spaces. Default: detected."),
    ] = None,
    channel: Annotated[int, typer.Option(min=0, help="Channel of files with several.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Judge one recording: accept, not_the_speaker, not_live or abstain."""
    from vivavoce.verifier import Verifier

    if more:
        stray = next((name for name in (run, *more) if not _is_run(name)), more[0])
        raise UserError(
            f"{stray} belongs to no option; give one run folder, the user's recordings behind --enrol, and one "
            "recording behind --test."
        )
    tones = _tones(probe_hz)
    verdict = Verifier.load(run).enrol(enrol, channel).verify(test, channel, tones)
    emit(verdict.model_dump(mode="json"), as_json, _show)


def _is_run(name: Path | str) -> bool:
    return (Path(name) / "config.yaml").is_file()


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
    for note in verdict["notes"]:
        out.print(f"[yellow]Note:[/] {note}", highlight=False, soft_wrap=True)
