"""What commands print: one JSON document on standard output, or text for people; all else on standard error."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

JsonOption = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document on standard output.")]

out = Console()
err = Console(stderr=True)


def emit(result: Any, as_json: bool, show: Callable[[Any], None]) -> None:
    """Print ``result`` as JSON, or hand it to ``show`` for people."""
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False, default=str))
    else:
        show(result)


def fail(sentence: str) -> int:
    """Print one sentence on standard error; returns the exit code 2."""
    err.print(f"[bold red]Error:[/] {escape(sentence)}", highlight=False, soft_wrap=True)
    return 2
