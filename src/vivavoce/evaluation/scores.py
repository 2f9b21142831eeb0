"""Scores of a system on a list of trials, and score files: ours, and those that other toolkits write."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vivavoce.errors import UserError
from vivavoce.evaluation.trials.files import SEPARATOR
from vivavoce.evaluation.trials.matching import places
from vivavoce.evaluation.trials.table import DRAWN, LABELS, NONTARGET, TARGET, Trials, number, spread
from vivavoce.files import atomic_path

Floats = NDArray[np.float64]
Columns = dict[str, list[str]]

PLAIN = ("enrol", "test", "label", "speaker", "test_speaker", "drawn")
SCORES = ("score", "speaker_score", "liveness_score")
# What other toolkits call the two classes, in score files without a header.
WORDS = {"1": TARGET, "0": NONTARGET, TARGET: TARGET, NONTARGET: NONTARGET, "imposter": NONTARGET}
SHAPES = (
    "enrol test score target|nontarget (WeSpeaker)",
    "1|0 enrol test score (VoxCeleb's list with a score)",
    "enrol test 1|0 score (SpeechBrain)",
    "enrol test score (Kaldi), with --trials for the truth",
)


@dataclass(frozen=True)
class TrialScores:
    """Scores of one system on a list of trials, each ``(trials,)``; higher speaks for letting in."""

    name: str
    trials: Trials
    score: Floats  # the one number that decides; NaN: the system gives no answer
    speaker: Floats | None = None  # what it says of the voice alone
    liveness: Floats | None = None  # what it says of the test recording alone; NaN: no answer
    threshold: float | None = None  # of `score`, fixed before these trials

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> "TrialScores":
        """The scores of some trials, by a mask or by their numbers."""
        parts = {name: None if part is None else part[which] for name, part in self._columns().items()}
        return replace(self, trials=self.trials.take(which), **parts)

    def _columns(self) -> dict[str, Floats | None]:
        return {"score": self.score, "speaker": self.speaker, "liveness": self.liveness}


def write_scores(scores: TrialScores, path: Path | str) -> None:
    """Write scores as a CSV file that `read_scores` reads, atomically; an empty field is no answer.

    Raises:
        UserError: the file cannot be written.
    """
    trials = scores.trials
    columns: dict[str, Sequence[str]] = {
        "enrol": spread([SEPARATOR.join(names) for names in trials.enrolments], trials.enrolment),
        "test": spread(trials.tests, trials.test),
        "label": spread(LABELS, trials.label),
    }
    if trials.speakers is not None and trials.test_speakers is not None:
        columns["speaker"] = spread(trials.speakers, trials.enrolment)
        columns["test_speaker"] = spread(trials.test_speakers, trials.test)
    if trials.drawn.any():
        columns["drawn"] = spread(DRAWN, trials.drawn)
    for name, values in zip(SCORES, (scores.score, scores.speaker, scores.liveness), strict=True):
        if values is not None:
            columns[name] = ["" if math.isnan(value) else repr(value) for value in values.tolist()]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def read_scores(path: Path | str, trials: Trials | None = None, name: str | None = None) -> TrialScores:
    """Read a score file.

    Args:
        path: our CSV, with the columns ``enrol``, ``test``, ``label``, ``score`` and what else `write_scores` writes;
            or a text of other toolkits without a header: see `SHAPES`.
        trials: the trials to give scores of, in their order; None: those of the file.
        name: what to call the system; None: the file's name.

    Raises:
        UserError: the file is missing or no score file, a score is no number, a trial has two scores, or one of
            ``trials`` has none.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no score file {path}; check the path.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            columns = (
                _read_csv(file, path, trials) if "," in first and "enrol" in first else _read_text(file, path, trials)
            )
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a text of scores ({error}); export it as CSV in UTF-8.") from error
    found = _table(columns, path, name or path.stem)
    return found if trials is None else _in_order(found, trials, path)


def _read_csv(file: Iterator[str], path: Path, trials: Trials | None) -> Columns:
    reader = csv.reader(file)
    header = next(reader)
    needed = ("enrol", "test", "label", "score") if trials is None else ("enrol", "test", "score")
    missing = [name for name in needed if name not in header]
    if missing:
        raise UserError(
            f"{path} has no column {' and no column '.join(missing)}; a score file has enrol, test, label and score."
        )
    rows = [row for row in reader if row]
    short = next((place for place, row in enumerate(rows) if len(row) != len(header)), None)
    if short is not None:
        raise UserError(
            f"{path}, line {short + 2}: {len(rows[short])} fields where the header has {len(header)}; complete it."
        )
    return {name: [row[place] for row in rows] for place, name in enumerate(header) if name in (*PLAIN, *SCORES)}


