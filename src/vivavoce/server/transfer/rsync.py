"""The way by rsync: whole or not at all for each file, and taken up where a cut left it."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vivavoce.errors import UserError
from vivavoce.server import faults
from vivavoce.server.remote.files import PARTIAL
from vivavoce.server.ssh import Connection
from vivavoce.server.transfer.places import Place

# Older ones, and the rsync of macOS, cannot protect names from the shell of the server or tell how far they are.
OLDEST = (3, 1)
# Exit codes of rsync(1).
CUT = {10, 12, 30, 35, faults.SSH_FAILED}  # socket, stream, timeouts, and ssh itself
DISK, VANISHED, NOT_THERE = 11, 24, 127
READ_BYTES = 1 << 16
# rsync reads a list of files byte by byte, and tries each rule on each file.
MOST_RULES = 100
SMALL_BYTES = 1 << 16  # mean size below which a line for each file tells enough of how far it is


@dataclass(frozen=True)
class Load:
    """What travels between the sides of one place."""

    place: Place
    push: bool
    names: list[str]  # files and links
    bytes: int
    rules: list[str] | None  # what of the folder is left out; None: only the names are sent
    update: bool = False  # leave what is newer on the receiving side
    limit_kib_s: int | None = None


@cache
def usable_rsync() -> bool:
    """Whether the rsync of this machine is there and can do what is asked of it."""
    if shutil.which("rsync") is None:
        return False
    said = subprocess.run(["rsync", "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"rsync\s+version v?(\d+)\.(\d+)", said)
    return match is not None and (int(match[1]), int(match[2])) >= OLDEST


def send(connection: Connection, load: Load, advance: Callable[[int], None]) -> int:
    """Send one load; ``advance`` is told bytes as they go. Returns the bytes of files that really went over the line.

    Raises:
        UserError: the disk is full, something may not be read or written, or files went while they were sent.
        ConnectionLost: the connection ended; what has arrived is kept, and the next call goes on from there.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as names:
        # A file: the shared connection that ssh may leave behind would keep a pipe open.
        lines = load.rules if load.rules is not None else [f"./{name}" for name in load.names]
        names.write(b"".join(os.fsencode(line) + b"\0" for line in lines))
        names.seek(0)
        with subprocess.Popen(
            _command(connection, load),
            stdin=names,
            stdout=subprocess.PIPE,
            stderr=said,
            env=os.environ | {"LC_ALL": "C"},
        ) as process:
            assert process.stdout is not None
            try:
                tail = _watch(process.stdout.fileno(), _reader(load, advance))
            except BaseException:
                process.terminate()
                raise
        said.seek(0)
        text = said.read().decode(errors="replace")
    if process.returncode:
        raise _fault(connection, load, process.returncode, text)
    literal = re.search(r"Literal data: ([\d,]+)", tail)
    return int(literal[1].replace(",", "")) if literal else 0


def _command(connection: Connection, load: Load) -> list[str]:
    here = f"{Path.cwd() / load.place.here}/"  # absolute, so that no colon in it names a host
    # A relative path begins with a dot, so that none is read as an option.
    there = load.place.there if load.place.there.startswith("/") else f"./{load.place.there}"
    host = f"[{connection.destination}]" if ":" in connection.destination else connection.destination
    ends = [here, f"{host}:{there}/"] if load.push else [f"{host}:{there}/", here]
    return [
        "rsync",
        *("-e", shlex.join(connection.ssh())),
        # Links, times, and the right to execute; all else is as the receiving side makes new files.
        *("-ltE", "--omit-dir-times", "--omit-link-times"),
        "--protect-args",
        "--ignore-times",  # what is the same was left out before
        *(["--update"] if load.update else []),
        f"--partial-dir={PARTIAL}",
        "--from0",  # before what it is about
        *(["--files-from=-"] if load.rules is None else ["--recursive", "--exclude-from=-"]),
        *(
            ["--out-format=%l", "--info=stats2", "--outbuf=B"]
            if _small(load)
            else ["--info=progress2,stats2", "--outbuf=N"]
        ),
        *([f"--bwlimit={load.limit_kib_s}"] if load.limit_kib_s else []),
        "--",
        *ends,
    ]


def leave_out(rest: Iterable[str], prune: Iterable[str], without: Iterable[str]) -> list[str] | None:
    """Rules by which rsync sends a folder less some names, or None where they are too many or cannot be written.

    Args:
        rest: Names in the folder that are not sent.
        prune: Names of folders that are not looked into, wherever they are.
        without: Folders that have a place of their own.
    """
    rules = [f"{name}/" for name in prune]
    for name in (*rest, *without):
        if len(rules) >= MOST_RULES or any(sign in name for sign in "*?[\\"):
            return None
        rules.append(f"/{name}")
    return rules


def _small(load: Load) -> bool:
    return load.bytes < SMALL_BYTES * len(load.names)


def _reader(load: Load, advance: Callable[[int], None]) -> Callable[[str], str]:
    """A function that takes what rsync printed, tells the bytes that have gone, and returns what it has not used."""
    seen = 0

    def lines(text: str) -> str:
        *whole, rest = text.split("\n")
        advance(sum(int(line) for line in whole if line.isdecimal()))
        return rest

    def progress(text: str) -> str:
        nonlocal seen
        done = re.findall(r"\r\s*([\d,]+)\s+\d+%", text)
        if done and (now := int(done[-1].replace(",", ""))) > seen:
            advance(now - seen)
            seen = now
        return text[-100:]

    return lines if _small(load) else progress


def _watch(handle: int, read: Callable[[str], str]) -> str:
    """Read how far rsync is until it ends; returns the end of what it printed."""
    tail, rest = "", ""
    while block := os.read(handle, READ_BYTES):
        text = block.decode(errors="replace")
        tail = (tail + text)[-4096:]
        rest = read(rest + text)
    return tail


def _fault(connection: Connection, load: Load, code: int, said: str) -> UserError:
    """One sentence for what rsync ended with."""
    profile = connection.profile
    target = load.place.there if load.push else str(load.place.here)
    side = profile.address if load.push else "this machine"
    lines = [line for line in said.splitlines() if line.strip()]
    if "No space left" in said or "Disk quota exceeded" in said or code == DISK:
        return UserError(
            f"The disk of {target} on {side} is full; what arrived whole is kept: free some space and run the same "
            "command again."
        )
    if code in CUT:
        return faults.lost(profile, said)
    if "Permission denied" in said:
        line = next(line for line in lines if "Permission denied" in line)
        return UserError(f"Not all could be read or written ({_bare(line)}); mend the permissions and run it again.")
    if code == VANISHED:
        return UserError("Some files were removed while they were sent; run the same command again.")
    if code == NOT_THERE:
        return UserError(f"{profile.address} did not start rsync; run `vivavoce server check`.")
    reason = _bare(lines[0]) if lines else f"exit code {code}"
    return UserError(f"rsync could not send all ({reason}); mend that and run the same command again.")


def _bare(line: str) -> str:
    """A line of rsync without its own name and numbers."""
    return re.sub(r"^rsync( error)?: (\[\w+] )?|( \(\d+\))?(\.)?$", "", line.strip())
