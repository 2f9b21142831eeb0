"""Jobs on the server: started detached from the connection, listed, followed, stopped.

What happens there is `remote/jobs.py`; how a command line becomes an argument list is `launch.py`.
"""

import base64
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from vivavoce.errors import UserError
from vivavoce.server.faults import ConnectionLost
from vivavoce.server.launch import Launch
from vivavoce.server.profile import Profile
from vivavoce.server.program import compose
from vivavoce.server.ssh import Connection

LIVING = ("queued", "running")
STOP_GRACE_S = 20.0  # between asking a job to end and killing it
STOP_ANSWER_S = 60.0  # more than what stopping takes beyond its grace
RETRY_EVERY_S, RETRY_FOR_S = 1.0, 600.0  # while following a log, after a cut


@dataclass(frozen=True)
class Devices:
    """The GPUs a job asks for.

    Args:
        count: How many; none with 0.
        wanted: Indices of just these GPUs; empty: the freest.
        share: Take GPUs that somebody else uses, too.
        required: Refuse a server without GPUs; else the job starts without one and says so.
    """

    count: int = 1
    wanted: tuple[int, ...] = ()
    share: bool = False
    required: bool = True


@dataclass(frozen=True)
class Job:
    """One job as the server knows it; times are seconds since 1970 by the server's clock.

    ``state`` is queued (Slurm), running, finished (exit code 0), failed, stopped (by us) or lost (its process is gone
    and left no exit code: it was killed, or the server restarted). ``code`` is as a shell gives it, 128 + signal.
    """

    id: str
    kind: str
    state: str
    words: tuple[str, ...]  # the command as the user wrote it
    argv: tuple[str, ...]  # what was run
    environment: tuple[str, ...]  # names of the variables that were set for it
    gpus: tuple[dict[str, Any], ...]  # uuid, index, name
    launcher: str
    slurm: str | None  # Slurm's number of it
    who: str
    host: str
    cwd: str
    folder: str  # on the server, absolute
    created: float
    began: float | None
    ended: float | None
    seconds: float | None  # it ran, or runs so far
    code: int | None
    signal: int | None
    note: str  # what else is worth saying; mostly empty

    @property
    def living(self) -> bool:
        """Whether it waits or runs."""
        return self.state in LIVING

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Ended:
    """The end of a followed log: the job, no longer living."""

    job: Job


def start(
    connection: Connection,
    profile: Profile,
    launch: Launch,
    *,
    words: Sequence[str] = (),
    name: str | None = None,
    kind: str = "run",
    devices: Devices | None = None,
    environment: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    program: str | None = None,
    slurm: Mapping[str, Any] | None = None,
) -> Job:
    """Start a job in the work folder and return as soon as it runs (or waits, with Slurm).

    Args:
        connection: To the server.
        profile: The server.
        launch: Its argument list and variables, and where its programs are.
        words: The command as the user wrote it.
        name: Part of the job's id; None: the first of ``words``, or the kind.
        kind: run, notebook or tensorboard.
        devices: The GPUs; None: no GPU is wanted, and the job sees none.
        environment: More variables. Their values are in no file once the job runs and in no argument list; their
            names are told with the job.
        secrets: Variables of which not even the names are told.
        program: Text of a Python program to run: it is put into the job's folder, and its path behind the argument
            list. The job's folder is in the variable VIVAVOCE_JOB.
        slurm: What :func:`launch.slurm_request` gave; None: no scheduler.

    Raises:
        UserError: no GPU is free, the program is not there, the disk is full, no launcher works.
    """
    return _job(
        connection.python(
            "jobs",
            {
                "do": "start",
                "state": profile.state,
                "cwd": profile.workdir,
                "bin": launch.bin,
                "needs": list(launch.needs),
                "argv": launch.argv,
                "words": list(words),
                "name": name or (words[0] if words else kind),
                "kind": kind,
                "gpus": asdict(devices) if devices else None,
                "environment": {**launch.environment, **(environment or {})},
                "secrets": dict(secrets or {}),
                "program": program,
                "launcher": str(profile.launcher),
                "slurm": dict(slurm) if slurm else None,
                "supervisor": compose("supervise", {}),
            },
        )
    )


