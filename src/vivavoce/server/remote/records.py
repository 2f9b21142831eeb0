"""What is written of a job, and what it says of the job's state.

A job is a folder: `job.json` (what was asked), `log` (what it prints) and three slots. A slot is a file that is filled
with blanks before the job starts and written over in place, so that a disk that is full by then loses no exit code:
`pid.json` (the processes, the GPUs), `slurm.json` (Slurm's number), `stop.json` (we asked it to end) and `exit.json`
(how it ended).
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, List, Optional

from .answer import Refused
from .processes import alive, host, of_job
from .slurm import states

SLOTS = {"pid.json": 4096, "slurm.json": 256, "stop.json": 256, "exit.json": 4096}
LIVING = ("queued", "running")
STARTING_S = 120.0  # a job that has not said its process by then never will


def write(path: str, value: Any) -> None:
    """Write a file that is whole or not there."""
    temporary = path + ".new"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(temporary, path)


def make_slots(folder: str) -> None:
    """Take the room of all slots."""
    for name, size in SLOTS.items():
        with open(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(b" " * size)


def fill(folder: str, name: str, value: Dict[str, Any]) -> None:
    """Write over a slot in place."""
    slot = os.open(os.path.join(folder, name), os.O_WRONLY)
    try:
        os.pwrite(slot, json.dumps(value).encode().ljust(SLOTS[name]), 0)
    finally:
        os.close(slot)


def read(folder: str, name: str) -> Optional[Dict[str, Any]]:
    """What a file of a job holds; None where it holds nothing (yet)."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def folders(state: str) -> List[str]:
    """Folders of all jobs, oldest first."""
    top = os.path.join(os.path.abspath(state), "jobs")
    try:
        names = os.listdir(top)
    except FileNotFoundError:
        return []
    jobs = [(read(os.path.join(top, name), "job.json"), os.path.join(top, name)) for name in names]
    return [folder for _, folder in sorted((job["created"], folder) for job, folder in jobs if job)]


def find(state: str, key: Optional[str]) -> str:
    """Folder of the job whose id is ``key``, begins with it, or holds it; None: of the newest.

    Raises:
        Refused: there is none, or several could be meant.
    """
    there = folders(state)
    if not there:
        raise Refused("No job was started from this work folder yet.")
    if key is None:
        return there[-1]
    for fits in (str.__eq__, str.startswith, str.__contains__):
        found = [folder for folder in there if fits(os.path.basename(folder), key)]
        if len(found) == 1:
            return found[0]
        if found:
            raise Refused("%r could be any of %s; write more of the id." % (key, _names(found)))
    raise Refused("There is no job %r; the last ones are %s." % (key, _names(there[-5:])))


def _names(there: List[str]) -> str:
    return ", ".join(os.path.basename(folder) for folder in there[-10:])


def describe(folder: str) -> Dict[str, Any]:
    """All that is known of one job."""
    return describe_all([folder])[0]


def describe_all(there: List[str]) -> List[Dict[str, Any]]:
    """All that is known of jobs; Slurm is asked once for all that it may still have."""
    known = [{**(read(folder, "job.json") or {}), **(read(folder, "slurm.json") or {})} for folder in there]
    open_ = [job["slurm"] for folder, job in zip(there, known) if job.get("slurm") and not read(folder, "exit.json")]
    asked = states(open_)
    return [_describe(folder, job, asked.get(job.get("slurm", ""))) for folder, job in zip(there, known)]


def _describe(folder: str, job: Dict[str, Any], slurm: Optional[Dict[str, str]]) -> Dict[str, Any]:
    pid = read(folder, "pid.json") or {}
    ended = read(folder, "exit.json")  # after Slurm was asked, since the job may end in between
    known = {"state": "", "folder": folder, "began": None, "ended": None, "code": None, "signal": None, "note": ""}
    known.update(job)
    known.update({key: pid[key] for key in ("began", "gpus", "note", "host", "launcher") if pid.get(key)})
    if ended is not None:
        known.update(ended)
        known["state"] = "stopped" if ended["stopped"] else "failed" if ended["code"] else "finished"
    elif slurm is not None:
        _by_slurm(known, slurm, read(folder, "stop.json") is not None)
    else:
        _by_process(known, folder, pid)
    if known["began"] is not None and (ended or known["state"] in LIVING):
        known["seconds"] = max(0.0, (known["ended"] or time.time()) - known["began"])
    return known


def _by_slurm(known: Dict[str, Any], slurm: Dict[str, str], asked_to_stop: bool) -> None:
    running = "running" if known["began"] else "queued"
    ended = "stopped" if asked_to_stop or slurm["reason"].startswith("CANCELLED") else "lost"
    known["state"] = {"ended": ended, "unknown": running}.get(slurm["state"], slurm["state"])
    if slurm["reason"] not in ("", "None"):
        known["note"] = "Slurm: %s" % slurm["reason"]


def _by_process(known: Dict[str, Any], folder: str, pid: Dict[str, Any]) -> None:
    if known["host"] != host():
        known.update(state="running", note="it was started on %s and is only seen from there" % known["host"])
        return
    starting = not pid and time.time() - known["created"] < STARTING_S
    known["state"] = "running" if starting or alive(pid.get("supervisor")) else "lost"
    left = [] if known["state"] == "running" else of_job(folder, pid.get("leader"))
    if left:
        known["note"] = "%d of its processes still run; `vivavoce server stop` ends them" % len(left)
