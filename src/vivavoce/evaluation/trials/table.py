"""Trials as a table of columns, one trial, and the names by which trials call recordings."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError

if TYPE_CHECKING:
    from vivavoce.corpus.manifest import Row

TARGET, NONTARGET = "target", "nontarget"
LABELS = (TARGET, NONTARGET, *(kind.value for kind in Kind if kind is not Kind.LIVE))
DRAWN = ("", "random", "same_sex", "hard")  # how a non-target was drawn; "": unknown, or it is none

LABEL_CODES = {label: code for code, label in enumerate(LABELS)}
DRAWN_CODES = {how: code for code, how in enumerate(DRAWN)}
_IS_SPOOF = np.array([label not in (TARGET, NONTARGET) and Kind(label).is_spoof for label in LABELS])


@dataclass(frozen=True, slots=True)
class Trial:
    """One enrolment (paths) against one test recording (a path), and the truth.

    The label is ``target``, ``nontarget``, or the kind of attack that the test recording is.
    """

    enrol: tuple[str, ...]
    test: str
    label: str


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Trials(Sequence[Trial]):
    """A list of trials kept as columns, so that a million of them take some megabytes; it cannot be changed.

    Two tables are equal where they list the same trials in the same order; how non-targets were drawn and who speaks
    is not compared.

    Args:
        enrolments: the distinct enrolments, each the names of its recordings.
        tests: the names of the distinct test recordings.
        enrolment: which enrolment each trial has, ``(trials,)``.
        test: which test recording each trial has, ``(trials,)``.
        label: the truth of each trial, an index into `LABELS`, ``(trials,)``.
        drawn: how each non-target was drawn, an index into `DRAWN`, ``(trials,)``; None: unknown, 0 everywhere.
        speakers: who is enrolled, one per enrolment; None: unknown.
        test_speakers: who speaks in each test recording, of an attack whom it claims to be; None: unknown.

    Raises:
        ValueError: the columns do not fit each other.
    """

    enrolments: tuple[tuple[str, ...], ...]
    tests: tuple[str, ...]
    enrolment: NDArray[np.int32]
    test: NDArray[np.int32]
    label: NDArray[np.int8]
    drawn: NDArray[np.int8]
    speakers: tuple[str, ...] | None
    test_speakers: tuple[str, ...] | None

    def __init__(
        self,
        enrolments: Iterable[tuple[str, ...]],
        tests: Iterable[str],
        enrolment: ArrayLike,
        test: ArrayLike,
        label: ArrayLike,
        drawn: ArrayLike | None = None,
        speakers: Iterable[str] | None = None,
        test_speakers: Iterable[str] | None = None,
    ) -> None:
        label = _column("label", label, np.int8, len(LABELS))
        drawn = np.zeros_like(label) if drawn is None else drawn
        values = {
            "enrolments": _distinct("enrolments", enrolments),
            "tests": _distinct("tests", tests),
            "label": label,
            "drawn": _column("drawn", drawn, np.int8, len(DRAWN)),
            "speakers": None if speakers is None else tuple(speakers),
            "test_speakers": None if test_speakers is None else tuple(test_speakers),
        }
        values["enrolment"] = _column("enrolment", enrolment, np.int32, len(values["enrolments"]))
        values["test"] = _column("test", test, np.int32, len(values["tests"]))
        lengths = [len(values[name]) for name in ("enrolment", "test", "label", "drawn")]
        if len(set(lengths)) > 1:
            raise ValueError(f"enrolment, test, label and drawn have {lengths} trials")
        for name, of in (("speakers", "enrolments"), ("test_speakers", "tests")):
            if values[name] is not None and len(values[name]) != len(values[of]):
                raise ValueError(f"{len(values[name])} {name} for {len(values[of])} {of}")
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> "Trials":
        """Make a table of single trials.

        Raises:
            ValueError: a label is none of `LABELS`.
        """
        if isinstance(trials, Trials):
            return trials
        listed = list(trials)
        unknown = {trial.label for trial in listed} - LABEL_CODES.keys()
        if unknown:
            raise ValueError(f"unknown labels {sorted(unknown)}")
        enrolments, enrolment = number([trial.enrol for trial in listed])
        tests, test = number([trial.test for trial in listed])
        label = np.array([LABEL_CODES[trial.label] for trial in listed], dtype=np.int8)
        return cls(tuple(enrolments), tuple(tests), enrolment, test, label)

    def __len__(self) -> int:
        return len(self.label)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> "Trials": ...
    def __getitem__(self, index: int | slice) -> "Trial | Trials":
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        return Trial(self.enrolments[self.enrolment[index]], self.tests[self.test[index]], LABELS[self.label[index]])

    def __iter__(self) -> Iterator[Trial]:
        columns = (column.tolist() for column in (self.enrolment, self.test, self.label))
        for enrolment, test, label in zip(*columns, strict=True):
            yield Trial(self.enrolments[enrolment], self.tests[test], LABELS[label])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trials):
            return NotImplemented
        if len(self) != len(other) or not np.array_equal(self.label, other.label):
            return False
        pairs = (
            (self.enrolments, self.enrolment, other.enrolments, other.enrolment),
            (self.tests, self.test, other.tests, other.test),
        )
        return all(_same(*pair) for pair in pairs)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {label}" for label, count in self.counts.items())
        return f"<Trials: {counts or 'none'}>"

    def take(self, which: ArrayLike) -> "Trials":
        """Give the trials of some numbers or of a mask ``(trials,)``, with only the recordings that they name.

        Args:
            which: integers in the order wanted, or booleans.
        """
        chosen = np.asarray(which)
        if chosen.dtype != bool:
            chosen = chosen.astype(np.intp)
        enrolments, enrolment = _used(self.enrolment[chosen], len(self.enrolments))
        tests, test = _used(self.test[chosen], len(self.tests))
        return Trials(
            tuple(self.enrolments[i] for i in enrolments),
            tuple(self.tests[i] for i in tests),
            enrolment,
            test,
            self.label[chosen],
            self.drawn[chosen],
            None if self.speakers is None else tuple(self.speakers[i] for i in enrolments),
            None if self.test_speakers is None else tuple(self.test_speakers[i] for i in tests),
        )

    @property
    def labels(self) -> NDArray[np.str_]:
        """The label of each trial, ``(trials,)``."""
        return np.array(LABELS)[self.label]

    @property
    def is_target(self) -> NDArray[np.bool_]:
        """Which trials are of the enrolled speaker, live, ``(trials,)``."""
        return self.label == LABEL_CODES[TARGET]

    @property
    def is_nontarget(self) -> NDArray[np.bool_]:
        """Which trials are of another live speaker, ``(trials,)``."""
        return self.label == LABEL_CODES[NONTARGET]

    @property
    def is_spoof(self) -> NDArray[np.bool_]:
        """Which trials are attacks that an answer is due to (`Kind.is_spoof`), ``(trials,)``."""
        return _IS_SPOOF[self.label]

    @property
    def counts(self) -> dict[str, int]:
        """How many trials each label has, of those it occurs with, in the order of `LABELS`."""
        counts = np.bincount(self.label, minlength=len(LABELS)).tolist()
        return {label: count for label, count in zip(LABELS, counts, strict=True) if count}

    def speaker_codes(self) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
        """Number the speakers of the trials, for a bootstrap that draws speakers.

        Where speakers are unknown, each enrolment is a speaker of its own; a test recording counts to the enrolment
        that it is a target or an attack of, and else is a speaker of its own.

        Returns:
            The enrolled speaker ``(trials,)``, the speaker tested ``(trials,)`` and how many speakers there are.
        """
        names, enrolled = number(self.enrolments if self.speakers is None else self.speakers)
        enrolled = enrolled[self.enrolment].astype(np.intp)
        if self.speakers is not None and self.test_speakers is not None:
            codes = {name: code for code, name in enumerate(names)}
            of_test = np.array([codes.setdefault(name, len(codes)) for name in self.test_speakers], dtype=np.intp)
        else:
            of_test = len(names) + np.arange(len(self.tests), dtype=np.intp)
            for claims in (~self.is_target & ~self.is_nontarget, self.is_target):  # a target's word counts last
                of_test[self.test[claims]] = enrolled[claims]
        tested = of_test[self.test]
        used, codes = _used(np.concatenate([enrolled, tested]), len(names) + len(self.tests))
        return codes[: len(self)], codes[len(self) :], len(used)

    def with_speakers(self, rows: "Sequence[Row]") -> "Trials":
        """Fill in who is enrolled and who speaks from the rows of a manifest.

        Raises:
            UserError: a trial names a recording that the manifest does not hold, or an enrolment is of two speakers.
        """
        speaker = dict(zip(references(rows), (row.speaker for row in rows), strict=True))
        try:
            enrolled = [{speaker[name] for name in enrolment} for enrolment in self.enrolments]
            tested = tuple(speaker[name] for name in self.tests)
        except KeyError as error:
            raise UserError(
                f"A trial names {error.args[0]}, which the manifest does not hold; correct the list."
            ) from error
        for enrolment, owners in zip(self.enrolments, enrolled, strict=True):
            if len(owners) > 1:
                raise UserError(
                    f"An enrolment holds recordings of {' and '.join(sorted(owners))} ({', '.join(enrolment)}); "
                    "enrol one speaker at a time."
                )
        return replace(self, speakers=tuple(owners.pop() for owners in enrolled), test_speakers=tested)


def references(rows: "Sequence[Row]") -> list[str]:
    """Name each recording as trials do: by its path, or by its id where several recordings share one file."""
    paths = [str(row.path) for row in rows]
    uses = Counter(paths)
    return [path if uses[path] == 1 else row.id for row, path in zip(rows, paths, strict=True)]


def number(values: Iterable[Any]) -> tuple[list[Any], NDArray[np.int32]]:
    """Number values in the order in which they first occur: the distinct ones, and the number of each."""
    codes: dict[Any, int] = {}
    numbers = np.array([codes.setdefault(value, len(codes)) for value in values], dtype=np.int32)
    return list(codes), numbers


def spread(values: Sequence[str], codes: NDArray[np.integer[Any]]) -> list[str]:
    """The text of each trial, from the distinct ones and the number of each trial's."""
    return np.array(values, dtype=object)[codes].tolist()


