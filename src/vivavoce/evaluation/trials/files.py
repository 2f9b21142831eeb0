"""Trial lists on disk."""

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

from vivavoce.errors import UserError
from vivavoce.evaluation.trials.table import LABELS, Trial
from vivavoce.files import atomic_path

COLUMNS = ("enrol", "test", "label")
SEPARATOR = ";"


def read_trials(path: Path | str, known: Iterable[str | Path] | None = None) -> list[Trial]:
    """Read a CSV file with the columns ``enrol`` (paths joined by ``;``), ``test`` and ``label``.

    Args:
        path: the CSV file.
        known: the recordings that may occur (`references` of a manifest). A trial may write a path as it is, relative
            to the working folder, or relative to the CSV file's folder; the trials returned use ``known``'s spelling.

    Raises:
        UserError: the file is missing, empty or not a CSV text, lacks a column, or a line has an unknown label, an
            empty field, a test recording inside its own enrolment, or a path that is not known.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no trial list {path}; check the path.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise UserError(
                    f"{path} has no column {' and no column '.join(missing)}; a trial list has {', '.join(COLUMNS)}."
                )
            records = [(reader.line_num, record) for record in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV text file ({error}); export it as CSV in UTF-8.") from error
    if not records:
        raise UserError(f"{path} holds no trial; add lines below its header.")
    find = _finder(known, path.parent) if known is not None else None
    return [_parse(record, f"{path}, line {line}", find) for line, record in records]


def write_trials(trials: Iterable[Trial], path: Path | str) -> None:
    """Write trials as a CSV file that `read_trials` reads, atomically.

    Raises:
        UserError: an enrolment path holds the separator ``;``, or the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for trial in trials:
            if any(SEPARATOR in item for item in trial.enrol):
                raise UserError(
                    f"An enrolment path of {path} holds the separator {SEPARATOR!r}; rename that recording."
                )
            writer.writerow((SEPARATOR.join(trial.enrol), trial.test, trial.label))


def _finder(known: Iterable[str | Path], folder: Path) -> Callable[[str], str | None]:
    """Build a function from a path as written to its spelling in ``known`` (None: not there)."""
    table: dict[str, str] = {}
    for item in known:
        table[_absolute(item)] = str(item)
        table[str(item)] = str(item)
    cache: dict[str, str | None] = {}

    def find(text: str) -> str | None:
        if text not in cache:
            here = table.get(text) or table.get(_absolute(text))
            cache[text] = here or table.get(_absolute(folder / text))
        return cache[text]

    return find


def _absolute(path: str | Path) -> str:
    return str(Path(path).resolve())


def _parse(record: dict[str, str], where: str, find: Callable[[str], str | None] | None) -> Trial:
    enrol = tuple(item.strip() for item in (record["enrol"] or "").split(SEPARATOR) if item.strip())
    test, label = (record["test"] or "").strip(), (record["label"] or "").strip()
    for name, value in (("enrol", enrol), ("test", test), ("label", label)):
        if not value:
            raise UserError(f"{where}: the field {name} is empty; fill it in.")
    if label not in LABELS:
        raise UserError(f"{where}: unknown label {label!r}; use one of {', '.join(LABELS)}.")
    if find is not None:
        found = []
        for item in (*enrol, test):
            spelling = find(item)
            if spelling is None:
                raise UserError(f"{where}: {item} is not a recording of the manifest; correct the path or add it.")
            found.append(spelling)
        enrol, test = tuple(found[:-1]), found[-1]
    if test in enrol:
        raise UserError(f"{where}: the test recording {test} is part of its own enrolment; take another one.")
    return Trial(enrol, test, label)
