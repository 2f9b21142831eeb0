"""What is remembered of an environment: the stamp in it, and the record beside it, which is also the lock of a setup.

The stamp tells what was installed; it is written last, so that a setup that failed or was killed is taken up again. The
record tells whether the folder was made by us, which alone allows to remove it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import json
import os
import time
from typing import Any, Dict, Iterator

from .answer import Refused

STAMP = "vivavoce-setup.json"


def stamp_path(environment: str) -> str:
    """File of the stamp."""
    return os.path.join(environment, STAMP)


def record_path(environment: str) -> str:
    """File of the record, beside the environment's folder."""
    folder, name = os.path.split(os.path.abspath(environment))
    return os.path.join(folder, f".{name}.setup.json")


def read(path: str) -> Dict[str, Any]:
    """What is in one of the two files; empty where there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write(path: str, value: Dict[str, Any]) -> None:
    """Write one of the two files; in its place, since the lock is on it and a full disk must not empty it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        os.ftruncate(descriptor, os.write(descriptor, json.dumps(value).encode()))
    finally:
        os.close(descriptor)


def who() -> Dict[str, Any]:
    """Who is at work now."""
    return {"who": getpass.getuser(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M")}


@contextlib.contextmanager
def only_one(environment: str) -> Iterator[None]:
    """Let one setup at a time work on an environment; the kernel lets go when the process ends, however it ends."""
    path = record_path(environment)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise Refused(
            f"{path} cannot be opened on the server ({error.strerror}); choose another place with --env-path."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            other = read(path)
            since = f" since {other['since']}" if "since" in other else ""
            raise Refused(
                f"{other.get('who', 'Somebody')} is setting {environment} up{since} (process {other.get('pid', '?')}); "
                "wait until that has ended, and run the same command again."
            ) from error
        # Some network file systems know no locks; better without than not at all.
    try:
        write(path, {**read(path), **who()})
        yield
    finally:
        os.close(descriptor)
