"""Jobs in the tests: one server for all tests of a file, and a work folder of its own for each test."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vivavoce.server import jobs
from vivavoce.server.jobs import Ended, Job
from vivavoce.server.launch import Launch
from vivavoce.server.remote import processes
from vivavoce.server.ssh import Connection

from . import nvidia_smi
from .conftest import end as end_server
from .conftest import lead_to, make_profile
from .sshd import Sshd, why_not


@contextlib.contextmanager
def one_server(folder: Path) -> Iterator[Sshd]:
    """A server with two idle GPUs, for the fixture of a file; its tests must leave it as it is."""
    if why_not():
        pytest.skip(why_not())
    server = Sshd(folder / "a server")
    server.start()
    nvidia_smi.install(server, "idle")
    with pytest.MonkeyPatch.context() as patch:
        lead_to(server, folder, patch)
        yield server
        end_server(server)


@contextlib.contextmanager
def own_folder(server: Sshd, **changes: Any) -> Iterator[Connection]:
    """A connection whose work folder no other test has; what runs there ends with the test."""
    number = len(list(server.home.glob("ada's work *")))
    (server.home / f"ada's work {number}").mkdir()
    profile = make_profile(server, **changes).model_copy(update={"workdir": f"ada's work {number}"})
    yield Connection(profile, ask=False)
    for folder in (server.home / profile.state / "jobs").glob("*"):
        with contextlib.suppress(ProcessLookupError, OSError, ValueError):
            os.kill(json.loads((folder / "pid.json").read_text())["supervisor"]["pid"], signal.SIGKILL)
        processes.end(lambda folder=folder: processes.of_job(str(folder)), 0)


def work_folder(connection: Connection, server: Sshd) -> Path:
    return server.home / connection.profile.workdir


def start(connection: Connection, *argv: str, launch: dict[str, Any] | None = None, **options: Any) -> Job:
    launched = Launch(list(argv), "env/bin", **(launch or {}))
    return jobs.start(connection, connection.profile, launched, words=argv, **options)


def end(connection: Connection, job: Job | None = None) -> Job:
    """The job when it has ended."""
    *_, last = jobs.follow(connection, connection.profile, job and job.id)
    assert isinstance(last, Ended)
    return last.job


def state(connection: Connection, job: Job | None = None) -> str:
    return jobs.find_job(connection, connection.profile, job and job.id).state


def wait_for(there: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := there()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def slot(job: Job, name: str) -> dict[str, Any]:
    return json.loads(Path(job.folder, name).read_text())


def printed(job: Job) -> str:
    return Path(job.folder, "log").read_text()
