"""The same trials for all systems of a comparison, whatever order their scores came in."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vivavoce.errors import UserError
from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.trials.files import SEPARATOR
from vivavoce.evaluation.trials.matching import places
from vivavoce.evaluation.trials.table import Trial, Trials

REMEDY = "score them, too, or give the list of trials to compare on (--trials)"


def on_same_trials(systems: Sequence[TrialScores]) -> list[TrialScores]:
    """Put the scores of all systems into the order of the first one's trials.

    Who speaks is taken from the first system that knows it.

    Raises:
        UserError: a system has no score of a trial of another one, or they disagree on the truth of one.
    """
    first, *others = systems
    for other in others:
        _refuse_missing(first, other)
        _refuse_missing(other, first)
    ordered = [first, *(other.take(places(first.trials, other.trials)) for other in others)]
    for other in ordered[1:]:
        _refuse_other_truth(first, other)
    known = (one.trials for one in ordered if one.trials.speakers is not None and one.trials.test_speakers is not None)
    trials = next(known, first.trials)
    return [replace(system, trials=trials) for system in ordered]


def on_trials(system: TrialScores, trials: Trials) -> TrialScores:
    """Give a system's scores of a list of trials, in its order and with its truths; further scores are left out.

    Raises:
        UserError: the system has no score of one of the trials.
    """
    place = places(trials, system.trials)
    missing = np.flatnonzero(place < 0)
    if missing.size:
        raise UserError(
            f"{system.name} has no score of {missing.size} of {len(trials)} trials (first: "
            f"{_words(trials[int(missing[0])])}); score them, too, or compare on a shorter list."
        )
    return replace(system.take(place), trials=trials)


def _refuse_missing(one: TrialScores, other: TrialScores) -> None:
    missing = np.flatnonzero(places(one.trials, other.trials) < 0)
    if missing.size:
        raise UserError(
            f"{other.name} has no score of {missing.size} of the {len(one.trials)} trials of {one.name} (first: "
            f"{_words(one.trials[int(missing[0])])}); {REMEDY}."
        )


def _refuse_other_truth(one: TrialScores, other: TrialScores) -> None:
    wrong = np.flatnonzero(one.trials.label != other.trials.label)
    if wrong.size:
        trial = one.trials[int(wrong[0])]
        raise UserError(
            f"{one.name} and {other.name} disagree on the truth of {wrong.size} of {len(one.trials)} trials (first: "
            f"{_words(trial)}, {trial.label} or {other.trials[int(wrong[0])].label}); correct it, or give the list of "
            "trials whose truths count (--trials)."
        )


def _words(trial: Trial) -> str:
    return f"{SEPARATOR.join(trial.enrol)} and {trial.test}"
