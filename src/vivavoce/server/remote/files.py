"""Files on one side of a transfer: list them, compare them, put them in place; either side runs this for itself."""

from __future__ import annotations

import os
import shutil
from typing import Any

from .answer import Refused
from .folders import link_data, make_folder

PARTIAL = ".rsync-partial"  # folder of files that have not arrived whole, beside where they go
BLOCK_BYTES = 1 << 20
STAGE = "vivavoce-stage-"  # begins the names of folders that :func:`_stage` makes


def main(request: dict[str, Any]) -> Any:
    """Do what ``request["do"]`` names; paths are below the folder where the program starts, or absolute."""
    try:
        return _ACTIONS[request["do"]](request)
    except OSError as error:
        raise Refused("{} cannot be used ({}).".format(error.filename, error.strerror)) from error


def _list(request: dict[str, Any]) -> dict[str, Any]:
    """Of each root: what it is, its regular files, its symbolic links, and the space for more.

    A root is ``{"path", "names", "digest"}``: with names, only those below it are looked at; those of ``digest`` are
    also read. Folders whose name is in ``prune`` are not entered.
    """
    prune = set(request["prune"])
    return {"roots": [_listed(root, prune) for root in request["roots"]], "rsync": bool(shutil.which("rsync"))}


def _listed(root: dict[str, Any], prune: set[str]) -> dict[str, Any]:
    path, names = root["path"], root.get("names")
    files: list[list[Any]] = []
    links: list[list[str]] = []
    kind = "missing"
    if names is not None or os.path.isdir(path):
        kind = "folder"
        if names is None:
            _walk(path, prune, files, links)
        else:
            for name in names:
                _look(os.path.join(path, name), name, files, links)
    elif os.path.isfile(path):
        kind = "file"
        _look(os.path.realpath(path), os.path.basename(path), files, links)
    elif os.path.lexists(path):
        kind = "other"
    wanted = root.get("digest")
    digests = _digests(path, wanted) if wanted else []
    return {"kind": kind, "files": files, "links": links, "digests": digests, "space": _space(path)}


def _walk(root: str, prune: set[str], files: list[list[Any]], links: list[list[str]]) -> None:
    todo = [(root, "")]
    while todo:
        folder, prefix = todo.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_symlink():
                    links.append([name, os.readlink(entry.path)])
                elif entry.is_dir(follow_symlinks=False):
                    if entry.name not in prune:
                        todo.append((entry.path, name + "/"))
                elif entry.is_file(follow_symlinks=False):
                    try:
                        state = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # it went while we looked
                    files.append([name, state.st_size, state.st_mtime_ns])


def _look(path: str, name: str, files: list[list[Any]], links: list[list[str]]) -> None:
    if os.path.islink(path):
        links.append([name, os.readlink(path)])
    elif os.path.isfile(path):
        state = os.stat(path)
        files.append([name, state.st_size, state.st_mtime_ns])


def _space(path: str) -> dict[str, Any]:
    """Room on the file system of a path, or of the nearest folder above it that is there."""
    above = os.path.abspath(path)
    missing = 0
    while not os.path.isdir(above):
        above = os.path.dirname(above)
        missing += 1
    found = {
        "missing": missing,  # folders to make
        "device": os.stat(above).st_dev,
        "writable": os.access(above, os.W_OK | os.X_OK),
        "above": above,
    }
    if not hasattr(os, "statvfs"):  # Windows, to which files are pulled
        return dict(found, free=shutil.disk_usage(above).free, block=1, free_files=None)
    room = os.statvfs(above)
    files = room.f_favail if room.f_files else None  # some file systems have no limit
    return dict(found, free=room.f_bavail * room.f_frsize, block=room.f_frsize, free_files=files)


def _digests(root: str, names: list[str]) -> list[str | None]:
    """BLAKE2b of each file, None where there is none."""
    from concurrent.futures import ThreadPoolExecutor  # most calls do without

    workers = max(1, min(8, os.cpu_count() or 1, len(names) // 32))
    parts = [names[start::workers] for start in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(lambda part: [_file_digest(os.path.join(root, name)) for name in part], parts))
    digests: list[str | None] = [None] * len(names)
    for start, part in enumerate(done):
        digests[start::workers] = part
    return digests


def _file_digest(path: str) -> str | None:
    from hashlib import blake2b

    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    try:
        digest = blake2b(digest_size=16)
        block = os.read(handle, BLOCK_BYTES)
        while block:
            digest.update(block)
            block = os.read(handle, BLOCK_BYTES) if len(block) == BLOCK_BYTES else b""
        return digest.hexdigest()
    finally:
        os.close(handle)


def _make(request: dict[str, Any]) -> None:
    """Make folders, and links to folders that are made, too."""
    for folder in request["folders"]:
        make_folder(folder)
    for path, target in request["links"].items():
        link_data(path, target)


def _delete(request: dict[str, Any]) -> int:
    """Delete files and links by name below a root, then the folders that this leaves empty; returns how many."""
    root = os.path.realpath(request["root"])
    paths = [inside(root, name) for name in request["files"]]  # all, before any is deleted
    for path in paths:
        os.unlink(path)
    for folder in sorted({os.path.dirname(path) for path in paths}, key=len, reverse=True):
        while folder != root and not os.listdir(folder):
            os.rmdir(folder)
            folder = os.path.dirname(folder)
    return len(paths)


def inside(root: str, name: str) -> str:
    """The path of a name below a root; refused where it leads out, by itself or through a link."""
    parts = name.split("/")
    folder = os.path.realpath(os.path.join(root, *parts[:-1]))
    if any(part in ("", ".", "..") for part in parts) or os.path.commonpath([root, folder]) != root:
        raise Refused("{!r} leads out of {}; nothing was deleted or written.".format(name, root))
    return os.path.join(folder, parts[-1])


def _stage(request: dict[str, Any]) -> str:
    """A new folder of links with plain names to files of any name, for programs that cannot take any name."""
    from tempfile import mkdtemp  # most calls do without

    folder = mkdtemp(prefix=STAGE)
    root = os.path.abspath(request["root"])
    for key, name in request["files"]:
        os.symlink(os.path.join(root, name), os.path.join(folder, key))
    return folder


def _unstage(request: dict[str, Any]) -> None:
    folder = request["folder"]
    if os.path.basename(folder).startswith(STAGE):
        shutil.rmtree(folder, ignore_errors=True)


def _place(request: dict[str, Any]) -> None:
    """Give files that arrived whole in the folder PARTIAL their names and times."""
    root = os.path.realpath(request["root"])
    folder = os.path.join(root, PARTIAL)
    for key, name, size, mtime_ns in request["files"]:
        source, target = os.path.join(folder, key), inside(root, name)
        if os.path.getsize(source) != size:
            raise Refused("{} did not arrive whole; run the same command again.".format(name))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.utime(source, ns=(mtime_ns, mtime_ns))
        os.replace(source, target)
    if not os.listdir(folder):
        os.rmdir(folder)


_ACTIONS = {
    "list": _list,
    "make": _make,
    "delete": _delete,
    "stage": _stage,
    "unstage": _unstage,
    "place": _place,
}
