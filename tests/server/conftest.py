"""Fixtures of the server's tests: a real sshd, and a profile that leads there."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vivavoce.server.profile import Profile
from vivavoce.server.ssh import Connection

from .sshd import Sshd, why_not


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """A server of the test's own, which it may break; `ssh` on this side has its keys, and the config folder is new."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    server = Sshd(tmp_path / "a server")
    server.start()
    lead_to(server, tmp_path, monkeypatch)
    yield server
    end(server)


def lead_to(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `ssh` on this side know the server's keys, with folders of profiles and sockets of the test's own."""
    monkeypatch.setenv("PATH", f"{server.client_path()}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", server.sockets)


def end(server: Sshd) -> None:
    """End the server, the shared connections and whatever was started on it."""
    server.stop()
    server.end_jobs()


@pytest.fixture
def lab(sshd: Sshd) -> Profile:
    """A profile of that server, with a work folder whose name holds a space and a quote."""
    return make_profile(sshd)


def make_profile(sshd: Sshd, **changes: Any) -> Profile:
    return Profile(host="127.0.0.1", port=sshd.port, user=sshd.user, workdir="ada's work", **changes)


@pytest.fixture
def connection(lab: Profile) -> Iterator[Connection]:
    connection = Connection(lab, ask=False)
    yield connection
    connection.close()
