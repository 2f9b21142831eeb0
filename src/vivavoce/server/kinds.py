"""What a profile can choose from; apart from it, since the command line needs these words before anything is done."""

from enum import StrEnum


class EnvironmentKind(StrEnum):
    """The tool that makes the Python environment."""

    VENV = "venv"
    UV = "uv"
    CONDA = "conda"


class Launcher(StrEnum):
    """What keeps a job alive when the connection ends."""

    AUTO = "auto"
    SYSTEMD = "systemd"
    TMUX = "tmux"
    NOHUP = "nohup"
