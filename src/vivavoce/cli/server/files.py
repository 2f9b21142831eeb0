"""`vivavoce server push` and `pull`: files to the server and back."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, err, out
from vivavoce.cli.server.connecting import connect
from vivavoce.errors import UserError

if TYPE_CHECKING:
    from vivavoce.server.transfer.result import Options, Reporter

SHOW_AFTER_S = 1.0  # a bar for work that ends at once only flickers
SHOWN = 10  # names of a dry run

Name = Annotated[str, typer.Argument(help="The server, as it was added.")]
To = Annotated[
    str | None, typer.Option(help="Folder the paths go to. Default: the same path below the other side's folder.")
]
Include = Annotated[
    list[str] | None,
    typer.Option(help="Only what fits: a pattern such as '*.wav', for a path below the folder or a name; repeatable."),
]
Exclude = Annotated[list[str] | None, typer.Option(help="Not what fits; repeatable.")]
First = Annotated[int | None, typer.Option(min=1, help="Only the first N files of each folder, by name.")]
Random = Annotated[int | None, typer.Option(min=1, help="Only N files of each folder, drawn at random.")]
Seed = Annotated[int, typer.Option(min=0, help="Another seed draws other files.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Also in place of files that are newer there.")]
Delete = Annotated[
    bool, typer.Option("--delete", help="Remove on the receiving side what the sending side does not have.")
]
Checksum = Annotated[
    bool, typer.Option("--checksum", help="Compare the contents of all files, also of same size and time.")
]
Limit = Annotated[int | None, typer.Option("--bwlimit", min=1, help="The most KiB per second.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")]


def push(
    name: Name,
    paths: Annotated[list[str], typer.Argument(help="Files and folders of this machine.")],
    to: To = None,
    include: Include = None,
    exclude: Exclude = None,
    first: First = None,
    random: Random = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    delete: Delete = False,
    checksum: Checksum = False,
    bwlimit: Limit = None,
    dry_run: DryRun = False,
    as_json: JsonOption = False,
) -> None:
    """Bring files and folders to the server, and prove that they arrived.

    They go to the same place below the work folder that they have below the folder you are in. What is there already
    is not sent again, and a push that was cut goes on where it was. `.git`, `.venv`, `__pycache__` and `.vivavoce` stay
    behind; `--include .git` takes it along.
    """
    options = _options(include, exclude, first, random, seed, overwrite, delete, checksum, bwlimit, dry_run, to)
    _move(True, name, paths, options, as_json)


def pull(
    name: Name,
    paths: Annotated[list[str], typer.Argument(help="Files and folders below the server's work folder.")],
    to: To = None,
    include: Include = None,
    exclude: Exclude = None,
    first: First = None,
    random: Random = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    delete: Delete = False,
    checksum: Checksum = False,
    bwlimit: Limit = None,
    dry_run: DryRun = False,
    as_json: JsonOption = False,
) -> None:
    """Bring files and folders from the server's work folder to the same place below the folder you are in.

    The options are those of push, with the sides exchanged.
    """
    options = _options(include, exclude, first, random, seed, overwrite, delete, checksum, bwlimit, dry_run, to)
    _move(False, name, paths, options, as_json)


def _options(
    include: list[str] | None,
    exclude: list[str] | None,
    first: int | None,
    random: int | None,
    seed: int,
    overwrite: bool,
    delete: bool,
    checksum: bool,
    bwlimit: int | None,
    dry_run: bool,
    to: str | None,
) -> "Options":
    from vivavoce.server.transfer.result import Options
    from vivavoce.server.transfer.selection import Selection

    if first is not None and random is not None:
        raise UserError("--first and --random both say how many files to take; give one of them.")
    if delete and (first is not None or random is not None):
        raise UserError("--delete would remove all that --first or --random leaves out; give one of them.")
    selection = Selection(tuple(include or ()), tuple(exclude or ()), first, random, seed)
    return Options(selection, overwrite, delete, checksum, dry_run, bwlimit, to)


def _move(push: bool, name: str, paths: list[str], options: "Options", as_json: bool) -> None:
    connection = connect(name)
    from vivavoce.server.transfer import moving

    with _reporter("Push" if push else "Pull") as reporter:
        move = moving.push if push else moving.pull
        result = move(connection, paths, options, reporter)
    emit({"server": name, **result.to_dict()}, as_json, _show)


@contextmanager
def _reporter(what: str) -> "Iterator[Reporter]":
    """Sentences and a bar of bytes on standard error; the bar comes once the work takes a while."""
    from vivavoce.server.transfer.result import Reporter

    began = time.monotonic()
    bar: list[Any] = []
    count = {"total": 0, "done": 0}

    def advance(number: int) -> None:
        count["done"] += number
        if not bar and time.monotonic() - began > SHOW_AFTER_S:
            bar.append(_bar(what))
        if bar:
            bar[0].update(bar[0].task_ids[0], total=count["total"], completed=count["done"])

    def total(number: int) -> None:
        count.update(total=number, done=0)

    def say(sentence: str) -> None:
        err.print(sentence, highlight=False, markup=False, soft_wrap=True)

    try:
        yield Reporter(total, advance, say)
    finally:
        if bar:
            bar[0].stop()


def _bar(what: str) -> Any:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=err, transient=True)
    bar.add_task(what, total=None)
    bar.start()
    return bar


def _show(result: dict[str, Any]) -> None:
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Column, Table

    from vivavoce.server.transfer.plan import size

    def line(text: str) -> None:
        out.print(text, highlight=False, markup=False, soft_wrap=True)

    right = {"justify": "right", "no_wrap": True}
    sent = "To send" if result["dry_run"] else "Sent"
    columns = [Column(name, **right) for name in ("Files", "Size", sent, "Size", "Newer there")]
    table = Table(Column("From", overflow="fold"), Column("To", overflow="fold"), *columns, box=SIMPLE, show_edge=False)
    for place in result["places"]:
        numbers = (f"{place['files']:,}", size(place["bytes"]), f"{place['sent']:,}", size(place["sent_bytes"]))
        table.add_row(escape(place["from"]), escape(place["to"]), *numbers, f"{len(place['newer']):,}")
    out.print(table)
    if result["dry_run"]:
        names = [name for place in result["places"] for name in place["names"]]
        _some_of(line, "Would send", names)
    removed = [name for place in result["places"] for name in place["deleted"]]
    _some_of(line, "Would remove" if result["dry_run"] else "Removed", removed)
    if not result["dry_run"]:
        again = f", {result['attempts']} attempts" * (result["attempts"] > 1)
        newer = sum(len(place["newer"]) for place in result["places"])
        but = f", but for {newer:,} that are newer there" * bool(newer)
        line(
            f"{result['sent']:,} of {result['files']:,} files sent in {result['seconds']:.1f} s by {result['program']}"
            f"{again}. Sizes and times are the same on both sides{but}; contents compared: {result['compared']:,}."
        )


def _some_of(line: Any, what: str, names: list[str]) -> None:
    for name in names[:SHOWN]:
        line(f"{what}: {name!r}")
    if len(names) > SHOWN:
        line(f"… and {len(names) - SHOWN:,} more (all with --json)")
