"""The programs that make environments: where they are, on PATH or off it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import List, Optional

from .answer import Refused

HOMES = ("~/miniforge3", "~/miniconda3", "~/mambaforge", "~/anaconda3", "/opt/conda")


def interpreter(wanted: Optional[str], least: List[int]) -> str:
    """The interpreter that makes a venv: the wanted one, or the first that is new enough."""
    names = [f"python3.{minor}" for minor in (13, 12, 11)]
    names = [wanted] if wanted else ["python3", *names, *(f"{home}/bin/python" for home in HOMES)]
    text = ".".join(map(str, least))
    for name in names:
        found = shutil.which(os.path.expanduser(name))
        if found and starts([found, "-c", f"import sys; sys.exit(sys.version_info < {tuple(least)!r})"]):
            return found
    raise Refused(
        f"The server has no Python {text} or newer{f' at {wanted}' if wanted else ''}; name one with --python, or use "
        "--env uv or --env conda, which bring their own."
    )


def uv() -> str:
    """The program uv."""
    found = _first("uv", "~/.local/bin/uv", "~/.cargo/bin/uv")
    if found:
        return found
    raise Refused(
        "The server has no uv; put it there (https://docs.astral.sh/uv, one file, no rights needed), or use --env venv."
    )


def conda() -> List[str]:
    """The words that begin to create an environment with conda, mamba or micromamba."""
    places = (os.environ.get("CONDA_EXE", ""), *(f"{home}/bin/{name}" for home in HOMES for name in ("conda", "mamba")))
    found = _first("conda", "mamba", *filter(None, places))
    if found:
        return [found, "create"]
    micro = _first("micromamba", "~/.local/bin/micromamba")
    if micro:
        return [micro, "create", "--channel", "conda-forge"]
    raise Refused(
        "The server has no conda; install Miniforge in the home folder (https://conda-forge.org/download), load the "
        "server's conda module in the login script, or use --env venv or --env uv."
    )


def starts(words: List[str]) -> bool:
    """Whether a program runs and ends well; its words are thrown away."""
    nothing = subprocess.DEVNULL
    try:
        return subprocess.run(words, stdin=nothing, stdout=nothing, stderr=nothing, check=False).returncode == 0
    except OSError:
        return False


def _first(*places: str) -> Optional[str]:
    return next(filter(None, (shutil.which(os.path.expanduser(place)) for place in places)), None)
