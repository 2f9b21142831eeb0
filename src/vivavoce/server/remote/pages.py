"""Where the page of a job is that serves one: its port on the loopback, and its path with the key in it."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Optional
from urllib.parse import quote

from .records import LIVING, describe, find, read

FOLDER, RECORD, JUPYTERS = "page", "page.json", "jpserver-"
TAIL_BYTES, TAIL_LINES = 8192, 20
LOOK_EVERY_S = 0.1


def main(request: Dict[str, Any]) -> Dict[str, Any]:
    """Wait up to ``wait_s`` seconds until the page of a job is there, or the job has ended.

    Returns ``living``, ``code`` (the job's exit code), ``page`` (port and path; None: not there yet) and ``tail``, the
    last lines of the log.
    """
    folder = find(request["state"], request["id"])
    deadline = time.monotonic() + request["wait_s"]
    while True:
        job = describe(folder)
        living = job["state"] in LIVING
        page = _page(os.path.join(folder, FOLDER)) if living else None
        if page or not living or time.monotonic() >= deadline:
            return {"living": living, "code": job["code"], "page": page, "tail": _tail(os.path.join(folder, "log"))}
        time.sleep(LOOK_EVERY_S)


def _page(folder: str) -> Optional[Dict[str, Any]]:
    """What the record of TensorBoard or Jupyter's own runtime file says; one that is not whole yet says nothing."""
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        said = read(folder, name) if name == RECORD or name.startswith(JUPYTERS) else None
        if said and "token" in said:
            return {"port": said["port"], "path": said["base_url"] + "lab?token=" + quote(said["token"])}
        if said:
            return {"port": said["port"], "path": said["path"]}
    return None


def _tail(path: str) -> List[str]:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return []
