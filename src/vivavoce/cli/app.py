"""The tree of commands."""

from typing import Annotated

import typer

from vivavoce import __version__
from vivavoce.cli import (
    audit,
    calibrate,
    compare,
    diagnose,
    evaluate,
    extract,
    gpus,
    import_,
    lr_find,
    negatives,
    quickstart,
    schedule,
    score,
    server,
    simulate,
    split,
    stress,
    train,
    trials,
    tune,
    verify,
    weights,
)

app = typer.Typer(
    name="vivavoce",
    help="Voice login that a recording cannot fool: who is speaking, and is a living mouth saying these words now?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("quickstart")(quickstart.quickstart)
app.add_typer(import_.app, name="import")
app.command("audit")(audit.audit)
app.command("split")(split.split)
app.command("simulate")(simulate.simulate)
app.command("negatives")(negatives.negatives)
app.command("extract")(extract.extract)
app.command("schedule")(schedule.schedule)
app.command("lr-find")(lr_find.lr_find)
app.command("train")(train.train)
app.command("diagnose")(diagnose.diagnose)
app.command("tune")(tune.tune)
app.command("trials")(trials.trials)
app.command("calibrate")(calibrate.calibrate)
app.command("evaluate")(evaluate.evaluate)
app.command("score")(score.score)
app.command("compare")(compare.compare)
app.command("stress")(stress.stress)
app.add_typer(weights.app, name="weights")
app.add_typer(server.app, name="server")
app.command("gpus")(gpus.gpus)
app.command("verify", cls=verify.NamesBehindOptions)(verify.verify)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"vivavoce {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Voice login that a recording cannot fool."""
