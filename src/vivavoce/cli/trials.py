"""`vivavoce trials`: a manifest becomes a list of trials, or one list becomes another."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.formats import ListFormat

MAKING = ("enrol", "nontarget", "same_sex", "hard", "run", "balance", "limit", "seed")  # no use with --from
WORDS = {"random": "at random", "same_sex": "of the same sex", "hard": "most alike"}


def trials(
    ctx: typer.Context,
    manifest: Annotated[Path, typer.Argument(help="The recordings.")],
    out_: Annotated[Path, typer.Option("--out", help="Where to write the list.")],
    enrol: Annotated[int, typer.Option(min=1, help="Recordings that enrol a speaker.")] = 3,
    nontarget: Annotated[int, typer.Option(min=1, help="The most non-target trials for each target trial.")] = 10,
    same_sex: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the non-targets that are of the enrolled speaker's sex.")
    ] = 0.0,
    hard: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the non-targets whose voice is most alike, by --run.")
    ] = 0.0,
    run: Annotated[Path | None, typer.Option(help="The run that tells whose voice is alike, for --hard.")] = None,
    balance: Annotated[
        bool,
        typer.Option(
            help="Cut speakers with many recordings down to the median, and give all the same number of non-targets a "
            "target."
        ),
    ] = True,
    attacks: Annotated[bool, typer.Option(help="Also the attacks that claim an enrolled speaker.")] = True,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The most trials; drawn so that classes and speakers keep their shares.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other trials.")] = 0,
    form: Annotated[
        ListFormat,
        typer.Option(
            "--format",
            help="csv: ours. voxceleb: `1 enrolment test`, one enrolment recording and no attacks. asvspoof: `model "
            "test attack key`, with an enrolment list beside it.",
        ),
    ] = ListFormat.CSV,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Write this list, of any of the formats, in another one instead of making one."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a list of trials: who is enrolled with what, what is tested against them, and what is true."""
    from vivavoce.evaluation.trials.making import TrialPlan
    from vivavoce.trial_making import convert_list, make_list

    if source is not None:
        for name in MAKING:
            given = ctx.get_parameter_source(name)
            if given is not None and given.name == "COMMANDLINE":
                raise UserError(
                    f"--{name.replace('_', '-')} says how trials are made, and --from {source} holds made ones; leave "
                    "one of them out."
                )
        result = convert_list(manifest, source, out_, form=form, attacks=attacks)
    else:
        if run is not None and not hard:
            raise UserError("--run tells which non-targets are hard; add --hard with a share, or leave it out.")
        if same_sex + hard > 1:
            raise UserError(
                f"--same-sex {same_sex:g} and --hard {hard:g} are shares of the same non-targets and make "
                f"{same_sex + hard:g}; together they must not be above 1."
            )
        plan = TrialPlan(
            enrol=enrol,
            seed=seed,
            max_nontarget_per_target=nontarget,
            same_sex=same_sex,
            hard=hard,
            attacks=attacks,
            balance=balance,
            limit=limit,
        )
        result = make_list(manifest, out_, plan, form=form, run=run)
    emit(result.to_dict(), as_json, _show)


def _show(result: dict[str, Any]) -> None:
    from rich.box import SIMPLE
    from rich.table import Column, Table

    table = Table(Column("Class", no_wrap=True), Column("Trials", justify="right"), box=SIMPLE, show_edge=False)
    for label, count in result["counts"].items():
        table.add_row(label, f"{count:,}")
        if label == "nontarget":
            for how, drawn in result["drawn"].items():
                table.add_row(f"  {WORDS[how]}", f"[dim]{drawn:,}[/]")
    table.add_section()
    table.add_row("all", f"{result['trials']:,}")
    out.print(table)
    out.print(
        f"{result['speakers']} enrolled speakers, {result['tests']:,} test recordings.", highlight=False, soft_wrap=True
    )
    out.print(f"Written: {', '.join(result['files'])}", highlight=False, markup=False, soft_wrap=True)
