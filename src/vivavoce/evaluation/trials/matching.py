"""The same trials in two lists."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vivavoce.evaluation.trials.table import Trials


def places(trials: Trials, among: Trials) -> NDArray[np.intp]:
    """Find each trial in another list: its number there, or -1 where it is not, ``(trials,)``."""
    if not len(among):
        return np.full(len(trials), -1, np.intp)
    enrolment = _translate(trials.enrolments, among.enrolments)[trials.enrolment]
    test = _translate(trials.tests, among.tests)[trials.test]
    wide = len(among.tests)
    keys = among.enrolment.astype(np.int64) * wide + among.test
    wanted = np.where((enrolment < 0) | (test < 0), -1, enrolment * wide + test)
    order = np.argsort(keys)
    found = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)]
    return np.where(keys[found] == wanted, found, -1)


def _translate(names: Sequence[object], among: Sequence[object]) -> NDArray[np.int64]:
    codes = {name: code for code, name in enumerate(among)}
    return np.array([codes.get(name, -1) for name in names], dtype=np.int64)
