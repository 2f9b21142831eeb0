"""What `vivavoce server run`, `jobs`, `log` and `stop` print."""

import codecs
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from vivavoce.cli.output import err, out

if TYPE_CHECKING:
    from vivavoce.server.jobs import Ended, Job

HEADS = ("Job", "State", "GPU", "Since", "Took", "Command")
STYLES = {"running": "green", "queued": "yellow", "failed": "red", "lost": "red"}


def show_started(name: str, job: "Job") -> None:
    """Print a new job, and the commands for it."""
    gpus = ", ".join(f"GPU {gpu['index']} ({gpu['name']})" for gpu in job.gpus)
    where = f" on {gpus}" * bool(gpus) + f", as Slurm's job {job.slurm}" * bool(job.slurm)
    # One that ended before it could be told of has its exit code, too.
    state = f"is {job.state}" if job.living else f"has ended ({how(job)})"
    out.print(f"Job {job.id} {state} on {name}{where}.", highlight=False, markup=False, soft_wrap=True)
    for what, command in (
        ("follow", f"log {name} {job.id} --follow"),
        ("list", f"jobs {name}"),
        ("stop", f"stop {name} {job.id}"),
    ):
        out.print(f"  {what:<8}vivavoce server {command}", highlight=False, markup=False, soft_wrap=True)


def show_jobs(found: Sequence["Job"], removed: Sequence[str]) -> None:
    """Print a table of jobs."""
    from rich.box import SIMPLE
    from rich.table import Column, Table

    rows = []
    for job in found:
        since = time.strftime("%d %b %H:%M", time.localtime(job.began or job.created))
        gpus = ",".join(str(gpu["index"]) for gpu in job.gpus)
        rows.append((job.id, how(job), gpus, since, span(job.seconds), shlex.join(job.words or job.argv)))
    if found:
        # A long command would take the room of the other columns; three signs stand between two.
        wide = [max(map(len, column)) for column in zip(HEADS, *rows, strict=True)]
        wide[-1] = max(len(HEADS[-1]), min(wide[-1], out.width - sum(wide[:-1]) - 3 * len(wide)))
        table = Table(
            *(Column(name, no_wrap=True, width=width) for name, width in zip(HEADS, wide, strict=True)),
            box=SIMPLE,
            show_edge=False,
        )
        for job, (name, state, *cells) in zip(found, rows, strict=True):
            table.add_row(name, f"[{STYLES.get(job.state, 'default')}]{state}[/]", *map(escape, cells))
        out.print(table)
    else:
        out.print("No job was started from this work folder yet.")
    for job in found:
        if job.note and (job.living or job.state == "lost"):
            out.print(f"{job.id}: {job.note}", highlight=False, markup=False, soft_wrap=True)
    if removed:
        out.print(f"Removed: {', '.join(removed)}", highlight=False, markup=False, soft_wrap=True)


def how(job: "Job") -> str:
    """State, and the exit code of one that failed."""
    if job.state != "failed":
        return job.state
    return f"failed, signal {job.signal}" if job.signal else f"failed, code {job.code}"


def span(seconds: float | None) -> str:
    """Say a time in hours, minutes and seconds; nothing where it is not known."""
    if seconds is None:
        return ""
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {left:02d} s" if minutes else f"{left} s"


def print_log(parts: "Iterable[bytes | Ended]") -> "Ended | None":
    """Write a log as text, as it comes; signs may be cut in two by its parts."""
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    for part in parts:
        if not isinstance(part, bytes):
            return part
        sys.stdout.write(decode(part))
        sys.stdout.flush()
    return None


def tell(sentence: str) -> None:
    """Say a sentence on standard error."""
    err.print(escape(sentence), highlight=False, soft_wrap=True)
