"""The shared connection of the OpenSSH client (ControlMaster, ssh_config(5)): its socket, its beginning and its end.

Nothing heavy is imported here, so that a command can begin to connect before it imports what else it needs.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from vivavoce.errors import UserError
from vivavoce.server import faults
from vivavoce.server.target import Target, check_host, check_user

CONNECT_TIMEOUT_S = 10
KEEP_OPEN_S = 600  # how long the shared connection outlives the last command
# A connection that says nothing for 3 × 15 s is taken as dead, so that no command waits for ever.
ALIVE_EVERY_S, ALIVE_TRIES = 15, 3
ANSWER_S = 5.0
# The path of a socket may hold 103 characters on macOS; our name, and what ssh adds while it makes one, take 34.
LONGEST_FOLDER = 69
# The Windows port of OpenSSH cannot share a connection.
SHARES = sys.platform != "win32"

# Verbs of `vivavoce server` that connect, and options with which they do not.
CONNECTING = {"check", "setup", "push", "pull", "run", "jobs", "log", "stop", "notebook", "tensorboard", "gpus"}
LOOKING = {"--dry-run", "--help", "-h"}

# Connections that :func:`connect_early` began, with what ssh says meanwhile.
_begun: dict[Path, tuple[subprocess.Popen[bytes], IO[str]]] = {}


class Master:
    """The shared connection to one server.

    Args:
        target: The server.
        ask: Let ssh ask for a passphrase, a password or a host key on the terminal.
        accept_host_key: Take the key of a host that is not known yet.
    """

    def __init__(self, target: Target, *, ask: bool, accept_host_key: bool = False) -> None:
        self.target, self.ask, self.accept_host_key = target, ask, accept_host_key

    @property
    def socket(self) -> Path:
        """Where the connection is shared.

        Raises:
            UserError: the folder of sockets cannot be trusted.
        """
        words = json.dumps([*self.target, os.environ.get("SSH_AUTH_SOCK")])
        return control_folder() / hashlib.sha256(words.encode()).hexdigest()[:16]

    def client(self, *, batch: bool = True) -> list[str]:
        """The words of an ssh client that uses the connection, without the host."""
        options = {
            "BatchMode": "yes" if batch else "no",
            "ConnectTimeout": str(CONNECT_TIMEOUT_S),
            "ServerAliveInterval": str(ALIVE_EVERY_S),
            "ServerAliveCountMax": str(ALIVE_TRIES),
            "LogLevel": "ERROR",
            "ForwardX11": "no",
            "RemoteCommand": "none",
        }
        if SHARES:
            options |= {"ControlMaster": "auto", "ControlPath": str(self.socket), "ControlPersist": str(KEEP_OPEN_S)}
        if self.accept_host_key:
            options["StrictHostKeyChecking"] = "accept-new"
        words = ["ssh", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
        words += ["-p", str(self.target.port)] if self.target.port else []
        return words + (["-l", self.target.user] if self.target.user else [])

    def begin(self) -> None:
        """Begin to connect where that is not done yet; :meth:`open` waits for it."""
        if not self._answers():
            self.socket.unlink(missing_ok=True)
            _begun[self.socket] = self._start()

    def open(self) -> None:
        """Connect where that is not done yet.

        Raises:
            UserError: no connection came about: the host, its key, the login or the network is at fault.
        """
        begun = _begun.pop(self.socket, None)
        if begun is None and self._answers():
            return
        if begun is None:
            self.socket.unlink(missing_ok=True)
        process, said = begun or self._start()
        with said:
            if process.wait():
                said.seek(0)
                raise faults.refused(self.target, said.read())

    def close(self) -> None:
        """End the connection and all that runs over it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.control("exit")
        self.socket.unlink(missing_ok=True)

    def control(self, order: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Give the connection an order (`ssh -O`)."""
        command = ["ssh", "-o", f"ControlPath={self.socket}", "-O", order, *words, self.target.host]
        try:
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER_S, check=False
            )
        except FileNotFoundError as error:
            raise faults.missing("ssh") from error

    def _answers(self) -> bool:
        if not self.socket.exists():
            return False
        try:
            return self.control("check").returncode == 0
        except subprocess.TimeoutExpired:
            return False  # it hangs, as after a long sleep of this machine

    def _start(self) -> tuple[subprocess.Popen[bytes], IO[str]]:
        # The master stays behind with what it was given as standard error: a file, since a pipe would never end.
        said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - who waits for it closes it
        command = [*self.client(batch=not self.ask), "-o", "ControlMaster=yes", "-fN", self.target.host]
        try:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said), said
        except FileNotFoundError as error:
            raise faults.missing("ssh") from error


def at_terminal() -> bool:
    """Whether a person sits there whom ssh may ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def servers_file() -> Path:
    """Where the profiles are: `vivavoce/servers.toml` below `$XDG_CONFIG_HOME`, or below `~/.config`."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "vivavoce" / "servers.toml"


def connect_early(words: Sequence[str]) -> None:
    """Begin to connect to the server that a command line names, while the command still imports what it needs.

    Whatever is wrong with the words, the profile or the server is left to be said where it is used.
    """
    if not SHARES or words[:1] != ["server"] or not CONNECTING.issuperset(words[1:2]) or LOOKING.intersection(words):
        return
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, UserError):
        name = next(word for word in words[2:] if not word.startswith("-"))
        table = tomllib.loads(servers_file().read_text(encoding="utf-8"))[name]
        port, user = table.get("port"), table.get("user")
        target = Target(check_host(table["host"]), int(port) if port else None, check_user(user) if user else None)
        Master(target, ask=at_terminal()).begin()


def control_folder() -> Path:
    """Folder of the sockets of shared connections, for this user alone.

    Raises:
        UserError: somebody else made it, or others may write there.
    """
    owner = os.getuid() if hasattr(os, "getuid") else ""
    bases = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")
    folders = [Path(base) / f"vivavoce-{owner}" for base in bases if base]
    folder = next((one for one in folders if len(os.fsencode(one)) <= LONGEST_FOLDER), folders[-1])
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if hasattr(os, "getuid") and (state.st_uid != os.getuid() or state.st_mode & 0o077 or folder.is_symlink()):
        raise faults.control_folder_unusable(folder)
    return folder
