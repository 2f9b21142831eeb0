"""The code that is installed on a server: one commit of a clone of this project, sent as `git archive` makes it."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from vivavoce.errors import UserError
from vivavoce.files import is_disk_full
from vivavoce.server import faults
from vivavoce.server.ssh import Connection

PROJECT = "vivavoce"
# The first line of standard input names the folder, the rest is the archive. It is unpacked under another name first,
# so that a connection that is cut leaves no half of it.
UNPACK = (
    'exec sh -c \'IFS= read -r to && part=$to.part.$$ && mkdir -p "$part" && tar -xzf - -C "$part" && '
    'if [ -e "$to" ]; then rm -rf "$part"; else mv "$part" "$to"; fi || { rm -rf "$part"; exit 1; }\''
)


@dataclass(frozen=True)
class Source:
    """One commit of a clone.

    Attributes:
        folder: The clone.
        commit: Its commit; with changes, also what marks them.
        tree: What `git archive` takes: the commit, or one that holds the changes as well.
        left_out: Files whose changes are not part of it.
        dependencies: Digest of all that decides what is installed beside the code.
        least_python: The oldest Python that the project runs on.
    """

    folder: Path
    commit: str
    tree: str
    left_out: tuple[str, ...]
    dependencies: str
    least_python: tuple[int, ...]


def find_source(folder: Path | None = None, *, changes: bool = False) -> Source:
    """The clone to install: ``folder``, the one that this vivavoce runs from, or the current folder.

    Args:
        folder: A clone of the project.
        changes: Take changes that are not committed along, of files that git knows.

    Raises:
        UserError: there is no such clone, or git is missing.
    """
    candidates = [folder] if folder is not None else [place for place in (_running_from(), Path.cwd()) if place]
    clone = next((place for place in candidates if _is_clone(place)), None)
    if clone is None:
        where = f"{folder} is no clone of vivavoce with a commit" if folder else "This vivavoce runs from no clone"
        raise UserError(f"{where}; name one with --source, such as the folder that `git clone` made.")
    commit = tree = _git(clone, "rev-parse", "HEAD").strip()
    status = [entry for entry in _git(clone, "status", "--porcelain", "-z", "--no-renames").split("\0") if entry]
    left_out = tuple(entry[3:] for entry in status if not changes or entry.startswith("??"))
    if changes and len(left_out) < len(status):
        # `stash create` makes a commit of the changes and touches nothing; its time must not make it another one.
        name = ["-c", "user.name=vivavoce", "-c", "user.email=vivavoce@localhost"]
        tree = _git(clone, *name, "stash", "create").strip() or commit
        if tree != commit:
            commit += "+" + _git(clone, "rev-parse", f"{tree}^{{tree}}").strip()[:12]
    text = _git(clone, "show", f"{tree}:pyproject.toml")
    return Source(clone, commit, tree, left_out, *_needs(text))


def upload(connection: Connection, source: Source, folder: str) -> None:
    """Send the code to a folder on the server; a folder that is there is left as it is.

    Raises:
        UserError: no connection, or no room or no right to write there.
        ConnectionLost: the connection ended in the middle; nothing is left there.
    """
    connection.open()
    # Commands start in the home folder; ./ keeps a name that begins with a dash from being an option.
    target = folder if folder.startswith("/") else f"./{folder}"
    archive = subprocess.Popen(
        ["git", "-C", str(source.folder), "-c", "core.autocrlf=false", "archive", "--format=tar.gz", source.tree],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
    )
    with archive, connection.popen(UNPACK) as process:
        assert archive.stdout is not None
        assert archive.stderr is not None
        assert process.stdin is not None
        assert process.stderr is not None
        errors: list[bytes] = []  # tar may say more than a pipe holds while it still reads
        reader = threading.Thread(target=lambda pipe=process.stderr: errors.append(pipe.read()))
        reader.start()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(target.encode() + b"\n")
            shutil.copyfileobj(archive.stdout, process.stdin, 1 << 18)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
        reader.join()
        archive.stdout.close()
        git_said = archive.stderr.read().decode(errors="replace").strip()
    said = b"".join(errors).decode(errors="replace").strip()
    if process.returncode == faults.SSH_FAILED:
        raise faults.lost(connection.profile, said)
    if process.returncode:
        where = f"{folder} on {connection.profile.address}"
        last = (said.splitlines() or [f"exit code {process.returncode}"])[-1]
        if is_disk_full(Exception(said)):
            raise UserError(f"The disk or your quota is full: {where} was not written; make room there.")
        raise UserError(f"The code could not be written to {where}: {last}.")
    if archive.returncode:
        raise UserError(f"git could not pack {source.folder}: {git_said or f'exit code {archive.returncode}'}.")


def _running_from() -> Path | None:
    """The folder of an editable installation of this project."""
    try:
        text = distribution(PROJECT).read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    found: dict[str, Any] = json.loads(text or "{}")
    if not found.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(urlparse(found["url"]).path))


def _is_clone(folder: Path) -> bool:
    """Whether a folder is the top of a git clone of this project that has a commit."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return False
    if project.get("name") != PROJECT or not (folder / ".git").exists():
        return False
    return bool(_git(folder, "rev-parse", "--verify", "--quiet", "HEAD", check=False).strip())


def _needs(text: str) -> tuple[str, tuple[int, ...]]:
    """Digest of what decides the dependencies, and the oldest Python, by the text of pyproject.toml."""
    table = tomllib.loads(text)
    project = table.get("project", {})
    keys = ("dependencies", "optional-dependencies", "requires-python")
    decides = [table.get("build-system"), *(project.get(key) for key in keys)]
    least = re.search(r">=\s*(\d+)\.(\d+)", project.get("requires-python", ""))
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return digest[:16], (int(least[1]), int(least[2])) if least else (3,)


def _git(folder: Path, *words: str, check: bool = True) -> str:
    try:
        ran = subprocess.run(
            ["git", "-C", str(folder), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env=_environment(),
            check=False,
        )
    except FileNotFoundError as error:
        raise faults.missing("git") from error
    if ran.returncode and check:
        reason = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
        raise UserError(f"git could not read {folder} ({reason}); mend that, or name another clone with --source.")
    return ran.stdout


def _environment() -> dict[str, str]:
    # Variables that git sets for its hooks would lead it to another clone.
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
