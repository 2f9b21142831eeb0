"""The GPUs of a server, how busy they are, and whose the processes on them are."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from vivavoce.errors import UserError
from vivavoce.server.remote import nvidia
from vivavoce.server.remote.answer import Refused
from vivavoce.server.remote.choice import idle, short_command
from vivavoce.server.ssh import Connection


@dataclass(frozen=True)
class GpuProcess:
    """A process on a GPU; what the server does not show is None.

    Attributes:
        memory_mib: GPU memory it holds, in MiB.
        graphics: It draws on a display and computes nothing.
        since: When it began, in seconds of the epoch by the server's clock.
        mig: UUID of the MIG instance that it is on.
    """

    pid: int
    user: str | None
    command: str | None
    since: float | None
    memory_mib: int | None
    name: str
    graphics: bool
    mig: str | None

    @property
    def short(self) -> str:
        """What runs, without the folder of its program."""
        return short_command(self.command or self.name)


@dataclass(frozen=True)
class Instance:
    """A MIG instance: a part of a GPU that is a device of its own. Memory in MiB."""

    uuid: str
    name: str
    memory_total_mib: int
    memory_used_mib: int


@dataclass(frozen=True)
class Gpu:
    """A GPU; memory in MiB, utilisation as a share, None where it is not told.

    Attributes:
        fault: Why it cannot be used; None where it can.
    """

    index: int
    uuid: str
    name: str
    memory_total_mib: int
    memory_used_mib: int
    utilisation: float | None
    temperature_c: int | None
    fault: str | None
    mig: tuple[Instance, ...]
    processes: tuple[GpuProcess, ...]

    @classmethod
    def from_dict(cls, gpu: Mapping[str, Any]) -> Self:
        """A GPU as `remote.nvidia` says it."""
        parts = {
            "mig": tuple(Instance(**instance) for instance in gpu["mig"]),
            "processes": tuple(GpuProcess(**process) for process in gpu["processes"]),
        }
        return cls(**{**gpu, **parts})

    @property
    def free(self) -> list[str]:
        """UUIDs of its devices that nobody uses: its own, or those of its MIG instances."""
        return idle([asdict(self)])

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**asdict(self), "free": self.free}


def remote_gpus(connection: Connection) -> list[Gpu]:
    """All GPUs of a server, by one command that needs nothing there but nvidia-smi.

    Raises:
        UserError: no connection, no GPU there, or its driver does not answer.
    """
    ran = connection.script(nvidia.SCRIPT, timeout=nvidia.TIMEOUT_S)
    try:
        return [Gpu.from_dict(gpu) for gpu in nvidia.gpus(ran.out)]
    except Refused as error:
        raise UserError(str(error)) from error
