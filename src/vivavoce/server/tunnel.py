"""A port of this machine that leads to a page on the server, through the shared SSH connection."""

import contextlib
import http.client
import socket
import subprocess
import time

from vivavoce.errors import UserError
from vivavoce.server.faults import lost
from vivavoce.server.ssh import Connection

LOOPBACK = "127.0.0.1"
PORT_TRIES = 5
ANSWER_S = 10.0  # how long a page may take to answer what it is asked
LOOK_EVERY_S = 0.2


class Tunnel:
    """Leads ``local_port`` (None: a free one) to ``remote_port`` of the server's loopback, once it is opened.

    Args:
        connection: To the server.
        remote_port: Port there.
        local_port: Port here, on the loopback alone.
    """

    def __init__(self, connection: Connection, remote_port: int, local_port: int | None = None) -> None:
        self.connection, self.remote_port = connection, remote_port
        self._wanted = local_port
        self.local_port = local_port or 0

    def open(self) -> None:
        """Lead the port through.

        Raises:
            UserError: the wanted local port is taken, or none could be led.
        """
        if self._wanted is not None:
            check_free(self._wanted)
            return self._forward(self._wanted)
        for attempt in range(PORT_TRIES):
            self.local_port = free_port()
            try:
                return self._forward(self.local_port)
            except UserError:  # somebody was faster
                if attempt == PORT_TRIES - 1:
                    raise

    def lead_again(self) -> bool:
        """Lead the same local port through once more if nothing listens there any longer; whether that was so.

        Raises:
            UserError: it could not be led.
        """
        gone = is_free(self.local_port)
        self._forward(self.local_port)  # nothing happens where it is led already; another program's port is refused
        return gone

    def close(self) -> None:
        """Free the local port; what still uses it is cut off."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # a connection that hangs ends by itself
            self.connection.unforward(self.local_port, self.remote_port)

    def _forward(self, local_port: int) -> None:
        try:
            self.connection.forward(local_port, self.remote_port)
        except subprocess.TimeoutExpired as error:
            raise lost(self.connection.profile, "it does not answer") from error

    def wait_cut(self) -> None:
        """Hold a connection to the page, and return when it ends: cut, or ended on the other side.

        It tells at once what asking again and again would tell late, and keeps the shared SSH connection from ending
        for want of use.
        """
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.local_port), ANSWER_S) as held:
            held.settimeout(1.0)  # no longer, since Windows lets no Ctrl-C through while a socket waits
            while True:
                with contextlib.suppress(TimeoutError):
                    if not held.recv(1024):
                        return

    def wait_answer(self, path: str) -> bool:
        """Ask for a page until it answers, for 10 s at the most; whether it did."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            client = http.client.HTTPConnection(LOOPBACK, self.local_port, timeout=ANSWER_S)
            try:
                client.request("GET", path)
                return client.getresponse().status < 400
            except (OSError, http.client.HTTPException):
                if time.monotonic() > deadline:
                    return False
            finally:
                client.close()
            time.sleep(LOOK_EVERY_S)


def check_free(port: int) -> None:
    """Refuse a local port that cannot be had.

    Raises:
        UserError: another program has it, or it is one that only root may take.
    """
    if not is_free(port):
        raise UserError(
            f"Port {port} of this machine is taken or not allowed; choose another with --local-port, or leave it out "
            "for a free one."
        )


def is_free(port: int) -> bool:
    """Whether a port of the loopback can be had."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
        probe.listen(1)
        return True
    return False


def free_port() -> int:
    """A port of the loopback that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]
