"""JupyterLab and TensorBoard on the server, led to this machine through a tunnel.

Each is a job that runs `page_program.py` there, so that it can be listed, read and stopped like any other. Others on
the server reach its loopback too: Jupyter's token and TensorBoard's secret path keep them out.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any

from vivavoce.errors import UserError
from vivavoce.server.jobs import Devices, Job, find_job, list_jobs, start, stop_job
from vivavoce.server.launch import Launch
from vivavoce.server.page_program import KEY, NO_FOLDER, NOT_INSTALLED
from vivavoce.server.ssh import Connection
from vivavoce.server.tunnel import LOOPBACK, Tunnel, check_free

START_S = 180.0  # a home on a network disk is slow to import from
LOOK_S = 10.0  # how long one look at a starting job lasts
STOP_GRACE_S = 10.0
RETRY_EVERY_S = 1.0

Tell = Callable[[str], None]


class Kind(StrEnum):
    """What is served."""

    NOTEBOOK = "notebook"
    TENSORBOARD = "tensorboard"

    @property
    def title(self) -> str:
        """Its own name."""
        return {"notebook": "JupyterLab", "tensorboard": "TensorBoard"}[self]


@dataclass(frozen=True)
class Page:
    """A page of the server that can be opened here, as long as the tunnel is there."""

    connection: Connection
    name: str  # of the profile
    kind: Kind
    job: Job
    tunnel: Tunnel
    path: str

    @property
    def url(self) -> str:
        """The address here, with the key of the page in it."""
        return f"http://{LOOPBACK}:{self.tunnel.local_port}{self.path}"

    def to_dict(self) -> dict[str, Any]:
        """Address, ports and job, for JSON."""
        ports = {"port": self.tunnel.local_port, "remote_port": self.tunnel.remote_port}
        return {"url": self.url, **ports, "job": self.job.to_dict()}

    def watch(self, tell: Tell) -> Job:
        """Keep the tunnel open until the job ends, and return the job; a connection that is cut is made anew.

        Args:
            tell: Is told that the connection is gone, once, and that it is back.
        """
        while True:
            self.tunnel.wait_cut()
            if not self._restore(tell):
                return find_job(self.connection, self.connection.profile, self.job.id)
            time.sleep(RETRY_EVERY_S)  # the page may have ended a connection that was idle

    def _restore(self, tell: Tell) -> bool:
        """Lead the same local port through again if the job still lives; whether it does."""
        told = False
        while True:
            try:
                if not _look(self.connection, self.job)["living"]:
                    return False
                if self.tunnel.lead_again():
                    tell("The connection was cut and is there again; the address is the same.")
                return True
            except UserError as error:
                if not told:
                    tell(f"{str(error).partition(';')[0].rstrip('.')}; trying to connect again. Ctrl-C ends it.")
                told = True
                time.sleep(RETRY_EVERY_S)


@contextmanager
def open_page(
    connection: Connection,
    name: str,
    kind: Kind,
    folders: Sequence[str],
    *,
    idle_s: float,
    keep: bool = False,
    devices: Devices | None = None,
    local_port: int | None = None,
    tell: Tell = lambda sentence: None,
) -> Iterator[Page]:
    """Serve folders of the work folder, and lead the page to a port here; at the end both are ended.

    Args:
        connection: To the server.
        name: Of its profile, for what is told.
        kind: JupyterLab, which takes one folder, or TensorBoard.
        folders: Below the work folder, or absolute.
        idle_s: Seconds without use after which it ends by itself, should this machine not be there to end it.
        keep: Leave it running at the end, and take one that was left so in place of a new one.
        devices: GPUs for the notebooks; None: none.
        local_port: None: a free one.
        tell: Is told what has ended, what could not be, and what is left running.

    Raises:
        UserError: the program is not installed there, a folder is missing, no GPU is free, or the port cannot be led.
    """
    profile = connection.profile
    if devices is not None and profile.slurm is not None:
        raise UserError(
            f"A notebook runs on {profile.address} itself, whose GPUs Slurm gives out; leave out --gpus and --gpu, and "
            f"compute with `vivavoce server run {name}`."
        )
    if local_port is not None:
        check_free(local_port)
    job = _kept(connection, kind, folders, devices) if keep else None
    ours = job is None  # what was left running by another is not ended, whatever fails here
    job = job or _start(connection, name, kind, folders, idle_s, devices, tell)
    opened = False
    try:
        where = _wait(connection, name, kind, job)
        tunnel = Tunnel(connection, where["port"], local_port)
        tunnel.open()
        try:
            if not tunnel.wait_answer(where["path"]):
                raise _silent(connection, name, kind, job)
            opened = True
            yield Page(connection, name, kind, job, tunnel, where["path"])
        finally:
            tunnel.close()
    finally:
        if not keep or (ours and not opened):
            _stop(connection, name, kind, job, tell)
        elif opened:
            end = f"`vivavoce server stop {name} {job.id}` ends it"
            tell(f"The tunnel is closed, and {kind.title} is left on {name}; {end}.")


def _start(
    connection: Connection,
    name: str,
    kind: Kind,
    folders: Sequence[str],
    idle_s: float,
    devices: Devices | None,
    tell: Tell,
) -> Job:
    request = json.dumps({"kind": str(kind), "folders": list(folders), "idle_s": idle_s})
    text = files("vivavoce.server").joinpath("page_program.py").read_text(encoding="utf-8")
    try:
        return start(
            connection,
            connection.profile,
            Launch(["python"], f"{connection.profile.environment_path}/bin", ("python",)),
            words=[str(kind), *folders],
            name=str(kind),
            kind=str(kind),
            devices=devices,
            secrets={KEY: secrets.token_hex(24)},
            program=f"{text}\n\nsys.exit(main(**json.loads({request!r})))\n",
        )
    except KeyboardInterrupt:
        tell(f"It may have started all the same; `vivavoce server jobs {name}` shows it.")
        raise


def _kept(connection: Connection, kind: Kind, folders: Sequence[str], devices: Devices | None) -> Job | None:
    """The newest living job that serves the same on as many GPUs."""

    def fits(job: Job) -> bool:
        wanted = set(devices.wanted) if devices else set()
        same_gpus = len(job.gpus) == (devices.count if devices else 0) and wanted <= {g["index"] for g in job.gpus}
        return job.living and job.kind == kind and job.words == (str(kind), *folders) and same_gpus

    return next(filter(fits, reversed(list_jobs(connection, connection.profile))), None)


def _look(connection: Connection, job: Job, wait_s: float = 0.0) -> dict[str, Any]:
    request = {"state": connection.profile.state, "id": job.id, "wait_s": wait_s}
    return connection.python("pages", request, timeout=wait_s + 60.0)


def _wait(connection: Connection, name: str, kind: Kind, job: Job) -> dict[str, Any]:
    """Port and path of the page, as soon as it is there."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        seen = _look(connection, job, LOOK_S)
        if seen["page"]:
            return seen["page"]
        if not seen["living"]:
            raise _ended(name, kind, job, seen)
    raise UserError(
        f"{kind.title} on {name} was not there after {START_S:g} s; see its log with `vivavoce server log {name} "
        f"{job.id}`."
    )


