"""What a trial list says line by line, and the checks that turn it into trials."""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.names import UnknownName
from vivavoce.evaluation.trials.table import DRAWN, DRAWN_CODES, LABEL_CODES, LABELS, NONTARGET, TARGET, Trials, number

# Labels of lists that know less than ours: not the target, whoever it is; an attack, of whatever kind.
OTHER, ATTACK = "other", "attack"

Codes = NDArray[np.int32]


@dataclass(frozen=True)
class Column:
    """The distinct texts of one column, and which of them each trial has, ``(trials,)``."""

    texts: list[str]
    codes: Codes


@dataclass(frozen=True)
class Lines:
    """The lines of a list; each column says something of each trial."""

    path: Path
    numbers: NDArray[np.int64]  # (trials,) the line that each trial stands on, from 1
    enrolments: Sequence[tuple[str, ...]]  # the recordings that each text of `enrol` means
    enrol: Column
    test: Column
    label: Column  # of LABELS, OTHER or ATTACK
    further: Mapping[str, Column] = field(default_factory=dict)  # speaker, test_speaker, drawn

    def refuse(self, column: Column, code: int, sentence: str) -> UserError:
        """An error about the first trial that has a text."""
        return self.error(int(np.argmax(column.codes == code)), sentence)

    def error(self, trial: int, sentence: str) -> UserError:
        """An error about one trial, which begins with its line."""
        return UserError(f"{self.path}, line {self.numbers[trial]}: {sentence}")


def tabulate(
    records: Iterable[tuple[int, Sequence[str]]], places: Sequence[int]
) -> tuple[NDArray[np.int64], list[Column]]:
    """Read some columns of a list.

    Args:
        records: the line number and the fields of each line; one that is too short is filled up.
        places: which fields to read.

    Returns:
        The line numbers ``(trials,)``, and the columns without the spaces around their texts.
    """
    width = max(places) + 1
    lines = array("q")
    columns: list[tuple[dict[str, int], array[int], int]] = [({}, array("i"), place) for place in places]
    for line, fields in records:
        lines.append(line)
        filled = fields if len(fields) >= width else [*fields, *[""] * (width - len(fields))]
        for codes, numbers, place in columns:
            numbers.append(codes.setdefault(filled[place], len(codes)))
    return np.array(lines, dtype=np.int64), [_stripped(list(codes), numbers) for codes, numbers, _ in columns]


def _stripped(texts: list[str], codes: "array[int]") -> Column:
    distinct, places = number(text.strip() for text in texts)
    return Column(distinct, places[np.array(codes, dtype=np.int32)])


def build(lines: Lines, find: Callable[[str], str] | None, kinds: Mapping[str, str] | None) -> Trials:
    """Check the lines of a list and make a table of trials of them.

    Args:
        lines: what the list says.
        find: gives the manifest's spelling of a recording; None: names stay as they are written.
        kinds: the kind of each recording of the manifest; None: the list alone says what is an attack.

    Raises:
        UserError: a field is empty or unknown, a name means no recording, the truth contradicts the manifest, a test
            is part of its own enrolment, or a trial stands there twice.
    """
    _refuse_empty(lines)
    _refuse_unknown(lines)
    enrolments, tests = _spell(lines, find)
    distinct, places = number(enrolments)
    enrolment = places[lines.enrol.codes]
    names, places = number(tests)
    test = places[lines.test.codes]
    label = _truths(lines, names, test, kinds)
    _refuse_own(lines, distinct, names, enrolment, test)
    _refuse_twice(lines, distinct, enrolment, test)
    drawn = None
    if "drawn" in lines.further:
        column = lines.further["drawn"]
        drawn = np.array([DRAWN_CODES[text] for text in column.texts])[column.codes]
    return Trials(
        distinct,
        names,
        enrolment,
        test,
        label,
        drawn,
        _one_each(lines, "speaker", enrolment, len(distinct)),
        _one_each(lines, "test_speaker", test, len(names)),
    )


def _refuse_empty(lines: Lines) -> None:
    columns = {"enrol": lines.enrol, "test": lines.test, "label": lines.label, **lines.further}
    empty = {"enrol": [code for code, members in enumerate(lines.enrolments) if not members]}
    empty |= {
        name: [code for code, text in enumerate(column.texts) if not text]
        for name, column in columns.items()
        if name not in ("enrol", "drawn")
    }
    found = [(int(np.argmax(columns[name].codes == code)), name) for name, codes in empty.items() for code in codes]
    if found:
        trial, name = min(found, key=lambda one: one[0])
        remedy = "fill it in" if name in ("enrol", "test", "label") else "fill it in, or leave the column out"
        raise lines.error(trial, f"the field {name} is empty; {remedy}.")


def _refuse_unknown(lines: Lines) -> None:
    for code, text in enumerate(lines.label.texts):
        if text not in LABEL_CODES and text not in (OTHER, ATTACK):
            raise lines.refuse(lines.label, code, f"unknown label {text!r}; use one of {', '.join(LABELS)}.")
    for code, text in enumerate(lines.further["drawn"].texts if "drawn" in lines.further else ()):
        if text not in DRAWN_CODES:
            words = ", ".join(DRAWN[1:])
            raise lines.refuse(
                lines.further["drawn"], code, f"unknown way of drawing {text!r}; use {words}, or leave it empty."
            )


