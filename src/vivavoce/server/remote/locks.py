"""Which GPU is reserved for which job, among all accounts of this machine.

Each device has a file, and the job's supervisor holds its lock (flock) for as long as it lives, so that a job that dies
in any way leaves none behind. What the file holds is only read to say who has it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import stat
import time
from typing import Any, Dict, Iterator, Optional

from .answer import Refused

FOLDER = "/tmp/vivavoce-gpu-locks"
CHOOSING_S = 20.0  # how long another's choice may take
LOOK_EVERY_S = 0.05


def folder() -> str:
    """Folder of the locks, open to all accounts.

    Raises:
        Refused: it cannot be made, or is no folder.
    """
    path = os.environ.get("VIVAVOCE_GPU_LOCKS") or FOLDER
    try:
        with contextlib.suppress(FileExistsError), _open_to_all():
            os.mkdir(path, 0o1777)
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise Refused("%s is no folder; ask who runs the server to remove it." % path)
    except OSError as error:
        raise Refused("%s, the folder of GPU locks, cannot be made (%s)." % (path, error.strerror)) from error
    return path


@contextlib.contextmanager
def choosing(owner: Dict[str, Any]) -> Iterator[None]:
    """Let one account at a time choose among the GPUs.

    Raises:
        Refused: another one takes too long.
    """
    deadline = time.monotonic() + CHOOSING_S
    while True:
        held = take("choosing", owner)
        if held is not None:
            break
        if time.monotonic() > deadline:
            who = (holder("choosing") or {}).get("user", "another account")
            raise Refused("%s is choosing a GPU for more than %d s; try again." % (who, CHOOSING_S))
        time.sleep(LOOK_EVERY_S)
    try:
        yield
    finally:
        os.close(held)


def take(name: str, owner: Dict[str, Any]) -> Optional[int]:
    """Reserve a device for as long as the returned file descriptor is open; None: somebody else has it.

    Raises:
        Refused: its file cannot be used.
    """
    held = _open(name)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise Refused("%s cannot be locked (%s)." % (_path(name), error.strerror)) from error
    with contextlib.suppress(OSError):  # who has it is of use to others only
        os.ftruncate(held, 0)
        os.pwrite(held, json.dumps(owner).encode(), 0)
    return held


def holder(name: str) -> Optional[Dict[str, Any]]:
    """Who has a device: user, job, since; {} where that cannot be read, None where nobody has it.

    To be asked within :func:`choosing` alone, since it takes the lock for a moment.
    """
    if not os.path.lexists(_path(name)):
        return None
    probe = _open(name)
    try:
        fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except OSError:
        try:
            said = json.loads(os.pread(probe, 4096, 0).decode())
            return said if isinstance(said, dict) else {}
        except (OSError, ValueError):
            return {}
    finally:
        os.close(probe)


def _path(name: str) -> str:
    return os.path.join(folder(), re.sub(r"[^\w.-]", "_", name) + ".lock")


def _open(name: str) -> int:
    """Open a lock's file, and make it where there is none.

    Linux forbids opening another's file in such a folder with O_CREAT (fs.protected_regular).
    """
    path = _path(name)
    common = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    for flags in (common, common | os.O_CREAT | os.O_EXCL, common):
        try:
            with _open_to_all():
                opened = os.open(path, flags, 0o666)
        except (FileNotFoundError, FileExistsError):
            continue
        except OSError as error:
            raise Refused("%s, a lock of a GPU, cannot be opened (%s)." % (path, error.strerror)) from error
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            break
        return opened
    raise Refused("%s, a lock of a GPU, cannot be opened; ask who runs the server to remove it." % path)


@contextlib.contextmanager
def _open_to_all() -> Iterator[None]:
    """Make files for all accounts from their first moment on."""
    mask = os.umask(0)
    try:
        yield
    finally:
        os.umask(mask)
