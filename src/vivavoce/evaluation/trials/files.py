"""Trial lists on disk: our CSV, and the lists of VoxCeleb and ASVspoof."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vivavoce.errors import UserError
from vivavoce.evaluation.trials.formats import ListFormat
from vivavoce.evaluation.trials.lines import Lines, build, tabulate
from vivavoce.evaluation.trials.lists import (
    read_asvspoof,
    read_voxceleb,
    recognise,
    write_asvspoof,
    write_voxceleb,
)
from vivavoce.evaluation.trials.names import Names
from vivavoce.evaluation.trials.table import DRAWN, LABELS, Trial, Trials, references, spread
from vivavoce.files import atomic_path

if TYPE_CHECKING:
    from vivavoce.corpus.manifest import Row

COLUMNS = ("enrol", "test", "label")
FURTHER_COLUMNS = ("speaker", "test_speaker", "drawn")
SEPARATOR = ";"


def read_trials(
    path: Path | str, known: Iterable[str | Path] | None = None, kinds: Mapping[str, str] | None = None
) -> Trials:
    """Read a trial list, whose format is recognised by what is in it.

    - A CSV file with the columns ``enrol`` (paths joined by ``;``), ``test`` and ``label``, and perhaps ``speaker``,
      ``test_speaker`` and ``drawn``. A trial may write a path as it is, relative to the working folder, or relative to
      the CSV file's folder.
    - A list of VoxCeleb or ASVspoof (`vivavoce.evaluation.trials.lists`). It may also write the end of a path, with or
      without the ending of the file.

    Args:
        path: the list.
        known: the recordings that may occur (`references` of a manifest); the trials returned use its spelling. None:
            names stay as they are written.
        kinds: the kind of each of them. A list that does not tell kinds of attacks takes them from here; one that does
            must agree.

    Raises:
        UserError: the file is missing, empty or not a text, lacks a column, or a line has an unknown label, an empty
            field, a test recording inside its own enrolment, a path that is not known or a trial that came before.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no trial list {path}; check the path.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip()), "")
            file.seek(0)
            form = recognise(first, path)
            readers = {
                ListFormat.CSV: _read_csv,
                ListFormat.VOXCELEB: read_voxceleb,
                ListFormat.ASVSPOOF: read_asvspoof,
            }
            lines = readers[form](file, path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV text file ({error}); export it as CSV in UTF-8.") from error
    if not len(lines.numbers):
        raise UserError(f"{path} holds no trial; add lines below its header.")
    find = None if known is None else Names(known, path.parent, loosely=form is not ListFormat.CSV).find
    return build(lines, find, kinds)


def read_trials_of(path: Path | str, rows: "Sequence[Row]") -> Trials:
    """Read a list of trials among the recordings of a manifest, with who speaks in them; see `read_trials`."""
    names = references(rows)
    kinds = {name: row.meta.kind.value for name, row in zip(names, rows, strict=True)}
    return read_trials(path, names, kinds).with_speakers(rows)


def write_trials(
    trials: Iterable[Trial],
    path: Path | str,
    form: ListFormat = ListFormat.CSV,
    known: Sequence[str] | None = None,
) -> list[Path]:
    """Write trials in a form that `read_trials` reads, atomically.

    Args:
        trials: `Trials`, or any trials.
        path: the list.
        form: how to write it.
        known: all recordings of the manifest, among which the shorter names of the other forms are to be distinct.

    Returns:
        The files written: an ASVspoof list has an enrolment list beside it.

    Raises:
        UserError: an enrolment path holds the separator ``;``, the form cannot hold these trials, or the file cannot
            be written.
    """
    path, table = Path(path), Trials.of(trials)
    if form is ListFormat.VOXCELEB:
        write_voxceleb(table, path, known)
        return [path]
    if form is ListFormat.ASVSPOOF:
        return [path, write_asvspoof(table, path, known)]
    columns = _columns(table, path)
    fields = [spread([_quoted(text) for text in texts], codes) for texts, codes in columns.values()]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(columns) + "\r\n")
        file.writelines(",".join(line) + "\r\n" for line in zip(*fields, strict=True))
    return [path]


def _columns(trials: Trials, path: Path) -> dict[str, tuple[Sequence[str], NDArray[np.integer]]]:
    """The distinct texts of each column, and which of them each trial has; columns that say nothing are left out."""
    if any(SEPARATOR in name for members in trials.enrolments for name in members):
        raise UserError(f"An enrolment path of {path} holds the separator {SEPARATOR!r}; rename that recording.")
    columns: dict[str, tuple[Sequence[str], NDArray[np.integer]]] = {
        "enrol": ([SEPARATOR.join(members) for members in trials.enrolments], trials.enrolment),
        "test": (trials.tests, trials.test),
        "label": (LABELS, trials.label),
    }
    if trials.speakers is not None:
        columns["speaker"] = (trials.speakers, trials.enrolment)
    if trials.test_speakers is not None:
        columns["test_speaker"] = (trials.test_speakers, trials.test)
    if trials.drawn.any():
        columns["drawn"] = (DRAWN, trials.drawn)
    return columns


def _quoted(text: str) -> str:
    """A field as `csv.writer` writes it, which takes four times as long when it looks at each trial's."""
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text


def _read_csv(file: Iterable[str], path: Path) -> Lines:
    reader = csv.reader(file)
    header = next(reader, [])
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise UserError(
            f"{path} has no column {' and no column '.join(missing)}; a trial list has {', '.join(COLUMNS)}."
        )
    names = [*COLUMNS, *(name for name in FURTHER_COLUMNS if name in header)]
    records = ((reader.line_num, row) for row in reader if row)
    numbers, columns = tabulate(records, [header.index(name) for name in names])
    enrol, test, label, *further = columns
    enrolments = [tuple(part.strip() for part in text.split(SEPARATOR) if part.strip()) for text in enrol.texts]
    return Lines(path, numbers, enrolments, enrol, test, label, dict(zip(names[len(COLUMNS) :], further, strict=True)))
