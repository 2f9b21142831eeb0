"""Which folder here stands for which one on the server."""

import os
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vivavoce.errors import UserError
from vivavoce.server.profile import Profile


@dataclass(frozen=True)
class Place:
    """One folder on both sides, and what of it travels.

    Args:
        here: The folder on this machine.
        there: The folder on the server; below the home folder, or absolute.
        names: These files in it; None: all that is in it.
        without: What in it has a place of its own, as paths below it.
        implied: It was not asked for by name, but lies in a folder that was; it need not be there.
    """

    here: Path
    there: str
    names: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    implied: bool = False

    def holds(self, name: str) -> bool:
        """Whether a path below the folder belongs to this place."""
        return not any(name == top or name.startswith(f"{top}/") for top in self.without)


def push_places(profile: Profile, paths: Sequence[str], to: str | None) -> list[Place]:
    """Where paths on this machine go.

    Raises:
        UserError: a path is not here, or lies outside the present folder and `to` does not say where it goes.
    """
    places = []
    for relative in _outermost(map(_from_here, paths)):
        path = Path(relative)
        if not path.is_dir() and not path.is_file():
            raise UserError(f"{relative} is no file or folder here; check the spelling, and the folder you are in.")
        if to is None and _outside(relative):
            raise UserError(
                f"{relative} lies outside the folder you are in, so that its place on the server is open; say it with "
                "--to FOLDER, or go to a folder that holds it."
            )
        target = relative if to is None else posixpath.join(_folder(to), _name(relative))
        if path.is_file():
            there = _there(profile, posixpath.dirname(target))
            places.append(Place(path.parent, there, (path.name,)))
        else:
            places += _with_data(profile, path, target)
    return _merged(place for place in places if not place.implied or place.here.is_dir())


def pull_places(profile: Profile, paths: Sequence[str], to: str | None) -> list[Place]:
    """Where paths on the server come to; whether each is a file or a folder is not known yet.

    Raises:
        UserError: a path lies outside the work folder and `to` does not say where it comes to.
    """
    places = []
    for relative in _outermost(paths):
        if to is None and _outside(relative):
            raise UserError(
                f"{relative} lies outside the work folder on the server, so that its place here is open; say it with "
                "--to FOLDER."
            )
        here = Path(relative) if to is None else Path(to, _name(relative))
        places += _with_data(profile, here, relative)
    return places


def linked(profile: Profile, places: Iterable[Place]) -> dict[str, str]:
    """The links in the work folder that the data folders among these places need: path -> where it leads."""
    used = [place.there for place in places]
    return {
        profile.at(top): place
        for top, place in profile.data.items()
        if any(there == place or there.startswith(f"{place}/") for there in used)
    }


def _with_data(profile: Profile, here: Path, target: str) -> list[Place]:
    """A folder, and the data folders of the profile within it, which lie elsewhere on the server."""
    prefix = "" if target == "." else f"{target}/"
    inner = [] if posixpath.isabs(target) else [top for top in profile.data if top.startswith(prefix)]
    below = {top.removeprefix(prefix): top for top in inner}
    own = Place(here, _there(profile, target), without=tuple(below))
    return [own, *(Place(here / name, profile.data[top], implied=True) for name, top in below.items())]


def _there(profile: Profile, relative: str) -> str:
    """A path of the work folder as it lies on the server, by the profile's data folders."""
    for top, place in profile.data.items():
        if relative == top or relative.startswith(f"{top}/"):
            return posixpath.normpath(posixpath.join(place, relative.removeprefix(top).lstrip("/")))
    return profile.at(relative)


def _outermost(paths: Iterable[str]) -> list[str]:
    """The paths as short as can be, each once, less those in another one of them."""
    clean = {_clean(path) for path in paths}
    return sorted(path for path in clean if not any(_below(path, other) for other in clean))


def _clean(path: str) -> str:
    if not path:
        raise UserError("An empty path names no file or folder; `.` is the present one.")
    return posixpath.normpath(path.replace(os.sep, "/"))


def _from_here(path: str) -> str:
    """An absolute path in the present folder, written from there."""
    relative = os.path.relpath(path) if posixpath.isabs(path) else path
    return path if _outside(relative) else relative


def _below(path: str, folder: str) -> bool:
    within = not _outside(path) if folder == "." else path.startswith(f"{folder.rstrip('/')}/")
    return path != folder and within


def _outside(relative: str) -> bool:
    return posixpath.isabs(relative) or relative.split("/")[0] in ("..", "~")


def _name(relative: str) -> str:
    """The name that a path keeps in the folder of --to; none where it is the present folder itself."""
    name = posixpath.basename(relative)
    return "" if name in (".", "..") else name


def _folder(to: str) -> str:
    if not to or to.startswith("~"):
        raise UserError(f"--to {to!r} must be a folder on the server: absolute, or below the work folder.")
    return posixpath.normpath(to)


def _merged(places: Iterable[Place]) -> list[Place]:
    """One place for all single files of a folder."""
    merged: dict[tuple[Path, str, bool], Place] = {}
    for place in places:
        key = (place.here, place.there, place.names is None)
        known = merged.get(key)
        names = (*known.names, *place.names) if known and known.names and place.names else place.names
        merged[key] = Place(place.here, place.there, names, place.without, place.implied)
    return list(merged.values())
