"""Which sound files are one and the same: by where they really lie, and by their bytes."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

# Files of one size are first told apart by this much of their middle, so that few are ever read whole.
_SAMPLE_BYTES = 65_536


class RealPaths:
    """Looks up where paths lead once their links are followed; a folder is looked up once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def __call__(self, path: Path | str) -> str:
        """Return the real path; one that does not exist is only made absolute."""
        folder, name = os.path.split(os.fspath(path))
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        whole = os.path.join(self._folders[folder], name)  # noqa: PTH118 - runs for every row of a large manifest
        return os.path.realpath(whole) if os.path.islink(whole) else whole  # noqa: PTH114


def content_keys(paths: Iterable[str], sides: Mapping[str, object] | None = None) -> dict[str, str]:
    """Map each path whose bytes another of the paths has, too, to a name of these bytes; files not there are left out.

    Only files of equal size are opened, and only those that also agree in their middle are read whole (SHA-256).

    Args:
        paths: of the files.
        sides: the side of each path; only files that agree with one of another side are looked for. None: with any.
    """
    groups = [list(dict.fromkeys(paths))]
    keys: dict[str, str] = {}
    for look in (_size, _middle, _whole):
        groups = [members for group in groups for members in _split(group, look, sides)]
    for group in groups:
        keys |= dict.fromkeys(group, min(group))
    return keys


def _split(group: list[str], look: Callable[[str], object], sides: Mapping[str, object] | None) -> Iterator[list[str]]:
    """Break a group up by what ``look`` sees (None: leave the path out); yields what has members on two sides."""
    found: defaultdict[object, list[str]] = defaultdict(list)
    for path in group:
        if (seen := look(path)) is not None:
            found[seen].append(path)
    for members in found.values():
        if len(members if sides is None else {sides[path] for path in members}) > 1:
            yield members


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size or None  # noqa: PTH116 - a million files; empty ones say nothing
    except OSError:
        return None


def _middle(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            file.seek(max(0, (_size(path) or 0) - _SAMPLE_BYTES) // 2)
            return hashlib.sha256(file.read(_SAMPLE_BYTES)).digest()
    except OSError:
        return None


def _whole(path: str) -> str | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
