"""Scores of trials, from embeddings of their recordings."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.evaluation.scoring.backends import Backend, Cosine, Vectors, members_of
from vivavoce.evaluation.scoring.normalisation import Cohort, NormalisationConfig
from vivavoce.evaluation.scoring.pairs import pair_scores
from vivavoce.evaluation.trials.table import Trial, Trials, references


class SpeakerScores(NamedTuple):
    """Speaker scores of trials."""

    scores: NDArray[np.floating]  # (trials,)
    test_index: NDArray[np.intp]  # (trials,) row of the test recording


def score_trials(
    trials: Iterable[Trial],
    rows: Sequence[Row],
    embeddings: Vectors,
    *,
    backend: Backend | None = None,
    normalisation: NormalisationConfig | None = None,
    cohort: Cohort | None = None,
) -> SpeakerScores:
    """Score trials: by the cosine of the test embedding with the mean of the enrolment's, unless told otherwise.

    Args:
        trials: `Trials`, or any trials.
        rows: the recordings of a manifest.
        embeddings: one of each row, of any length, ``(recordings, dimensions)``.
        backend: how an enrolment and a test are compared; None: `Cosine`.
        normalisation: what is done to the scores afterwards; None: nothing.
        cohort: other speakers, where the normalisation asks for them. Whoever speaks in the trials is left out of it.

    Raises:
        UserError: there is no trial, one names a recording that the manifest does not hold, or the cohort is too small.
        ValueError: not one embedding for each row, or a normalisation without its cohort.
    """
    table = Trials.of(trials)
    if not len(table):
        raise UserError("There is no trial to score; give a list of trials that holds some.")
    if len(embeddings) != len(rows):
        raise ValueError(f"{len(embeddings)} embeddings for {len(rows)} recordings")
    members, tests = _recordings(table, rows)
    enrolled = np.unique(members.indices)
    comparer = backend or Cosine()
    left = comparer.enrolled(embeddings[enrolled], members[:, enrolled])
    right = comparer.tested(embeddings[tests])
    scores = pair_scores(left, right, table.enrolment, table.test)
    if normalisation is not None and normalisation.type != "none":
        if cohort is None:
            raise ValueError(f"{normalisation.type} needs a cohort")
        heard = {rows[index].speaker for index in (*tests.tolist(), *enrolled.tolist())}
        sides = normalisation.sides(left, right, cohort.without(heard), comparer)
        scores = sides.normalise(scores, table.enrolment, table.test)
    return SpeakerScores(scores, tests[table.test])


def _recordings(table: Trials, rows: Sequence[Row]) -> tuple[csr_array, NDArray[np.intp]]:
    """Who is part of which enrolment, ``(enrolments, rows)`` as `members_of` has it, and the row of each test."""
    number = {name: index for index, name in enumerate(references(rows))}
    try:
        tests = np.array([number[name] for name in table.tests], dtype=np.intp)
        enrolments = [[number[name] for name in own] for own in table.enrolments]
    except KeyError as error:
        raise UserError(
            f"A trial names {error.args[0]}, which the manifest does not hold; correct the list."
        ) from error
    return members_of(enrolments, len(rows)), tests
