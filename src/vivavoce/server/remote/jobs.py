"""Start a job that outlives the connection, list jobs, hand on what they print, stop them."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import pwd
import re
import shutil
import sys
import time
from typing import Any, Dict, List, Optional

from .answer import Refused, say
from .launchers import launch
from .processes import check_system, end, host, of_job
from .programs import path_with
from .records import LIVING, describe, describe_all, fill, find, folders, make_slots, read, write
from .slurm import cancel, submit

STARTING_S = 90.0  # a driver may take a minute to say what its GPUs do
LOOK_EVERY_S = 0.02
FOLLOW_EVERY_S, STATE_EVERY_S, SLURM_EVERY_S = 0.1, 1.0, 15.0
CHUNK = 1 << 16
KILL_S = 10.0


def main(request: Dict[str, Any]) -> Any:
    """Do one thing with jobs, by ``request["do"]``."""
    check_system()
    return ACTIONS[request["do"]](request)


# --- start --------------------------------------------------------------------------------------------------------


def start(request: Dict[str, Any]) -> Dict[str, Any]:
    """Make the job's folder, start its supervisor, and wait until it has started the program.

    Raises:
        Refused: a program or a GPU is missing, the disk is full, or the launcher fails.
    """
    path = path_with(request["bin"], request["needs"])
    folder = ""
    try:
        os.makedirs(request["cwd"], exist_ok=True)
        folder = _make_folder(request)
        job = _write(folder, request, path)
        # From here on only slots are written: the job itself may fill the disk at once.
        if request["slurm"]:
            fill(folder, "slurm.json", {"slurm": submit(folder, job, request["slurm"])})
        else:
            launch(request["launcher"], folder, [sys.executable, os.path.join(folder, "supervise.py")])
            _wait(folder)
        return describe(folder)
    except OSError as error:
        _forget(folder)
        raise Refused(_full(error, request["cwd"])) from error
    except BaseException:
        _forget(folder)
        raise


def _make_folder(request: Dict[str, Any]) -> str:
    top = os.path.join(os.path.abspath(request["state"]), "jobs")
    os.makedirs(top, mode=0o700, exist_ok=True)
    clean = re.sub(r"[^A-Za-z0-9_.-]+", "-", request["name"]).strip("-.")[:40] or request["kind"]
    name = "%s-%s" % (time.strftime("%m%d-%H%M%S"), clean)
    number = 1
    while True:
        folder = os.path.join(top, name if number == 1 else "%s-%d" % (name, number))
        try:
            os.mkdir(folder, 0o700)
            return folder
        except FileExistsError:
            number += 1


def _write(folder: str, request: Dict[str, Any], path: str) -> Dict[str, Any]:
    job = {key: request[key] for key in ("kind", "words", "argv")}
    job.update(
        id=os.path.basename(folder),
        cwd=os.path.abspath(request["cwd"]),
        environment=sorted(request["environment"]),
        wish=request["gpus"],
        launcher="slurm" if request["slurm"] else request["launcher"],
        created=time.time(),
        who=_account(),
        host=host(),
        gpus=[],
        slurm=None,
    )
    make_slots(folder)
    _put(folder, "supervise.py", request["supervisor"])
    if request["program"] is not None:
        _put(folder, "program.py", request["program"])
        job["argv"] = [*job["argv"], os.path.join(folder, "program.py")]
    login = {} if request["slurm"] else dict(os.environ)
    own = {"PATH": path, **request["environment"], **request["secrets"]}
    write(os.path.join(folder, "environment.json"), {"login": login, "job": own})
    _put(folder, "log", "")
    write(os.path.join(folder, "job.json"), job)
    return job


def _put(folder: str, name: str, text: str) -> None:
    with open(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _account() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _wait(folder: str) -> None:
    """Until the supervisor has said its process, or why there is none."""
    deadline = time.monotonic() + STARTING_S
    while not read(folder, "pid.json"):
        refused = (read(folder, "exit.json") or {}).get("refused")
        if refused:
            raise Refused(refused)
        if time.monotonic() > deadline:
            fill(folder, "stop.json", {"since": time.time()})
            raise Refused("The job did not start within %d s; the server may be too busy." % STARTING_S)
        time.sleep(LOOK_EVERY_S)


def _forget(folder: str) -> None:
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _full(error: OSError, where: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk of %s on the server is full, so no job was started; free some space there." % where
    return "A job cannot be started in %s (%s: %s)." % (where, error.filename, error.strerror)


# --- stop, remove --------------------------------------------------------------------------------------------------


def stop(request: Dict[str, Any]) -> Dict[str, Any]:
    """End the processes of one job, and nothing else.

    Raises:
        Refused: there is no such job, it is on another machine, or it does not end.
    """
    folder = _to_stop(request)
    job = describe(folder)
    by_slurm = job["launcher"] == "slurm"
    if job["state"] not in LIVING and (by_slurm or not of_job(folder)):
        return {"job": job, "stopped": False}
    if job["host"] != host() and not by_slurm:
        raise Refused(
            "Job %s was started on %s, and this is %s; stop it from there." % (job["id"], job["host"], host())
        )
    if job["state"] in LIVING:
        fill(folder, "stop.json", {"since": time.time()})
    if by_slurm:
        cancel(job["slurm"])
    elif not end(lambda: of_job(folder, (read(folder, "pid.json") or {}).get("leader")), request["grace"]):
        raise Refused("Some processes of job %s do not end, even when killed; see `ps` on the server." % job["id"])
    job = _until_ended(folder, KILL_S + (request["grace"] if by_slurm else 0.0))
    if job["state"] in LIVING:
        raise Refused("Job %s was told to end and still runs; look again with `vivavoce server jobs`." % job["id"])
    with contextlib.suppress(FileNotFoundError):  # there are secrets in it, and a job that never began left it
        os.unlink(os.path.join(folder, "environment.json"))
    return {"job": job, "stopped": True}


def _to_stop(request: Dict[str, Any]) -> str:
    if request["id"] is not None:
        return find(request["state"], request["id"])
    living = [job for job in describe_all(folders(request["state"])) if job["state"] in LIVING]
    if len(living) == 1:
        return living[0]["folder"]
    if not living:
        raise Refused("No job of this work folder is running.")
    raise Refused("Several jobs are running: %s; name one." % ", ".join(job["id"] for job in living))


def _until_ended(folder: str, seconds: float) -> Dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        job = describe(folder)
        if job["state"] not in LIVING or time.monotonic() > deadline:
            return job
        time.sleep(1.0 if job["slurm"] else LOOK_EVERY_S)


def remove(request: Dict[str, Any]) -> Dict[str, Any]:
    """Delete the folder of a job that has ended.

    Raises:
        Refused: there is no such job, or it has processes.
    """
    folder = find(request["state"], request["id"])
    job = describe(folder)
    if job["state"] in LIVING or of_job(folder):
        raise Refused("Job %s is still running; stop it first." % job["id"])
    shutil.rmtree(folder)
    return job


# --- look ---------------------------------------------------------------------------------------------------------


def log(request: Dict[str, Any]) -> None:
    """Say the bytes of a log from an offset on, and with ``follow`` also how the job ended."""
    folder = find(request["state"], request["id"])
    with open(os.path.join(folder, "log"), "rb") as file:
        file.seek(request["offset"] if request["lines"] is None else _last_lines(file, request["lines"]))
        job, looked, spoke = describe(folder), time.monotonic(), time.monotonic()
        while True:
            every = SLURM_EVERY_S if job["launcher"] == "slurm" else STATE_EVERY_S
            if time.monotonic() - looked > every or (job["state"] in LIVING and read(folder, "exit.json")):
                job, looked = describe(folder), time.monotonic()
            # What was printed before the job ended is there when its end is seen.
            at, chunk = file.tell(), file.read(CHUNK)
            if chunk:
                say({"id": job["id"], "at": at, "log": base64.b64encode(chunk).decode()})
            elif not request["follow"]:
                return
            elif job["state"] not in LIVING:
                say({"ended": job})
                return
            else:
                if time.monotonic() - spoke > STATE_EVERY_S:
                    say(None)
                    spoke = time.monotonic()
                time.sleep(FOLLOW_EVERY_S)


def _last_lines(file: Any, count: int) -> int:
    """Offset of the last lines of a file."""
    at = file.seek(0, os.SEEK_END)
    tail = b""
    while at > 0 and tail.count(b"\n") <= count:
        step = min(CHUNK, at)
        at -= step
        file.seek(at)
        tail = file.read(step) + tail
    whole = tail[:-1] if tail.endswith(b"\n") else tail
    lines = whole.split(b"\n") if tail else []  # a progress bar's carriage return ends no line
    left_out = lines[: max(0, len(lines) - count)]
    return at + sum(len(line) + 1 for line in left_out) if count else at + len(tail)


def look(request: Dict[str, Any]) -> List[Optional[Dict[str, Any]]]:
    """Of each path: whether it is a folder, and size and digest (None: too large) of a file; None: there is nothing."""
    return [_seen(os.path.join(request["cwd"], path), request["largest"]) for path in request["paths"]]


def _seen(path: str, largest: int) -> Optional[Dict[str, Any]]:
    if os.path.isdir(path):
        return {"folder": True}
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.blake2b(file.read()).hexdigest() if size <= largest else None
        return {"folder": False, "size": size, "digest": digest}
    except OSError:
        return None


ACTIONS = {
    "start": start,
    "list": lambda request: describe_all(folders(request["state"])),
    "find": lambda request: describe(find(request["state"], request["id"])),
    "stop": stop,
    "remove": remove,
    "log": log,
    "look": look,
}