def check_classes(trials: Trials) -> None:
    """Refuse trials of which no error rate can be computed.

    Raises:
        UserError: there is no target trial, or nothing but target trials.
    """
    others = trials.is_nontarget | trials.is_spoof
    for word, present, whose in (
        ("target", trials.is_target, "live recordings of the enrolled speakers themselves"),
        ("non-target or attack", others, "recordings of other speakers, or attacks"),
    ):
        if not present.any():
            raise UserError(f"There is no {word} trial, and an error rate needs some; add {whose}.")


def _used(indices: NDArray[Any], count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The sorted distinct indices below ``count``, and each index's place among them."""
    is_used = np.zeros(count, dtype=bool)
    is_used[indices] = True
    return np.flatnonzero(is_used), (np.cumsum(is_used) - 1)[indices]


def _same(names: Sequence[Any], codes: NDArray[Any], others: Sequence[Any], other_codes: NDArray[Any]) -> bool:
    place = {name: code for code, name in enumerate(names)}
    translated = np.array([place.get(name, -1) for name in others], dtype=np.intp)
    return np.array_equal(codes, translated[other_codes])


def _column(name: str, values: ArrayLike, kind: type[np.integer[Any]], count: int) -> NDArray[Any]:
    given = np.asarray(values)
    if given.ndim != 1 or (given.size and (given.min() < 0 or given.max() >= count)):
        raise ValueError(f"{name} {given.shape} must be one column of numbers from 0 to {count - 1}")
    column = given.astype(kind)
    column.flags.writeable = False
    return column


def _distinct(name: str, values: Iterable[Any]) -> tuple[Any, ...]:
    given = tuple(values)
    if len(set(given)) != len(given):
        raise ValueError(f"{name} are not distinct")
    return given
