"""The ways to run a program on a server that ssh_clients.py compares; each gets the program on standard input."""

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from vivavoce.server.profile import Profile
from vivavoce.server.ssh import Connection

COMMAND, PROGRAM, ANSWER = "exec sh -s", "echo done\n", "done"
OURS = "OpenSSH, shared"
TIMEOUT_S = 10

# Connects, and gives what runs the program once and returns what it printed.
Way = Callable[[Path, str], AbstractContextManager[Callable[[], str]]]


@contextlib.contextmanager
def alone(_: Path, host: str) -> Iterator[Callable[[], str]]:
    """The OpenSSH client, a new connection for each command."""

    def run() -> str:
        words = ["ssh", "-o", "BatchMode=yes", "-o", "ControlPath=none", "-T", host, COMMAND]
        done = subprocess.run(words, input=PROGRAM, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        return done.stdout.strip()

    yield run


@contextlib.contextmanager
def shared(_: Path, host: str) -> Iterator[Callable[[], str]]:
    """The OpenSSH client as `vivavoce server` uses it."""
    connection = Connection(Profile(host=host), ask=False)
    try:
        yield lambda: connection.script(PROGRAM, timeout=TIMEOUT_S).out.strip()
    finally:
        connection.close()


@contextlib.contextmanager
def by_paramiko(config: Path, host: str) -> Iterator[Callable[[], str]]:
    """paramiko, with its own readers of the config and of known hosts."""
    import paramiko

    options = paramiko.SSHConfig.from_path(str(config)).lookup(host)
    login = {"username": options["user"], "key_filename": options["identityfile"]}
    if "proxycommand" in options:
        login["sock"] = paramiko.ProxyCommand(options["proxycommand"])

    def run() -> str:
        sent, said, _ = client.exec_command(COMMAND, timeout=TIMEOUT_S)
        sent.write(PROGRAM)
        sent.channel.shutdown_write()
        return said.read().decode().strip()

    with paramiko.SSHClient() as client:
        client.load_host_keys(options["userknownhostsfile"].strip('"'))
        place = options["hostname"], int(options["port"])
        client.connect(*place, **login, allow_agent=False, look_for_keys=False, timeout=TIMEOUT_S)
        yield run


@contextlib.contextmanager
def by_asyncssh(config: Path, host: str) -> Iterator[Callable[[], str]]:
    """asyncssh, with its own reader of the config, which names the known hosts."""
    import asyncssh

    async def opened() -> asyncssh.SSHClientConnection:
        return await asyncssh.connect(host, config=[str(config)], connect_timeout=TIMEOUT_S)

    async def run() -> str:
        done = await connection.run(COMMAND, input=PROGRAM, check=True, timeout=TIMEOUT_S)
        return done.stdout.strip()

    with asyncio.Runner() as loop:
        connection = loop.run(opened())
        try:
            yield lambda: loop.run(run())
        finally:
            connection.close()
            loop.run(connection.wait_closed())


def ways() -> dict[str, Way]:
    """Those that are here, by name."""
    libraries: dict[str, Way] = {"paramiko": by_paramiko, "asyncssh": by_asyncssh}
    there = {name: way for name, way in libraries.items() if importlib.util.find_spec(name)}
    return {"OpenSSH, each alone": alone, OURS: shared, **there}


def versions() -> dict[str, str]:
    """Of the OpenSSH client and of the libraries."""
    said = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr
    libraries = {name: importlib.metadata.version(name) for name in ways() if importlib.util.find_spec(name)}
    return {"OpenSSH": said.split()[0].strip(",").removeprefix("OpenSSH_"), **libraries}
