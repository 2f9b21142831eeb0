"""Which processes live on this machine and which of them belong to a job, by Linux's /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from .answer import Refused

MARK = "VIVAVOCE_JOB"  # variable of all processes of a job: its folder
LOOK_EVERY_S = 0.05


class _Stat(NamedTuple):
    state: str
    session: int
    started: int  # in ticks since the machine booted


def check_system() -> None:
    """Refuse a machine whose processes cannot be told apart.

    Raises:
        Refused: this is no Linux.
    """
    if not os.path.exists("/proc/self/stat"):
        raise Refused("Jobs need a server with Linux and its /proc; this one is %s." % os.uname().sysname)


def host() -> str:
    """Name of this machine; a home folder may be that of several."""
    return os.uname().nodename


def identity(pid: int) -> Optional[Dict[str, Any]]:
    """What tells this process from a later one of the same number; None where it does not live."""
    stat = _stat(pid)
    if stat is None:
        return None
    return {"pid": pid, "started": stat.started, "boot": _boot(), "host": host()}


def alive(known: Optional[Dict[str, Any]]) -> bool:
    """Whether the very process of ``identity`` lives."""
    return bool(known) and identity(known["pid"]) == {key: known[key] for key in ("pid", "started", "boot", "host")}


def of_job(folder: str, leader: Optional[Dict[str, Any]] = None) -> List[int]:
    """Processes of this account that carry the job's mark, or are of the session that its ``leader`` leads."""
    mark = os.fsencode("%s=%s" % (MARK, folder))
    session = leader["pid"] if leader is not None and alive(leader) else None
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        stat = _stat(int(name))
        if stat is not None and ((session is not None and stat.session == session) or _carries(name, mark)):
            found.append(int(name))
    return found


def end(find: Callable[[], List[int]], grace_s: float, kill_s: float = 10.0) -> bool:
    """Ask processes to end, kill those that are left after ``grace_s``, and tell whether none is left.

    ``find`` is asked again and again, since processes start others.
    """
    began = time.monotonic()
    asked = set()  # type: set
    while True:
        left = find()
        late = time.monotonic() - began
        if not left or late > grace_s + kill_s:
            return not left
        for pid in left:
            if late >= grace_s:
                _signal(pid, signal.SIGKILL)
            elif pid not in asked:
                asked.add(pid)
                _signal(pid, signal.SIGTERM)
        time.sleep(LOOK_EVERY_S)


def _signal(pid: int, number: int) -> None:
    # One that changed its account, such as by sudo, cannot be told; that it is left is said at the end.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _stat(pid: int) -> Optional[_Stat]:
    """State of a living process of this account; a zombie has ended."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            if os.fstat(file.fileno()).st_uid not in (os.getuid(), 0):
                return None
            fields = file.read().rsplit(b")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] in (b"Z", b"X") else _Stat(fields[0].decode(), int(fields[3]), int(fields[19]))


def _carries(pid: str, mark: bytes) -> bool:
    try:
        with open("/proc/%s/environ" % pid, "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:
        return False


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""
