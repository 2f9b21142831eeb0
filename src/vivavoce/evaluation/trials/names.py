"""Names of recordings as trial lists write them, and which recordings of a manifest they mean."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from vivavoce.audio import SUFFIXES

# VoxCeleb2 is published as .m4a, and its lists keep the names after everybody decoded it.
_ENDINGS = (*SUFFIXES, ".m4a", ".mp3")


class UnknownName(Exception):
    """A name that means no recording of the manifest, or several; the message says so."""


class Names:
    """Finds the recordings of a manifest by the names that a list gives them.

    Args:
        known: the recordings, as the manifest spells them (`references`).
        folder: where the list is; relative paths may begin there.
        loosely: also find a recording by the end of its path, with or without its ending, as public lists write it.
    """

    def __init__(self, known: Iterable[str | Path], folder: Path, loosely: bool) -> None:
        self._spelling = {str(name): str(name) for name in known}
        self._folder = folder
        self._loosely = loosely
        self._by_path: dict[str, str] = {}
        self._by_end: dict[int, dict[str, list[str]]] = {}

    def find(self, text: str) -> str:
        """Give the manifest's spelling of a recording.

        Raises:
            UnknownName: the manifest does not hold it, or several recordings may be meant.
        """
        several: list[str] = []
        found = self._spelling.get(text)
        if found is None and self._loosely:
            found, several = self._find_end(text.removeprefix("./"))
        found = found or self._find_path(text)
        if found is None and several:
            raise UnknownName(f"{text} may be {several[0]} or {several[1]}; write more of its path.")
        if found is None:
            raise UnknownName(f"{text} is not a recording of the manifest; correct the path or add it.")
        return found

    def _find_path(self, text: str) -> str | None:
        if not self._by_path:
            self._by_path = {_absolute(name): name for name in self._spelling}
        return self._by_path.get(_absolute(text)) or self._by_path.get(_absolute(self._folder / text))

    def _find_end(self, text: str) -> tuple[str | None, list[str]]:
        """The one recording whose path ends like this, or the several."""
        if not self._by_end:  # level 0: whole paths below the folder that all recordings share
            self._by_end[0] = _index(self._spelling, relative_names(list(self._spelling)))
        level = text.count("/") + 1
        if level not in self._by_end:
            self._by_end[level] = _index(self._spelling, [_end(name, level) for name in self._spelling])
        several: list[str] = []
        for ends in (self._by_end[0], self._by_end[level]):
            for candidate in dict.fromkeys((text, without_ending(text))):
                found = ends.get(candidate, [])
                if len(found) == 1:
                    return found[0], []
                several = several or found
        return None, several


def relative_names(names: Sequence[str]) -> list[str]:
    """Write paths as they go on below the folder that all of them share; names that are no whole paths stay."""
    paths = [name for name in names if os.path.isabs(name)]  # noqa: PTH117 - strings, and many of them
    if not paths:
        return list(names)
    root = os.path.commonpath([os.path.dirname(path) for path in paths]).rstrip("/") + "/"  # noqa: PTH120
    return [name.removeprefix(root) for name in names]


def without_ending(name: str) -> str:
    """Take the ending of a sound file off a name."""
    path = PurePosixPath(name)
    return name[: -len(path.suffix)] if path.suffix.lower() in _ENDINGS else name


def _index(spelled: Iterable[str], names: Iterable[str]) -> dict[str, list[str]]:
    """The recordings of each name, with its ending and without."""
    found: dict[str, list[str]] = {}
    for spelling, name in zip(spelled, names, strict=True):
        for key in dict.fromkeys((name, without_ending(name))):
            found.setdefault(key, []).append(spelling)
    return found


def _end(name: str, level: int) -> str:
    """The last ``level`` parts of a path."""
    return "/".join(name.rsplit("/", level)[-level:])


def _absolute(path: str | Path) -> str:
    return str(Path(path).resolve())
