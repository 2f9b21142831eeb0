"""What ssh says when it fails, as one sentence with what to do."""

import re
from pathlib import Path
from typing import Protocol

from vivavoce.errors import UserError

SSH_FAILED = 255  # the exit code of ssh for its own failures; those of the remote command come through


class Server(Protocol):
    """What a sentence names of a server: a profile has it, and a target."""

    @property
    def host(self) -> str:
        """The host, as it was given to ssh."""
        ...

    @property
    def address(self) -> str:
        """The server as the user would write it."""
        ...


class ConnectionLost(UserError):
    """The connection was there and ended before the work did; the same command may be tried again."""


def refused(server: Server, said: str) -> UserError:
    """Why no connection came about, by what ssh printed on standard error."""
    for pattern, sentence in _SENTENCES:
        match = re.search(pattern, said)
        if match:
            return UserError(sentence.format(at=server.address, host=server.host, known=_known_hosts_line(said)))
    return UserError(f"No connection to {server.address}: {_last_line(said)}. Try `ssh {server.address}` by hand.")


def lost(server: Server, said: str = "") -> ConnectionLost:
    """The connection ended in the middle."""
    reason = f" ({_last_line(said)})" if said.strip() else ""
    return ConnectionLost(
        f"The connection to {server.address} ended in the middle of the work{reason}; run the same command again."
    )


def _last_line(said: str) -> str:
    lines = [line.strip().rstrip(".") for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "ssh gave no reason"


def _known_hosts_line(said: str) -> str:
    """Where the old key stands, as ssh names it: `file:line`."""
    match = re.search(r"Offending .*key in (.+:\d+)", said)
    return f" ({match[1]})" if match else ""


_SENTENCES = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "The host key of {at} is not the one that is known{known}: the server was set up anew, or another machine "
        "answers in its place. Nothing was sent. Ask who runs the server; if the new key is right, remove the old one "
        "with `ssh-keygen -R` and connect again.",
    ),
    (
        r"No \S+ host key is known for|Host key verification failed",
        "The host key of {at} is not known yet. Compare it once with `ssh {host}`, or take it as it is now with "
        "`vivavoce server add --accept-host-key`.",
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        "{at} accepts none of the keys that ssh offers. Put your key there with `ssh-copy-id`, or load it with "
        "`ssh-add`; a password is asked for only where a person sits at the terminal.",
    ),
    (
        r"Could not resolve hostname",
        "{host} is neither a host that can be found nor an alias of ~/.ssh/config; check the spelling and the network.",
    ),
    (
        r"Connection refused",
        "{at} answers, but no SSH server listens there; check the port.",
    ),
    (
        r"timed out|No route to host|Network is unreachable",
        "{at} does not answer; check the network or the VPN, the port, and whether the server runs.",
    ),
    (
        r"Bad owner or permissions|UNPROTECTED PRIVATE KEY FILE",
        "ssh does not use a file of yours that others may change or read; give ~/.ssh and the files in it to you alone "
        "with `chmod -R go= ~/.ssh`.",
    ),
    (
        r"Bad configuration option|terminating, \d+ bad configuration options|keyword .* extra arguments",
        "ssh cannot read its config for {at}; `ssh -G {host}` names the line.",
    ),
    (
        r"kex_exchange_identification|Connection (closed|reset) by",
        "{at} ended the connection before the login; it may be too busy, refuse this address, or be no SSH server.",
    ),
)


def missing(program: str) -> UserError:
    """A program of OpenSSH or rsync is not on this machine."""
    package = "openssh-client" if program in ("ssh", "sftp", "ssh-keygen") else program
    return UserError(f"{program} is not on this machine; install it (Debian: `apt-get install {package}`).")


def no_python(server: Server) -> UserError:
    """The server has no Python that can run our programs."""
    return UserError(
        f"{server.address} has no Python 3.8 or newer that a plain login finds; install one there, or "
        "Miniforge in the home folder."
    )


def control_folder_unusable(folder: Path) -> UserError:
    """The folder of the connection's socket is not ours."""
    return UserError(f"{folder} belongs to somebody else or is open to others; remove it, or set XDG_RUNTIME_DIR.")
