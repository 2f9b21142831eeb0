"""Manifests: Lhotse cut sets on disk, read lazily as cuts or at once as rows.

Relative audio paths in a manifest start at the manifest's own folder, so that a folder of recordings with its manifest
can be moved as a whole.
"""

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivavoce.audio import audio_info
from vivavoce.corpus.cuts import Row, absolute, cut_to_rows, first_repeated, row_to_cut
from vivavoce.errors import UserError
from vivavoce.files import atomic_path

if TYPE_CHECKING:
    from lhotse import CutSet

__all__ = ["Row", "iterate_rows", "read_json_lines", "read_manifest", "read_rows", "save_rows", "write_rows"]

SUFFIXES = (".jsonl", ".jsonl.gz")
_GZIP_LEVEL = 6  # gzip's own default; a higher one saves 2 % and costs twice the time


def read_manifest(path: Path | str) -> "CutSet":
    """Open a manifest as a lazy Lhotse CutSet whose audio paths are absolute.

    Raises:
        UserError: the file is missing, empty, not a manifest of cuts, or its first cut has no speaker.
    """
    path = Path(path)
    folder = _folder(path)
    for where, cut in read_json_lines(path):
        list(cut_to_rows(cut, folder, where))  # the first cut shows what kind of manifest this is
        break
    else:
        raise UserError(f"The manifest {path} is empty; import the recordings again.")
    from lhotse import CutSet

    return CutSet.from_jsonl_lazy(path).with_recording_path_prefix(folder)


def read_rows(path: Path | str) -> list[Row]:
    """Read a whole manifest, and check that its sound files are where it says.

    Raises:
        UserError: as `read_manifest`; also a broken line, the same id twice, or sound files that moved.
    """
    rows = list(iterate_rows(path))
    if not rows:
        raise UserError(f"The manifest {path} is empty; import the recordings again.")
    if repeated := first_repeated(row.id for row in rows):
        raise UserError(f"The manifest {path} uses the id {repeated} twice; give every recording its own.")
    files = dict.fromkeys(row.path for row in rows)
    missing = [file for file in files if not os.path.isfile(file)]  # noqa: PTH113 - faster on 100,000 files
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(files)} sound files of {path} are not where it says (first: {missing[0]}); "
            "move them back or import them again."
        )
    return rows


def iterate_rows(path: Path | str) -> Iterator[Row]:
    """Yield the rows of a manifest one by one; whether the sound files are there is not checked."""
    path = Path(path)
    folder = _folder(path)
    for where, cut in read_json_lines(path):
        yield from cut_to_rows(cut, folder, where)


def write_rows(rows: Iterable[Row], path: Path | str) -> None:
    """Write rows as a Lhotse CutSet (JSON lines, gzipped where the name ends in ``.gz``), atomically.

    Paths below the manifest's folder are stored relative to it, others absolute. The same rows give the same bytes.

    Raises:
        UserError: the name is not ``*.jsonl`` or ``*.jsonl.gz``, a row's file is missing or damaged and its header
            was not read before, or the disk is full.
    """
    path = Path(path)
    check_name(path)
    with atomic_path(path) as temporary:
        save_rows(rows, temporary, _folder(path))


def save_rows(rows: Iterable[Row], file: Path, folder: str) -> None:
    """Write rows to ``file`` as it is, with paths relative to the absolute ``folder``; `write_rows` is atomic."""
    prefix = folder.rstrip(os.sep) + os.sep
    lines = (json.dumps(_cut(row, prefix), ensure_ascii=False) + "\n" for row in rows)
    with file.open("wb") as raw:
        if file.suffix != ".gz":
            raw.writelines(line.encode() for line in lines)
            return
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=raw, mtime=0) as packed:
            packed.writelines(line.encode() for line in lines)


def check_name(path: Path) -> None:
    """Refuse a manifest's name by which Lhotse would not know its format, with a UserError."""
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"A manifest is named *.jsonl or *.jsonl.gz, not {path.name}; choose such a name.")


def _cut(row: Row, prefix: str) -> dict[str, Any]:
    if row.file_samples is None or row.file_channels is None:
        info = audio_info(row.path)
        row = replace(row, file_samples=info.samples, file_channels=info.channels)
    source = absolute(row.path)
    if source.startswith(prefix):
        source = source[len(prefix) :]
    return row_to_cut(row, source.replace(os.sep, "/"))


def _folder(path: Path) -> str:
    return str(Path(absolute(path)).parent)


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("line 3 of M", object) for each line."""
    check_name(path)
    if not path.is_file():
        raise UserError(f"The manifest {path} does not exist; make one with `vivavoce import`.")
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.isspace():
                    cut = json.loads(line)
                    if not isinstance(cut, dict):
                        raise ValueError("not an object")
                    yield f"Line {number} of {path}", cut
    except (ValueError, EOFError, gzip.BadGzipFile) as error:
        raise UserError(
            f"{path} is not a whole Lhotse manifest (see line {max(1, number)}); import it again."
        ) from error
