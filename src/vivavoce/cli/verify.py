"""`vivavoce verify`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from vivavoce.cli.output import JsonOption, emit, out
from vivavoce.errors import UserError

ENROL, TEST = "--enrol", "--test"
COLOURS = {"accept": "green", "not_the_speaker": "red", "not_live": "red", "abstain": "yellow"}


class NamesBehindOptions(TyperCommand):
    """A command whose ``--enrol`` and ``--test`` take every name up to the next option, or up to the run folder."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Give each name behind such an option that option again, since an option takes one value."""
        spread: list[str] = []
        taking = None
        for before, word in zip(["", *args], args, strict=False):
            if word.startswith("-"):
                option = word.split("=")[0]
                taking = option if option in (ENROL, TEST) else None
            elif taking and before != taking and not _is_run(word):
                spread.append(taking)
            spread.append(word)
        return super().parse_args(ctx, spread)


def verify(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    test: Annotated[list[Path], typer.Option(TEST, metavar="X.wav …", help="The recording to judge, or several.")],
    enrol: Annotated[
        list[Path] | None, typer.Option(ENROL, metavar="A.wav B.wav …", help="Recordings of the user; three are usual.")
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(metavar="", hidden=True)] = None,
    together: Annotated[
        bool, typer.Option("--together", help="Decide on all recordings together, in their order, until sure.")
    ] = False,
    false_accept: Annotated[
        float, typer.Option(min=1e-6, max=0.49, help="With --together: rate of attacks and others accepted.")
    ] = 0.01,
    false_reject: Annotated[
        float, typer.Option(min=1e-6, max=0.49, help="With --together: rate of the user's recordings refused.")
    ] = 0.05,
    prior: Annotated[
        float, typer.Option(min=0.001, max=0.999, help="How likely it is the user, live, before anything is heard.")
    ] = 0.5,
    probe_hz: Annotated[
        str | None,
        typer.Option(help="Tones that the phone was told to play, Hz, separated by spaces. Default: detected."),
    ] = None,
    posture: Annotated[
        str | None, typer.Option(help="Of the phone, for a run calibrated by posture: stand, table, handheld, ear.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="The phone, for a run calibrated by device.")] = None,
    channel: Annotated[int, typer.Option(min=0, help="Channel of files with several.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Judge a recording: accept, not_the_speaker, not_live or abstain; or several together."""
    from vivavoce.evaluation.running import SequentialTest
    from vivavoce.verifier import Verifier

    _refuse_strays(run, more)
    if len(test) > 1 and not together:
        raise UserError("Several recordings are behind --test; add --together to decide on them as one, or give one.")
    tones = _tones(probe_hz)
    verifier = Verifier.load(run)
    calibration = verifier.run.calibration
    if enrol:
        verifier = verifier.enrol(enrol, channel)
    elif calibration.speaker is not None:
        raise UserError("Nobody is enrolled; give recordings of the user behind --enrol, three are usual.")
    told = {name: value for name, value in (("posture", posture), ("device", device)) if value is not None}
    if not together:
        emit(verifier.verify(test[0], channel, tones, prior, told).model_dump(mode="json"), as_json, _show)
        return
    liveness = calibration.liveness
    rates = SequentialTest(false_accept=false_accept, false_reject=false_reject)
    if liveness is not None:
        rates = rates.model_copy(update={"correlation": liveness.correlation})
    found = verifier.verify_together(test, channel, tones, rates, told).model_dump(mode="json")
    found["recordings"] = [{"file": str(path), **one} for path, one in zip(test, found["recordings"], strict=True)]
    emit(found, as_json, _show_together)


def _refuse_strays(run: Path, more: list[Path] | None) -> None:
    if more:
        stray = next((name for name in (run, *more) if not _is_run(name)), more[0])
        raise UserError(
            f"{stray} belongs to no option; give one run folder, the user's recordings behind --enrol, and what is to "
            "be judged behind --test."
        )


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
    answer, sure = verdict["verdict"], verdict["confidence"]
    words = f"  (confidence {sure:.2f})" if sure is not None else ""
    out.print(f"[bold {COLOURS[answer]}]{answer}[/]  {verdict['reason']}{words}", highlight=False)
    if verdict["advice"]:
        out.print(f"[bold]{verdict['advice']}[/]", highlight=False)
    for name in ("speaker", "liveness"):
        if verdict[f"{name}_score"] is not None:
            score, threshold, probability = (
                verdict[f"{name}_{part}"] for part in ("score", "threshold", "probability")
            )
            needed = "" if threshold is None else f"  threshold {threshold:6.2f}"
            out.print(f"{name:9} score {score:6.2f}{needed}  probability {probability:.2f}", highlight=False)
    if verdict["fused_score"] is not None:
        together = f"together  score {verdict['fused_score']:6.2f}  threshold {verdict['fused_threshold']:6.2f}  (nats)"
        out.print(together, highlight=False)
    for note in verdict["notes"]:
        out.print(f"[yellow]Note:[/] {note}", highlight=False, soft_wrap=True)


def _show_together(found: dict[str, Any]) -> None:
    for one in found["recordings"]:
        out.print(f"[bold]{one['file']}[/]", highlight=False, soft_wrap=True)
        _show(one)
    answer = found["verdict"]
    word = "undecided" if answer == "abstain" else answer
    ratio = f"joint log ratio {found['log_ratio']:.1f}, {found['needed']:.1f} needed"
    out.print(f"Together: [bold {COLOURS[answer]}]{word}[/]  {found['reason']} ({ratio})", highlight=False)
    if found["advice"]:
        out.print(f"[bold]{found['advice']}[/]", highlight=False)
