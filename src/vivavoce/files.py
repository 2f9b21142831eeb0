"""Writing files so that a crash or a full disk never leaves half of one."""

import errno
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from vivavoce.errors import UserError

TEMPORARY = ".tmp-"  # begins the names of files that are not whole yet


@contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it to ``target`` when the block ends well.

    The temporary name keeps the target's suffixes, since writers choose a format by them. On any failure the
    temporary file or folder is removed and ``target`` stays as it was.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    target = Path(target)
    temporary = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        remove(temporary)
        raise _as_user_error(error, target) from error
    except BaseException as error:
        remove(temporary)
        if is_disk_full(error):
            raise _full(target) from error
        raise


@contextmanager
def append_to(target: Path | str) -> Iterator[BinaryIO]:
    """Open ``target`` to add bytes at its end.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("ab") as file:
            yield file
    except OSError as error:
        raise _as_user_error(error, target) from error


def write_text(target: Path | str, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path | str, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed left under temporary names anywhere below ``folder``."""
    for path in [*folder.rglob(f"{TEMPORARY}*")]:
        remove(path)


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error of any writer (OSError or a library's own) means a full disk."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    text = str(error).lower()
    return "no space left" in text or "disk quota exceeded" in text


def _full(target: Path) -> UserError:
    return UserError(f"The disk is full: {target} was not written; free some space and run the same command again.")


def _as_user_error(error: OSError, target: Path) -> Exception:
    if is_disk_full(error):
        return _full(target)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return UserError(
            f"{target} cannot be written ({error.strerror}); choose another place or mend its permissions."
        )
    return error


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it; nothing where there is none."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