def _spell(lines: Lines, find: Callable[[str], str] | None) -> tuple[list[tuple[str, ...]], list[str]]:
    """Give each enrolment and test the manifest's spelling."""
    if find is None:
        return list(lines.enrolments), lines.test.texts
    problems: list[tuple[int, str]] = []
    enrolments = _spelled(lines.enrol, lines.enrolments, find, problems)
    tests = _spelled(lines.test, [(text,) for text in lines.test.texts], find, problems)
    if problems:
        raise lines.error(*min(problems, key=lambda one: one[0]))
    return enrolments, [name for (name,) in tests]


def _spelled(
    column: Column, members: Iterable[tuple[str, ...]], find: Callable[[str], str], problems: list[tuple[int, str]]
) -> list[tuple[str, ...]]:
    """The spellings up to the first name that means no recording, which goes to ``problems`` with its trial."""
    found: list[tuple[str, ...]] = []
    for code, texts in enumerate(members):
        try:
            found.append(tuple(find(text) for text in texts))
        except UnknownName as problem:
            problems.append((int(np.argmax(column.codes == code)), str(problem)))
            break
    return found


def _truths(lines: Lines, names: list[str], test: Codes, kinds: Mapping[str, str] | None) -> NDArray[np.int8]:
    """The label of each trial, made precise and compared with the kinds of the manifest, ``(trials,)``."""
    words = np.array([*LABELS, OTHER, ATTACK])
    places = {word: code for code, word in enumerate(words.tolist())}
    said = np.array([places[text] for text in lines.label.texts])[lines.label.codes]
    other, attack = said == places[OTHER], said == places[ATTACK]
    if kinds is None:
        if attack.any():
            raise lines.error(
                int(np.argmax(attack)), "the list does not say what kind of attack this is; give the manifest with it."
            )
        return np.where(other, LABEL_CODES[NONTARGET], said).astype(np.int8)
    live = LABEL_CODES[TARGET]
    kind = np.array([LABEL_CODES.get(kinds.get(name, Kind.LIVE.value), live) for name in names])[test]
    is_live = kind == live
    truth = np.where(other | attack, np.where(is_live, LABEL_CODES[NONTARGET], kind), said)
    claims_live = (truth == LABEL_CODES[TARGET]) | (truth == LABEL_CODES[NONTARGET])
    wrong = (claims_live != is_live) | (~is_live & (truth != kind)) | (attack & is_live)
    if wrong.any():
        trial = int(np.argmax(wrong))
        word = "an attack" if attack[trial] else str(words[said[trial]])
        right = Kind.LIVE.value if is_live[trial] else LABELS[kind[trial]]
        raise lines.error(
            trial, f"the list calls {names[test[trial]]} {word}, and the manifest says {right}; correct one of them."
        )
    return truth.astype(np.int8)


def _refuse_own(
    lines: Lines, enrolments: list[tuple[str, ...]], tests: list[str], enrolment: Codes, test: Codes
) -> None:
    place = {name: code for code, name in enumerate(tests)}
    own = [
        code * len(tests) + place[name] for code, members in enumerate(enrolments) for name in members if name in place
    ]
    inside = np.isin(enrolment.astype(np.int64) * len(tests) + test, np.array(own, dtype=np.int64))
    if inside.any():
        trial = int(np.argmax(inside))
        raise lines.error(
            trial, f"the test recording {tests[test[trial]]} is part of its own enrolment; take another one."
        )


def _refuse_twice(lines: Lines, enrolments: list[tuple[str, ...]], enrolment: Codes, test: Codes) -> None:
    _, alike = number(tuple(sorted(members)) for members in enrolments)  # their order within does not matter
    pairs = alike[enrolment].astype(np.int64) * (int(test.max()) + 1) + test
    order = np.argsort(pairs, kind="stable")
    again = np.flatnonzero(np.diff(pairs[order]) == 0)
    if again.size:
        second = int(order[again + 1].min())
        first = int(np.argmax(pairs == pairs[second]))
        raise lines.error(
            second, f"this enrolment and test already stand on line {lines.numbers[first]}; keep one of the two."
        )


def _one_each(lines: Lines, name: str, codes: Codes, count: int) -> list[str] | None:
    """The one text of a column that each enrolment or test has; None where the list has no such column."""
    column = lines.further.get(name)
    if column is None:
        return None
    first = np.zeros(count, dtype=np.int32)
    first[codes[::-1]] = column.codes[::-1]  # of several, the last assignment stays: the first in the list
    differs = first[codes] != column.codes
    if differs.any():
        trial = int(np.argmax(differs))
        before = int(np.argmax(codes == codes[trial]))
        raise lines.error(
            trial,
            f"the {name} is {column.texts[column.codes[trial]]} here, and {column.texts[column.codes[before]]} for the "
            f"same recordings on line {lines.numbers[before]}; correct one of them.",
        )
    return [column.texts[code] for code in first]