def _ended(name: str, kind: Kind, job: Job, seen: dict[str, Any]) -> UserError:
    """Why a job ended before its page was there."""
    last = ([line.strip().rstrip(".") for line in seen["tail"] if line.strip()] or ["it printed nothing"])[-1]
    if seen["code"] == NO_FOLDER:
        return UserError(
            f"There is no folder {last} on {name} that can be read; give one below the work folder, or bring it there "
            f"with `vivavoce server push {name}`."
        )
    if seen["code"] == NOT_INSTALLED:
        extra = " --extra notebook" * (kind is Kind.NOTEBOOK)
        return UserError(
            f"{kind.title} is not in the environment of {name} ({last}); install it with `vivavoce server setup "
            f"{name}{extra}`."
        )
    return UserError(
        f"{kind.title} on {name} ended at once, with exit code {seen['code']} ({last}); its whole log is shown by "
        f"`vivavoce server log {name} {job.id}`."
    )


def _silent(connection: Connection, name: str, kind: Kind, job: Job) -> UserError:
    """Why nothing comes through a tunnel that is there."""
    seen = _look(connection, job)
    if not seen["living"]:
        return _ended(name, kind, job, seen)
    return UserError(
        f"{kind.title} runs on {name}, and nothing of it comes through the tunnel: the server may forbid forwarding "
        "(AllowTcpForwarding in its sshd_config); ask who runs it."
    )


def _stop(connection: Connection, name: str, kind: Kind, job: Job, tell: Tell) -> None:
    """End the job, and say so; one that could not be ended, or whose end was not waited for, is said, too."""
    try:
        _, stopped = stop_job(connection, connection.profile, job.id, STOP_GRACE_S)
        if stopped:
            tell(f"{kind.title} and the tunnel are ended.")
    except (UserError, KeyboardInterrupt) as error:
        reason = str(error).partition(";")[0].rstrip(".") or "interrupted"
        tell(
            f"{kind.title} could not be ended: {reason}. It ends by itself when nobody uses it; sooner with "
            f"`vivavoce server stop {name} {job.id}`."
        )
