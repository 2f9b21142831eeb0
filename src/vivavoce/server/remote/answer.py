"""How a program on the server answers: one marked line of JSON, or one sentence of what is wrong."""

from __future__ import annotations

import json
import sys
from typing import Any, Callable

MARK = "\x1evivavoce:"


class Refused(Exception):
    """One sentence for the user: what is wrong on the server, where, and how to mend it."""


def answer(main: Callable[[dict[str, Any]], Any], request: dict[str, Any]) -> None:
    """Print what ``main(request)`` returns, or why it refused."""
    try:
        said = {"result": main(request)}
    except Refused as error:
        said = {"refused": str(error)}
    say(said)


def say(value: Any) -> None:
    """Print one marked line; programs that answer in parts call it for each part."""
    sys.stdout.write(MARK + json.dumps(value) + "\n")
    sys.stdout.flush()
