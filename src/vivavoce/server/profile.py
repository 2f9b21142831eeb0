"""What vivavoce knows of a server: where it is, where work lies on it, and how programs are started there."""

import posixpath
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from vivavoce.server.kinds import EnvironmentKind, Launcher
from vivavoce.server.target import Target, check_host, check_text, check_user

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
STATE = ".vivavoce"  # folder of jobs and locks in the work folder


def _folder(text: str) -> str:
    """A path on the server without `~/`: relative paths are below the home folder, where ssh starts every command."""
    text = check_text(text)
    text = text[2:] if text.startswith("~/") else "." if text == "~" else text
    if not text:
        raise ValueError("must be a folder: absolute, or below the home folder")
    if text.startswith("~"):
        raise ValueError("must not begin with another user's ~; write the folder out")
    return posixpath.normpath(text)


Folder = Annotated[str, AfterValidator(_folder)]
Text = Annotated[str, AfterValidator(check_text)]


class Environment(BaseModel):
    """The Python environment on the server."""

    model_config = ConfigDict(extra="forbid")

    kind: EnvironmentKind = EnvironmentKind.VENV
    path: Folder | None = None  # None: the folder `env` in the work folder
    packages: Folder | None = None  # where downloads are kept; None: where the tool keeps them
    python: Text | None = None  # venv: an interpreter there; conda and uv: a version such as 3.11
    extras: tuple[Text, ...] = ()
    pip_options: tuple[Text, ...] = ()  # handed to `pip install`, such as --extra-index-url


class Slurm(BaseModel):
    """How jobs are handed to Slurm; what is None is left to the cluster."""

    model_config = ConfigDict(extra="forbid")

    partition: Text | None = None
    account: Text | None = None
    qos: Text | None = None
    time: Text | None = None  # as sbatch takes it, such as 1-12:00:00
    cpus_per_gpu: Annotated[int, Field(ge=1)] | None = None
    options: tuple[Text, ...] = ()  # more options of sbatch, such as --exclude=node7


class Profile(BaseModel):
    """One server, as `servers.toml` has it below its name."""

    model_config = ConfigDict(extra="forbid")

    host: Annotated[str, AfterValidator(check_host)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: Annotated[str, AfterValidator(check_user)] | None = None
    workdir: Folder = "vivavoce"
    launcher: Launcher = Launcher.AUTO
    environment: Environment = Environment()
    data: dict[Text, Folder] = {}  # a folder where the user works -> its place on the server
    slurm: Slurm | None = None  # None: no scheduler

    @field_validator("data")
    @classmethod
    def _relative(cls, data: dict[str, str]) -> dict[str, str]:
        for name in data:
            clean = posixpath.normpath(name)
            if posixpath.isabs(name) or clean != name or clean == "." or clean.split("/")[0] == "..":
                raise ValueError(f"{name!r} must be a folder below the one you work in, such as recordings")
        return data

    def at(self, *parts: str) -> str:
        """A path in the work folder on the server; relative to the home folder where the work folder is."""
        return posixpath.normpath(posixpath.join(self.workdir, *parts))

    @property
    def environment_path(self) -> str:
        """Folder of the Python environment on the server."""
        return self.environment.path or self.at("env")

    @property
    def state(self) -> str:
        """Folder of jobs and locks on the server."""
        return self.at(STATE)

    @property
    def target(self) -> Target:
        """Where the server is."""
        return Target(self.host, self.port, self.user)

    @property
    def address(self) -> str:
        """The server as the user would write it: user@host:port, less what the profile leaves to SSH."""
        return self.target.address
