"""What commands print: one JSON document on standard output, or text for people; all else on standard error."""

import json
import os
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

JsonOption = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document on standard output.")]

# How long the first process of a job may take to report what all of them meet.
FIRST_REPORTS_S = 10.0

out = Console()
err = Console(stderr=True)


def emit(result: Any, as_json: bool, show: Callable[[Any], None]) -> None:
    """Print ``result`` as JSON, or hand it to ``show`` for people; of several processes of a job, the first does."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and os.environ.get("RANK", "0") != "0":
        return
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False, default=str))
    else:
        show(result)


def fail(sentence: str) -> int:
    """Print one sentence on standard error; returns the exit code 2.

    Most errors meet all processes of a job alike. The others leave it to the first to report, which ends the job; what
    only one of them met is said a little later.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        time.sleep(FIRST_REPORTS_S)
    err.print(f"[bold red]Error:[/] {escape(sentence)}", highlight=False, soft_wrap=True)
    return 2
