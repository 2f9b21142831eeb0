"""The process that lives as long as a job: it reserves the GPUs, runs the program and writes down how it ended.

It lies whole in the job's folder as `supervise.py`, and is started from there by a launcher, whose name is its
argument, or by Slurm.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import traceback
from typing import Any, Callable, Dict, Optional, Tuple

from .answer import Refused
from .devices import Reserved, reserve
from .processes import MARK, end, host, identity, of_job
from .records import fill, read

NOT_FOUND, NOT_RUNNABLE = 127, 126  # as shells say it
STRAY_GRACE_S = 10.0  # for what a job leaves behind
LOGIN = ("SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "SSH_ORIGINAL_COMMAND", "TMUX", "TMUX_PANE")
PR_SET_PDEATHSIG = 1


def main(request: Dict[str, Any]) -> None:
    """Run the job in whose folder this program lies."""
    folder = os.path.dirname(os.path.abspath(sys.argv[0]))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    code = 1
    try:
        _print_to(os.path.join(folder, "log"))
        code = _supervise(folder)
    except Refused as error:
        _give_up(folder, str(error))
    except Exception as error:
        traceback.print_exc()
        _give_up(folder, "The job could not be started (%s)." % error)
    os._exit(code)  # what main returns would be printed, into the log


def _print_to(log: str) -> None:
    opened = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, given in ((0, nothing), (1, opened), (2, opened)):
        os.dup2(given, number)
    os.close(opened)
    os.close(nothing)


def _give_up(folder: str, sentence: str) -> None:
    sys.stderr.write("vivavoce: %s\n" % sentence)
    ended = {"code": 1, "signal": None, "ended": time.time(), "stopped": False, "note": sentence, "refused": sentence}
    fill(folder, "exit.json", ended)


def _supervise(folder: str) -> int:
    job = read(folder, "job.json")
    assert job is not None
    environment = _take_environment(folder, job)
    reserved = _reserve(job)
    if reserved.devices is not None:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(device["uuid"] for device in reserved.devices)
    child, code = _start(job, environment)
    known = {"began": time.time(), "host": host(), "gpus": reserved.devices or [], "note": reserved.note}
    known["launcher"] = job["launcher"] if job["launcher"] == "slurm" else sys.argv[1]
    known.update(supervisor=identity(os.getpid()), leader=identity(child.pid) if child else None)
    if child is not None:
        signal.signal(signal.SIGTERM, lambda number, frame: _ask_to_end(child))
    fill(folder, "pid.json", known)
    if child is not None:
        if read(folder, "stop.json"):  # it came too early to see the program
            _ask_to_end(child)
        code = child.wait()
    shell_code = 128 - code if code < 0 else code
    ended = {"code": shell_code, "signal": -code if code < 0 else None, "ended": time.time()}
    fill(folder, "exit.json", dict(ended, stopped=read(folder, "stop.json") is not None))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end(lambda: of_job(folder), STRAY_GRACE_S)
    return shell_code


def _reserve(job: Dict[str, Any]) -> Reserved:
    if job["launcher"] == "slurm":  # which gives the devices, and says so in the environment
        return Reserved(None, [], "")
    return reserve(job["wish"], {"user": job["who"], "job": job["id"], "since": time.strftime("%d %b %H:%M")})


def _start(job: Dict[str, Any], environment: Dict[str, str]) -> Tuple[Optional[subprocess.Popen[bytes]], int]:
    """The program, or the code that a shell would give for one that cannot be started."""
    try:
        return (
            subprocess.Popen(
                job["argv"], cwd=job["cwd"], env=environment, start_new_session=True, preexec_fn=_die_with(os.getpid())
            ),
            0,
        )
    except OSError as error:
        sys.stderr.write("vivavoce: %s cannot be started (%s).\n" % (job["argv"][0], error.strerror))
        sys.stderr.flush()
        return None, NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE


def _take_environment(folder: str, job: Dict[str, Any]) -> Dict[str, str]:
    """The variables of the program; the file that holds the secret ones is removed."""
    path = os.path.join(folder, "environment.json")
    given = read(folder, "environment.json") or {"login": {}, "job": {}}
    os.unlink(path)
    # With Slurm those of the login are handed on by sbatch, less and more what a node needs.
    environment = dict(os.environ) if job["launcher"] == "slurm" else dict(given["login"])
    for name in LOGIN:
        environment.pop(name, None)
    environment.setdefault("PYTHONUNBUFFERED", "1")
    environment.update(given["job"])
    environment[MARK] = folder
    return environment


def _die_with(parent: int) -> Callable[[], None]:
    """What makes the kernel end the program when this process is killed, so that none computes on unseen."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return lambda: None

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGTERM)

    return ask


def _ask_to_end(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
