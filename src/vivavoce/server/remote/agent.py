"""A program that stays for the length of a transfer and answers one request after the other, each a line of JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from .answer import answer
from .files import main as files_main


def main(request: dict[str, Any]) -> None:
    """Answer requests of :mod:`.files` until standard input ends."""
    while True:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        answer(files_main, json.loads(line))
