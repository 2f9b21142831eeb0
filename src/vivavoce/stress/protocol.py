"""What is scored at every level: one list of trials, and the recordings in them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.table import Trials, references

Index = NDArray[np.intp]


@dataclass(frozen=True)
class Protocol:
    """Trials, and the rows that they name; all numbers of recordings are places in ``rows``.

    ``enrolments`` holds the recordings of each of the trials' enrolments, ``tests`` those of the trials' tests in their
    order, or all that are scored where nobody is enrolled.
    """

    rows: Sequence[Row]
    trials: Trials
    enrolments: list[Index]
    tests: Index

    @cached_property
    def enrolled(self) -> Index:
        """All recordings that somebody is enrolled with, each once."""
        return np.unique(np.concatenate([*self.enrolments, np.empty(0, np.intp)]).astype(np.intp))

    @cached_property
    def kinds(self) -> NDArray[np.str_]:
        """The kind of each test recording, ``(tests,)``."""
        return np.array([self.rows[index].meta.kind.value for index in self.tests])

    @cached_property
    def species(self) -> list[str]:
        """The kinds of attack among the tests, in the order of `Kind`."""
        present = set(self.kinds.tolist())
        return [kind.value for kind in Kind if kind.is_spoof and kind.value in present]

    @cached_property
    def speakers(self) -> list[str]:
        """Everybody who is enrolled or heard."""
        return sorted({self.rows[index].speaker for index in (*self.enrolled.tolist(), *self.tests.tolist())})

    @cached_property
    def test_speakers(self) -> Index:
        """Who speaks in each test recording, a number of ``speakers``, ``(tests,)``."""
        code = {name: number for number, name in enumerate(self.speakers)}
        return np.array([code[self.rows[index].speaker] for index in self.tests], dtype=np.intp)

    @cached_property
    def trial_speakers(self) -> tuple[Index, Index]:
        """Who is enrolled and who speaks in each trial, numbers of ``speakers``, ``(trials,)``."""
        code = {name: number for number, name in enumerate(self.speakers)}
        owners = np.array([code[self.rows[members[0]].speaker] for members in self.enrolments], dtype=np.intp)
        return owners[self.trials.enrolment], self.test_speakers[self.trials.test]


def protocol_of(rows: Sequence[Row], trials: Trials | None, most: int | None = None, seed: int = 0) -> Protocol:
    """Find the recordings of trials among rows, and keep ``most`` test recordings at most.

    Test recordings are drawn in turn from every speaker and kind, so that all of them stay.

    Args:
        rows: the recordings of a manifest.
        trials: of these recordings; None: nobody is enrolled, and every recording is a test.
        most: test recordings that are kept at most; None: all.
        seed: of the draw.

    Raises:
        UserError: a trial names a recording that the rows do not hold, or there are fewer than two speakers.
    """
    number = {name: index for index, name in enumerate(references(rows))}
    if trials is None:
        kept = _drawn(rows, np.arange(len(rows)), most, seed)
        return _checked(Protocol(rows, Trials.of([]), [], kept))
    try:
        tests = np.array([number[name] for name in trials.tests], dtype=np.intp)
        enrolments = {names: np.array([number[name] for name in names], dtype=np.intp) for names in trials.enrolments}
    except KeyError as error:
        raise UserError(
            f"A trial names {error.args[0]}, which the manifest does not hold; correct the list."
        ) from error
    kept = _drawn(rows, tests, most, seed)
    trials = trials.take(np.isin(tests, kept)[trials.test])
    tests = np.array([number[name] for name in trials.tests], dtype=np.intp)
    return _checked(Protocol(rows, trials, [enrolments[names] for names in trials.enrolments], tests))


def _checked(protocol: Protocol) -> Protocol:
    if len(protocol.speakers) < 2:
        raise UserError(
            f"The recordings to test are of {len(protocol.speakers)} speaker; curves tell speakers apart and resample "
            "them, so give recordings of two or more."
        )
    return protocol


def _drawn(rows: Sequence[Row], tests: Index, most: int | None, seed: int) -> Index:
    """Draw recordings, half of them live, one of each speaker and kind before any of them gives another."""
    if most is None or len(tests) <= most:
        return tests
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(tests)
    groups = [(rows[index].speaker, rows[index].meta.kind.value) for index in shuffled.tolist()]
    live = np.array([kind == Kind.LIVE for _, kind in groups])
    turns: dict[tuple[str, str], int] = defaultdict(int)
    turn_of = np.empty(len(groups), dtype=np.intp)
    for place, group in enumerate(groups):
        turn_of[place] = turns[group]
        turns[group] += 1
    order = np.lexsort((rng.random(len(groups)), turn_of))
    # Live ones and the others by turns; where one of both runs out, the rest is of the other.
    rank = np.empty(len(groups), dtype=np.intp)
    for which in (live, ~live):
        chosen = order[which[order]]
        rank[chosen] = np.arange(len(chosen))
    return shuffled[np.lexsort((~live, rank))[:most]]
