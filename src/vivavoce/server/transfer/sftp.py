"""The way by sftp, where one side has no rsync: slower, file by file, and taken up where a cut left it.

Files travel under plain names, by which the receiving side knows what it has of each, and are put in place when whole;
so no name has to be quoted for sftp.
"""

import contextlib
import hashlib
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from itertools import pairwise

from vivavoce.errors import UserError
from vivavoce.server import faults
from vivavoce.server.remote.files import PARTIAL
from vivavoce.server.ssh import Connection
from vivavoce.server.transfer.plan import File
from vivavoce.server.transfer.rsync import Load
from vivavoce.server.transfer.sides import Sides


def send(sides: Sides, load: Load, files: Mapping[str, File], advance: Callable[[int], None]) -> int:
    """Send one load, as :func:`vivavoce.server.transfer.rsync.send` does; links stay behind.

    Args:
        sides: Who sends and who receives.
        load: What travels.
        files: Size and time of each file.
        advance: Is told bytes as they go.

    Raises:
        UserError: the disk is full, something may not be read or written, or a name cannot travel so.
        ConnectionLost: the connection ended; what has arrived is kept.
    """
    source, target = sides.source(load.place), sides.target(load.place)
    keys = {_key(name, files[name]): name for name in load.names if name in files}
    partial = f"{target}/{PARTIAL}"
    sides.receiver({"do": "make", "folders": [partial], "links": {}})
    found = sides.receiver({"do": "list", "prune": [], "roots": [{"path": partial}]})["roots"][0]
    present = {name: size for name, size, _ in found["files"]}
    stage = sides.sender({"do": "stage", "root": source, "files": [[key, name] for key, name in keys.items()]})
    try:
        left = {key: files[name].size for key, name in keys.items() if present.get(key) != files[name].size}
        ends = (stage, partial) if load.push else (partial, stage)
        _run(sides.connection, load, _batch(load.push, *ends, {key: key in present for key in left}), left, advance)
    finally:
        with contextlib.suppress(UserError):  # it is only links, and what ended the sending is to be told
            if not load.push:
                sides.connection.reopen()
            sides.sender({"do": "unstage", "folder": stage})
    moves = [[key, name, *files[name]] for key, name in keys.items()]
    sides.receiver({"do": "place", "root": target, "files": moves})
    return sum(left.values()) - sum(present[key] for key in left if key in present)


def _key(name: str, file: File) -> str:
    """A plain name that is another one if the file changed."""
    return hashlib.sha256(repr((name, *file)).encode()).hexdigest()[:32]


def _batch(push: bool, near: str, far: str, resumed: Mapping[str, bool]) -> str:
    lines = [f"lcd {_quoted(near)}", f"cd {_quoted(far)}"]
    plain, again = ("put", "reput") if push else ("get", "reget")
    lines += [f"{again if seen else plain} -p {key}" for key, seen in resumed.items()]
    return "".join(f"{line}\n" for line in lines)


def _quoted(path: str) -> str:
    """A folder for sftp's own line language (sftp(1) reads quotes and backslashes, and no line breaks)."""
    if "\n" in path or "\r" in path:
        raise UserError(f"{path!r} has a line break in its name, which sftp cannot take; install rsync on both sides.")
    text = path if path.startswith(("/", ".")) else f"./{path}"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _run(
    connection: Connection, load: Load, batch: str, sizes: Mapping[str, int], advance: Callable[[int], None]
) -> None:
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as orders:
        orders.write(batch.encode())
        orders.seek(0)
        try:
            process = subprocess.Popen(_command(connection, load), stdin=orders, stdout=subprocess.PIPE, stderr=said)
        except FileNotFoundError as error:
            raise faults.missing("sftp") from error
        with process:
            assert process.stdout is not None
            begun = ""
            for line in process.stdout:  # it repeats each order when it begins it
                match = re.match(rb"sftp> \w+ -p (\w+)", line)
                if match:
                    advance(sizes.get(begun, 0))
                    begun = match[1].decode()
            advance(sizes.get(begun, 0))
        said.seek(0)
        text = said.read().decode(errors="replace")
    if process.returncode:
        raise _fault(connection, load, process.returncode, text)


def _command(connection: Connection, load: Load) -> list[str]:
    profile = connection.profile
    # Of the options of ssh, sftp has -o alone in common.
    options = [word for flag, word in pairwise(connection.ssh()) if flag == "-o"]
    options += [f"Port={profile.port}"] * bool(profile.port) + [f"User={profile.user}"] * bool(profile.user)
    limit = ["-l", str(load.limit_kib_s * 8)] if load.limit_kib_s else []
    host = f"[{connection.destination}]" if ":" in connection.destination else connection.destination
    return ["sftp", *(word for option in options for word in ("-o", option)), *limit, "-b", "-", host]


def _fault(connection: Connection, load: Load, code: int, said: str) -> UserError:
    profile = connection.profile
    lines = [line.strip().rstrip(".") for line in said.splitlines() if line.strip()]
    if code in (faults.SSH_FAILED, -signal.SIGPIPE) or re.search(
        r"Connection (closed|reset)|Broken pipe|Couldn't read packet", said
    ):
        return faults.lost(profile, said)
    target, side = (load.place.there, profile.address) if load.push else (load.place.here, "this machine")
    reason = lines[-1] if lines else f"exit code {code}"
    return UserError(
        f"sftp could not send all to {target} on {side} ({reason}): the disk may be full or not yours to write; mend "
        "that and run the same command again."
    )
