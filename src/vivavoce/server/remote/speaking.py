"""Runs a long program on the server and hands on its lines as they come."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from typing import Dict, List, Optional, Tuple

from .answer import say

KEPT_LINES = 60
SILENCE_S = 1.0  # how often a silent program's client is asked whether it is still there


def speak(words: List[str], variables: Dict[str, str], folder: Optional[str]) -> Tuple[int, List[str]]:
    """Run a program and say each line as ``{"line": ...}``; returns its exit code and its last lines.

    When the client is gone, the program and its children are ended.
    """
    try:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return 127, [f"{words[0]}: {error.strerror}"]
    lines: "queue.Queue[Optional[str]]" = queue.Queue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    kept: List[str] = []
    try:
        while True:
            try:
                line = lines.get(timeout=SILENCE_S)
            except queue.Empty:
                say(None)
                continue
            if line is None:
                return process.wait(), kept
            kept = [*kept, line][-KEPT_LINES:]
            say({"line": line})
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise


def _read(process: "subprocess.Popen[bytes]", lines: "queue.Queue[Optional[str]]") -> None:
    for raw in process.stdout or ():
        lines.put(raw.decode(errors="replace").rstrip())
    lines.put(None)