def _read_text(file: Iterator[str], path: Path, trials: Trials | None) -> Columns:
    rows = [line.split() for line in file if line.strip()]
    widths = {len(row) for row in rows}
    first = rows[0] if rows else []
    if widths == {3} and trials is not None:
        order = ("enrol", "test", "score")
    elif widths == {4} and first[3] in WORDS and not first[3].isdigit():
        order = ("enrol", "test", "score", "label")
    elif widths == {4} and first[0] in WORDS:
        order = ("label", "enrol", "test", "score")
    elif widths == {4} and first[2] in WORDS:
        order = ("enrol", "test", "label", "score")
    else:
        raise UserError(
            f"{path} is no score file that is known: a CSV file with the columns enrol, test, label and score, or "
            f"lines of {'; '.join(SHAPES)}."
        )
    columns = {name: list(values) for name, values in zip(order, zip(*rows, strict=True), strict=True)}
    if "label" in columns:
        columns["label"] = [WORDS.get(word, word) for word in columns["label"]]
    return columns


def _table(columns: Columns, path: Path, name: str) -> TrialScores:
    if not columns["enrol"]:
        raise UserError(f"{path} holds no score; score some trials first.")
    labels = columns.get("label") or [NONTARGET] * len(columns["enrol"])
    codes = {label: code for code, label in enumerate(LABELS)}
    unknown = next((place for place, label in enumerate(labels) if label not in codes), None)
    if unknown is not None:
        raise UserError(f"{path}, score {unknown + 1}: unknown label {labels[unknown]!r}; use {', '.join(LABELS)}.")
    drawn = columns.get("drawn")
    enrolments, enrolment = number(columns["enrol"])
    tests, test = number(columns["test"])
    _refuse_twice(enrolment.astype(np.int64) * len(tests) + test, columns, path)
    trials = Trials(
        (tuple(part.strip() for part in text.split(SEPARATOR)) for text in enrolments),
        tests,
        enrolment,
        test,
        [codes[label] for label in labels],
        None if drawn is None else [DRAWN.index(how) if how in DRAWN else 0 for how in drawn],
        _of_distinct(columns.get("speaker"), enrolment, len(enrolments)),
        _of_distinct(columns.get("test_speaker"), test, len(tests)),
    )
    scores = {column: _numbers(columns[column], column, path) for column in SCORES if column in columns}
    return TrialScores(name, trials, scores["score"], scores.get("speaker_score"), scores.get("liveness_score"))


def _numbers(texts: list[str], column: str, path: Path) -> Floats:
    """A column of scores, NaN where a field is empty."""
    values = [_number(text) for text in texts]
    bad = next((place for place, value in enumerate(values) if value is None), None)
    if bad is not None:
        raise UserError(
            f"{path}, score {bad + 1}: {column} is {texts[bad]!r}, which is no finite number; leave the field empty "
            "where the system gives no answer."
        )
    return np.array(values, dtype=np.float64)


def _number(text: str) -> float | None:
    """A finite number, NaN of an empty text, None of any other."""
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _refuse_twice(keys: NDArray[np.int64], columns: Columns, path: Path) -> None:
    order = np.argsort(keys, kind="stable")
    again = order[1:][np.diff(keys[order]) == 0]
    if again.size:
        place = int(again.min())
        raise UserError(
            f"{path} has the trial of {columns['enrol'][place]} and {columns['test'][place]} twice "
            f"(score {place + 1}); keep one of them."
        )


def _of_distinct(values: list[str] | None, codes: NDArray[np.int32], count: int) -> list[str] | None:
    """The value of each distinct thing, from that of each trial; None where one is not said."""
    if values is None or "" in values:
        return None
    found = [""] * count
    for code, value in zip(codes.tolist(), values, strict=True):
        found[code] = value
    return found


def _in_order(found: TrialScores, trials: Trials, path: Path) -> TrialScores:
    """Scores in the order of ``trials``, whose truths count."""
    place = places(trials, found.trials)
    missing = np.flatnonzero(place < 0)
    if missing.size:
        first = trials[int(missing[0])]
        raise UserError(
            f"{path} has no score of {missing.size} of {len(trials)} trials (first: {SEPARATOR.join(first.enrol)} and "
            f"{first.test}); score them all, or give a shorter list."
        )
    return replace(found.take(place), trials=trials)
