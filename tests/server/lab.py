"""The server of docs/server.md: ada's account on gpu.example.org, which is a real sshd on this machine."""

import contextlib
import os
import shlex
import shutil
import site
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import nvidia_smi
from .conftest import end, lead_to
from .sshd import Sshd

HOST = "gpu.example.org"


@contextlib.contextmanager
def open_lab(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """The server while the block lasts; `ssh ada@gpu.example.org` leads there.

    Its GPUs and their processes are what an nvidia-smi and a ps recorded. What the project depends on is found in the
    environment of the tests, so that `setup` installs the project itself, by a real pip, and nothing else.
    """
    folder.mkdir()
    server = Sshd(folder / "server")
    try:
        server.set_environment(
            PYTHONPATH=os.pathsep.join(site.getsitepackages()),
            PIP_NO_DEPS="1",
            PIP_NO_INDEX="1",
            PIP_NO_BUILD_ISOLATION="0",  # pip reads it as the option --no-build-isolation
        )
        nvidia_smi.install(server, "busy")
        server.program("ps", f"#!/bin/sh\nprintf %s {shlex.quote(nvidia_smi.sample('busy.owners.txt'))}\n")
        server.start()
        lead_to(server, folder, monkeypatch)
        monkeypatch.setenv("COLUMNS", "110")
        _lead_ada(server)
        yield server
    finally:
        end(server)


def _lead_ada(server: Sshd) -> None:
    """Let the client take gpu.example.org for the server, whatever account and port a command names."""
    kind, key = (server.folder / "host_key.pub").read_text().split()[:2]
    server.known_hosts.write_text(f"{HOST} {kind} {key}\n")
    shim = server.client_path() / "ssh"
    real = shlex.split(shim.read_text().splitlines()[1])[1]
    options = ["HostName=127.0.0.1", f"Port={server.port}", f"User={server.user}", f"HostKeyAlias={HOST}"]
    command = [real, "-F", str(server.folder / "ssh_config"), *(word for one in options for word in ("-o", one))]
    shim.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')


def why_not() -> str:
    """Why the page cannot be followed here, beyond what an sshd needs; empty where it can."""
    root = Path(__file__).resolve().parents[2]
    asked = ["git", "-C", str(root), "rev-parse", "HEAD"]
    if shutil.which("git") is None or subprocess.run(asked, capture_output=True, check=False).returncode:
        return "setup installs a commit, and this is no clone"
    return "" if shutil.which("rsync") else "rsync is not installed"
