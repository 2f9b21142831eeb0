"""Folders on the server: made where they are absent, and data folders linked to where their bytes lie."""

from __future__ import annotations

import errno
import os

from .answer import Refused


def make_folder(path: str) -> str:
    """Make a folder and its parents where they are absent."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise _refusal(path, error) from error
    return path


def link_data(link: str, place: str) -> None:
    """Let a path in the work folder lead to a data folder, which is made.

    A folder with files in it is left alone, since they would be out of sight.
    """
    make_folder(place)
    target = os.path.abspath(place)
    if os.path.realpath(link) == os.path.realpath(target):
        return
    make_folder(os.path.dirname(link) or ".")
    try:
        if os.path.islink(link):
            os.unlink(link)
        elif os.path.isdir(link) and not os.listdir(link):
            os.rmdir(link)
        elif os.path.lexists(link):
            raise Refused(
                f"{link} holds files, and the profile has this folder at {place}; move them there and remove {link}, "
                "or take it out of the profile's data."
            )
        os.symlink(target, link)
    except OSError as error:
        raise _refusal(link, error) from error


def _refusal(path: str, error: OSError) -> Refused:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused(f"The disk or your quota on the server is full: {path} was not made; make room there.")
    return Refused(f"{path} cannot be made on the server ({error.strerror}); choose another place in the profile.")