def list_jobs(connection: Connection, profile: Profile) -> list[Job]:
    """All jobs of the work folder that are not removed, oldest first."""
    return [_job(one) for one in connection.python("jobs", {"do": "list", "state": profile.state})]


def find_job(connection: Connection, profile: Profile, key: str | None = None) -> Job:
    """One job by its id or a part of it that no other has; None: the newest.

    Raises:
        UserError: there is none, or several.
    """
    return _job(connection.python("jobs", {"do": "find", "state": profile.state, "id": key}))


def stop_job(
    connection: Connection, profile: Profile, key: str | None = None, grace_s: float = STOP_GRACE_S
) -> tuple[Job, bool]:
    """Ask a job to end, kill what is left of it after ``grace_s``; also whether there was anything to stop.

    Args:
        connection: To the server.
        profile: The server.
        key: As for :func:`find_job`; None: the only one that runs.
        grace_s: Seconds between the request and the kill.

    Raises:
        UserError: there is no such job, several could be meant, or it cannot be ended.
    """
    request = {"do": "stop", "state": profile.state, "id": key, "grace": grace_s}
    answered = connection.python("jobs", request, timeout=grace_s + STOP_ANSWER_S)
    return _job(answered["job"]), answered["stopped"]


def remove_job(connection: Connection, profile: Profile, key: str) -> Job:
    """Forget a job that has ended: its log and record are deleted.

    Raises:
        UserError: there is no such job, or it is still running.
    """
    return _job(connection.python("jobs", {"do": "remove", "state": profile.state, "id": key}))


def read_log(connection: Connection, profile: Profile, key: str | None = None, lines: int | None = None) -> bytes:
    """What a job has printed so far, or the last lines of it.

    Raises:
        UserError: there is no such job, or several.
    """
    request = {"do": "log", "state": profile.state, "id": key, "offset": 0, "lines": lines, "follow": False}
    return b"".join(base64.b64decode(said["log"]) for said in connection.stream("jobs", request) if "log" in said)


def follow(
    connection: Connection,
    profile: Profile,
    key: str | None = None,
    *,
    offset: int = 0,
    lines: int | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Iterator[bytes | Ended]:
    """Yield what a job prints, from byte ``offset`` on (or its last lines), and at its end an :class:`Ended`.

    A connection that is cut is made anew, for ten minutes at the most; no byte is lost or comes twice.

    Args:
        connection: To the server.
        profile: The server.
        key: As for :func:`find_job`.
        offset: Byte of the log to begin with.
        lines: Begin with so many last lines instead.
        tell: Is told once that the connection is cut, and once that it is back.

    Raises:
        UserError: there is no such job, or the server stays away.
    """
    request: dict[str, Any] = {"do": "log", "state": profile.state, "id": key, "offset": offset, "follow": True}
    request["lines"] = lines
    while True:
        try:
            for said in connection.stream("jobs", request):
                if "log" in said:
                    chunk = base64.b64decode(said["log"])
                    # From here on by id: a newer job may have come when the connection is made anew.
                    request |= {"id": said["id"], "offset": said["at"] + len(chunk), "lines": None}
                    yield chunk
                else:
                    yield Ended(_job(said["ended"]))
            return
        except ConnectionLost as cut:
            tell(f"{str(cut).partition(';')[0]}; trying to connect again.")
        _reconnect(connection)
        tell("Connected again.")


def _reconnect(connection: Connection) -> None:
    deadline = time.monotonic() + RETRY_FOR_S
    while True:
        try:
            return connection.reopen()
        except UserError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_EVERY_S)


def _job(said: dict[str, Any]) -> Job:
    known: dict[str, Any] = {field.name: said.get(field.name) for field in fields(Job)}
    for name in ("words", "argv", "environment", "gpus"):
        known[name] = tuple(known[name] or ())
    return Job(**known)
