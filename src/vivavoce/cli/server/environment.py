"""`vivavoce server check` and `setup`: what a server has, and the Python environment that work needs there."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, err, out
from vivavoce.cli.server.connecting import connect

COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}
NameArgument = Annotated[str, typer.Argument(help="The server, as `vivavoce server add` named it.")]


def check(name: NameArgument, as_json: JsonOption = False) -> None:
    """Check a server: connection, login, Python, disks, tools, GPUs and torch, clock; with what to do about each.

    Exit code: 0 nothing is bad, 1 something is, 2 it could not be reached.
    """
    connection = connect(name)
    from vivavoce.server.checks import check as check_server

    rows = [row.to_dict() for row in check_server(connection, name, commit_here())]
    bad = sum(row["status"] == "bad" for row in rows)
    emit({"server": name, "address": connection.profile.address, "bad": bad, "rows": rows}, as_json, show_rows)
    if bad:
        raise typer.Exit(1)


def setup(
    name: NameArgument,
    source: Annotated[
        Path | None,
        typer.Option(
            help="The clone to install. Default: the one that this vivavoce runs from, or the current folder."
        ),
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Option(help="One more extra of the project, such as notebook; kept in the profile. Repeatable."),
    ] = None,
    pip_option: Annotated[
        list[str] | None,
        typer.Option(help="One more option of pip install, such as --index-url=…; kept in the profile. Repeatable."),
    ] = None,
    changes: Annotated[
        bool, typer.Option("--changes", help="Take changes along that are not committed, of files that git knows.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Remove an environment that setup made, and begin anew.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the steps.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the Python environment on the server and install this project there at this commit.

    What is done already is not done again; a setup that failed goes on where it was.
    """
    from vivavoce.server.environment import setup as set_up
    from vivavoce.server.profile import Environment
    from vivavoce.server.profiles import load_profile, save_profile
    from vivavoce.server.source import find_source
    from vivavoce.server.ssh import Connection

    profile = load_profile(name)
    environment = profile.environment.model_dump()
    for key, more in (("extras", extra), ("pip_options", pip_option)):
        environment[key] = list(dict.fromkeys([*environment[key], *(more or [])]))
    wanted = profile.model_copy(update={"environment": Environment.model_validate(environment)})
    code = find_source(source, changes=changes)
    if code.left_out:
        hint = "`git add` them" if changes else "commit them, or add --changes"
        err.print(
            f"Not installed, since not part of {code.commit[:12]}: {_some(code.left_out)}; {hint}.",
            style="yellow",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    result = set_up(Connection(wanted), code, again=again, dry_run=dry_run, say=_say)
    if wanted != profile and not dry_run:
        save_profile(name, wanted)
    emit(result.to_dict() | {"server": name, "dry_run": dry_run}, as_json, _show)


def commit_here() -> str | None:
    """The commit of the clone that is in use here; None where there is none."""
    from vivavoce.errors import UserError
    from vivavoce.server.source import find_source

    try:
        return find_source().commit
    except UserError:
        return None


def show_rows(result: dict[str, Any]) -> None:
    """Print the rows of a check as a table, and below it what to do, in lines that can be copied."""
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table("", Column("Check", no_wrap=True), Column("Found", overflow="fold"), box=SIMPLE, show_edge=False)
    for row in result["rows"]:
        table.add_row(f"[{COLOURS[row['status']]}]{row['status']}[/]", escape(row["name"]), escape(row["found"]))
    out.print(table, highlight=False)
    for row in result["rows"]:
        if row["mend"]:
            out.print(f"{row['name']} → {row['mend']}", highlight=False, markup=False, soft_wrap=True)


def _say(line: str) -> None:
    err.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)


def _some(names: tuple[str, ...], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _show(result: dict[str, Any]) -> None:
    def line(text: str) -> None:
        out.print(text, highlight=False, markup=False, soft_wrap=True)

    if not result["steps"]:
        line(f"Nothing to do: {result['path']} has vivavoce at {result['commit'][:12]}.")
        return
    if result["dry_run"]:
        for number, step in enumerate(result["steps"], 1):
            line(f"{number}. {step['what']}")
            if step["shell"]:
                line(f"   {step['shell']}")
        return
    line(f"{result['path']} has vivavoce at {result['commit'][:12]} with {result['python']}.")
    line(f"See what it can use with `vivavoce server check {result['server']}`.")
