"""The files among the words of a command: they must be on the server too, at the same place below the work folder."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from vivavoce.server.profile import Profile
from vivavoce.server.ssh import Connection

WRITTEN = ("--out",)  # options whose value is made by the command
LARGEST_COMPARED = 64 << 20  # bytes; larger files are compared by size alone
CHUNK = 1 << 16


@dataclass(frozen=True)
class Compared:
    """What of the words' files and folders is not on the server as it is here."""

    missing: tuple[str, ...]
    differ: tuple[str, ...]


def local_paths(words: Sequence[str]) -> list[str]:
    """Words behind the first one that are files or folders here; also `KEY=PATH`, as options such as --set take it.

    What a command writes (--out) may be here from an earlier time and is none of them.
    """
    found = []
    for before, word in pairwise(words):
        if before in WRITTEN or word.startswith("-"):
            continue
        found += [path for path in (word, word.partition("=")[2]) if path and _exists(path)][:1]
    return list(dict.fromkeys(found))


def compare_words(connection: Connection, profile: Profile, paths: Sequence[str]) -> Compared:
    """Compare files by content, and folders by their being there.

    Raises:
        UserError: no connection.
    """
    if not paths:
        return Compared((), ())
    request = {"do": "look", "cwd": profile.workdir, "paths": list(paths), "largest": LARGEST_COMPARED}
    there = dict(zip(paths, connection.python("jobs", request), strict=True))
    missing = tuple(path for path, seen in there.items() if seen is None)
    differ = (path for path, seen in there.items() if seen is not None and not _same(Path(path), seen))
    return Compared(missing, tuple(differ))


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a name, so it is none
        return False


def _same(path: Path, there: dict[str, Any]) -> bool:
    if path.is_dir() or there["folder"]:
        return path.is_dir() and there["folder"]
    if path.stat().st_size != there["size"]:
        return False
    if there["digest"] is None:
        return True
    digest = hashlib.blake2b()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == there["digest"]
