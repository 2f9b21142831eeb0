"""Import of a table: one recording a line, comma-separated (``.csv``) or tab-separated (``.tsv``).

Columns: ``path`` or ``file``, and ``speaker``; optional `OPTIONAL`. Any further column is kept in the metadata as the
text that was typed, never turned into a number, so that a code such as ``01`` survives. An empty cell means unknown.
"""

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vivavoce.corpus.cuts import parse_metadata
from vivavoce.corpus.importers import Draft
from vivavoce.corpus.metadata import Metadata
from vivavoce.errors import UserError

PATH_COLUMNS = ("path", "file")
METADATA = tuple(Metadata.model_fields)
OPTIONAL = ("id", "text", "start_s", "duration_s", "channel", *METADATA)


def read_table(
    table: Path, audio_root: Path | None = None, channel: int | None = None, speaker_column: str = "speaker"
) -> list[Draft]:
    """Read a table of recordings; relative paths start at ``audio_root``, by default the table's folder.

    ``channel`` is for lines without a cell in the column ``channel``.

    Raises:
        UserError: the table is missing, not a table in UTF-8, without the needed columns, or a cell is wrong or
            missing; the message names the line.
    """
    root = table.parent if audio_root is None else audio_root
    if not table.is_file():
        raise UserError(f"The table {table} does not exist; correct the path.")
    if not root.is_dir():
        raise UserError(f"The audio root {root} is not a folder; correct `--audio-root`.")
    return [
        _draft(cells, f"Line {line} of {table}", root, path_column, channel, speaker_column)
        for line, path_column, cells in _lines(table, speaker_column)
    ]


def _lines(table: Path, speaker_column: str) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Yield the line number, the name of the path column, and the filled cells of each line."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t" if table.suffix == ".tsv" else ",", strict=True)
            names = [name.strip() for name in next(reader, [])]
            path_column = _check_columns(names, table, speaker_column)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(names):
                    raise UserError(
                        f"Line {reader.line_num} of {table} has {len(cells)} cells for {len(names)} columns; mend the "
                        "line, and put quotes around text that holds the separator."
                    )
                filled = {name: cell.strip() for name, cell in zip(names, cells, strict=True) if cell.strip()}
                yield reader.line_num, path_column, filled
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} is not a table in UTF-8 ({error}); export it as CSV again.") from error
    except OSError as error:
        raise UserError(f"{table} cannot be read ({error.strerror}); mend its permissions.") from error


def _check_columns(names: list[str], table: Path, speaker_column: str) -> str:
    have = ", ".join(f"`{name}`" for name in names) or "none"
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{table} has the column `{repeated[0]}` twice; rename one of them.")
    if "" in names:
        raise UserError(f"{table} has a column without a name, number {names.index('') + 1}; name or remove it.")
    paths = [name for name in PATH_COLUMNS if name in names]
    if not paths:
        raise UserError(f"{table} has no column `path` or `file`; its columns are {have}.")
    if speaker_column not in names:
        raise UserError(
            f"{table} has no column `{speaker_column}`; its columns are {have}: name the right one with "
            "`--speaker-column`."
        )
    return paths[0]


def _draft(
    cells: dict[str, str], where: str, root: Path, path_column: str, channel: int | None, speaker_column: str
) -> Draft:
    for needed in (path_column, speaker_column):
        if needed not in cells:
            raise UserError(f"{where} has an empty cell `{needed}`; fill it or remove the line.")
    chosen = _number(cells, "channel", where)
    if chosen is not None and (chosen < 0 or chosen != int(chosen)):
        raise UserError(f"{where} has a wrong `channel`, {cells['channel']!r}: it must be 0, 1, 2 and so on.")
    used = {path_column, speaker_column, "id", "text", "start_s", "duration_s", "channel"}
    values: dict[str, Any] = {name: cell for name, cell in cells.items() if name not in used}
    if "probe_hz" in values:
        values["probe_hz"] = values["probe_hz"].split()
    return Draft(
        where=where,
        path=root / cells[path_column],
        speaker=cells[speaker_column],
        text=cells.get("text"),
        start_s=_number(cells, "start_s", where) or 0.0,
        duration_s=_number(cells, "duration_s", where),
        channel=channel if chosen is None else int(chosen),
        meta=parse_metadata(values, where),
        id=cells.get("id"),
    )


def _number(cells: dict[str, str], name: str, where: str) -> float | None:
    if name not in cells:
        return None
    try:
        value = float(cells[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where} has a wrong `{name}`, {cells[name]!r}: it must be a number.")
    return value
