"""One connection to a server for all that is done there, by the user's own OpenSSH client.

The client's config, keys, agent, jump hosts and known hosts all hold, since it is the client that connects. The first
call opens a master connection (ControlMaster, ssh_config(5)); all later ones share it and skip the handshake.
``benchmarks/ssh_clients.py`` compares this with libraries.
"""

import contextlib
import json
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vivavoce.errors import UserError
from vivavoce.server import faults
from vivavoce.server.master import SHARES, Master, at_terminal
from vivavoce.server.profile import Profile
from vivavoce.server.program import MARK, NO_PYTHON, PYTHON, SHELL, compose


@dataclass(frozen=True)
class Ran:
    """What a program on the server printed, and its exit code."""

    code: int
    out: str
    err: str


class Connection:
    """Runs programs on the server of a profile; see the module's head.

    Args:
        profile: The server.
        ask: Let ssh ask for a passphrase, a password or a host key on the terminal (never by us); None: where there is
            a terminal.
        accept_host_key: Take the key of a host that is not known yet. A key that changed is refused all the same.
    """

    def __init__(self, profile: Profile, *, ask: bool | None = None, accept_host_key: bool = False) -> None:
        self.profile = profile
        ask = at_terminal() if ask is None else ask
        self._master = Master(profile.target, ask=ask, accept_host_key=accept_host_key)
        self._opened = False

    # --- the shared connection -------------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect if that is not done yet.

        Raises:
            UserError: no connection came about: the host, its key, the login or the network is at fault.
        """
        if self._opened or not SHARES:
            return
        self._master.open()
        self._opened = True

    def reopen(self) -> None:
        """Connect anew if the shared connection has ended meanwhile; one that lives is kept.

        Raises:
            UserError: as for :meth:`open`.
        """
        self._opened = False
        self.open()

    def close(self) -> None:
        """End the shared connection and all that runs over it."""
        self._opened = False
        if SHARES:
            self._master.close()

    def forward(self, local_port: int, remote_port: int) -> None:
        """Lead a port of this machine's loopback to one of the server's loopback, until the connection ends.

        Raises:
            UserError: the local port is taken, the server forbids forwarding, or this is Windows.
        """
        if not SHARES:
            raise UserError("Tunnels need a shared connection, which OpenSSH on Windows cannot have; use WSL.")
        self.open()
        ran = self._master.control("forward", "-L", f"127.0.0.1:{local_port}:127.0.0.1:{remote_port}")
        if ran.returncode:
            raise UserError(
                f"Port {local_port} of this machine cannot be led to {self.profile.address}: "
                f"{ran.stderr.strip() or 'ssh gave no reason'}; choose another with --local-port."
            )

    def unforward(self, local_port: int, remote_port: int) -> None:
        """End what :meth:`forward` began."""
        self._master.control("cancel", "-L", f"127.0.0.1:{local_port}:127.0.0.1:{remote_port}")

    # --- programs on the server --------------------------------------------------------------------------------------

    def script(self, text: str, *arguments: str, timeout: float | None = None) -> Ran:
        """Run a POSIX shell program with arguments; whatever the login shell is, it only starts `sh`.

        Raises:
            UserError: no connection.
            ConnectionLost: it ended before the program did, or the time was over.
        """
        quoted = shlex.join(arguments)
        program = f'set -- {quoted}\nmain() {{\n{text}\n}}\nmain "$@" </dev/null\n'
        return self._run(SHELL, program, timeout)

    def python(self, module: str, request: Mapping[str, Any], timeout: float | None = None) -> Any:
        """Run ``main(request)`` of a module of `remote` on the server, and return what it returns.

        Raises:
            UserError: no connection, no Python there, or the program refused, in its own sentence.
            ConnectionLost: the connection ended before the program did, or the time was over.
        """
        ran = self._run(PYTHON, compose(module, request), timeout)
        for line in ran.out.split("\n"):  # splitlines would split at the mark
            if line.startswith(MARK):
                return self.result(json.loads(line.removeprefix(MARK)))
        raise self.no_answer(ran.code, ran.err)

    def stream(self, module: str, request: Mapping[str, Any]) -> Iterator[Any]:
        """Yield each answer of a program that answers in parts (`answer.say`), as they come.

        Closing the iterator ends the program at its next word; one that waits therefore says None now and then, which
        is not yielded.

        Raises:
            UserError, ConnectionLost: as for :meth:`python`.
        """
        self.open()
        with self.popen(PYTHON) as process:
            try:
                yield from self._answers(process, compose(module, request))
            finally:
                process.kill()

    def popen(self, command: str) -> subprocess.Popen[bytes]:
        """Start a constant command line of our own on the server, with pipes."""
        try:
            return subprocess.Popen(
                [*self.ssh(), "-T", self.destination, command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError as error:
            raise faults.missing("ssh") from error

    # --- what other programs need to use the same connection ------------------------------------------------------

    @property
    def destination(self) -> str:
        """The host for ssh itself; user and port are among the options of :meth:`ssh`."""
        return self.profile.host

    def ssh(self) -> list[str]:
        """The ssh client with its options, without the host; also for `rsync -e` and `sftp -S`."""
        return self._master.client()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _run(self, command: str, program: str, timeout: float | None) -> Ran:
        self.open()
        with self.popen(command) as process:
            try:
                out, err = process.communicate(program.encode(), timeout)
            except subprocess.TimeoutExpired as error:
                process.kill()
                raise faults.lost(self.profile, f"no answer within {timeout:g} s") from error
        ran = Ran(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
        if ran.code == faults.SSH_FAILED:
            self._opened = False
            raise faults.lost(self.profile, ran.err) if SHARES else faults.refused(self.profile, ran.err)
        return ran

    def _answers(self, process: subprocess.Popen[bytes], program: str) -> Iterator[Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(program.encode())
        ended = False
        for raw in process.stdout:
            line = raw.decode(errors="replace")
            if not line.startswith(MARK):
                continue
            said = json.loads(line.removeprefix(MARK))
            if isinstance(said, dict) and said.keys() & {"result", "refused"}:
                self.result(said)
                ended = True
            elif said is not None:
                yield said
        if not ended:
            said = process.stderr.read().decode(errors="replace")
            raise self.no_answer(process.wait(), said)

    def result(self, said: dict[str, Any]) -> Any:
        """What an answer holds, or what it refuses, raised."""
        if "refused" in said:
            raise UserError(said["refused"])
        return said["result"]

    def no_answer(self, code: int, said: str) -> UserError:
        """Why a program on the server ended without an answer, by its exit code and standard error."""
        if code == NO_PYTHON:
            return faults.no_python(self.profile)
        if code == faults.SSH_FAILED:
            self._opened = False
            return faults.lost(self.profile, said)
        last = [line for line in said.splitlines() if line.strip()][-1:]
        return UserError(f"A program on {self.profile.address} failed: {(last or [f'exit code {code}'])[0].strip()}.")
