"""Scores of trials, from embeddings of their recordings."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.table import Trial, references


class SpeakerScores(NamedTuple):
    """Cosine scores of trials."""

    scores: np.ndarray  # (trials,)
    test_index: np.ndarray  # (trials,) row of the test recording


def score_trials(trials: Sequence[Trial], rows: Sequence[Row], embeddings: np.ndarray) -> SpeakerScores:
    """Cosine of each trial's test embedding with the mean of its enrolment embeddings, ``(trials,)``.

    Raises:
        UserError: there is no trial, or one names a recording that the manifest does not hold.
    """
    if not trials:
        raise UserError("There is no trial to score; give a list of trials that holds some.")
    number = {name: index for index, name in enumerate(references(rows))}
    try:
        test_index = np.array([number[trial.test] for trial in trials])
        enrolments = {trial.enrol: None for trial in trials}
        members = [[number[path] for path in enrol] for enrol in enrolments]
    except KeyError as error:
        raise UserError(
            f"A trial names {error.args[0]}, which the manifest does not hold; correct the list."
        ) from error
    means = np.stack([embeddings[indices].mean(axis=0) for indices in members])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    slot = {enrol: index for index, enrol in enumerate(enrolments)}
    enrol_index = np.array([slot[trial.enrol] for trial in trials])
    return SpeakerScores(np.einsum("td,td->t", means[enrol_index], embeddings[test_index]), test_index)
