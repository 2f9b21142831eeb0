"""Scores told against those of other speakers, so that one threshold fits every speaker: S-norm and adaptive S-norm."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vivavoce.errors import UserError
from vivavoce.evaluation.scoring.backends import Backend, Vectors, singles, unit_length

# The standard error of a deviation of n normal values is its 1 / sqrt(2 (n - 1)): 16 % of twenty.
LEAST_COHORT = 20
# A deviation of less than this share of the mean is rounding of float32.
LEAST_SPREAD = 1e-6
# Scores with the cohort that are held at once: 32 MB of float64.
BLOCK_CELLS = 4_000_000


@dataclass(frozen=True)
class Cohort:
    """Embeddings of speakers whom no trial knows: impostors to everybody.

    Args:
        embeddings: ``(entries, dimensions)``, of utterances or of speakers.
        speakers: who speaks in each.
    """

    embeddings: Vectors
    speakers: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.embeddings)

    def without(self, speakers: Collection[str]) -> "Cohort":
        """The entries of everybody but these speakers: a cohort that holds the user would punish the user.

        Raises:
            UserError: fewer than 20 entries are left.
        """
        kept = np.array([name not in speakers for name in self.speakers], dtype=bool)
        names = tuple(name for name in self.speakers if name not in speakers)
        if len(names) < LEAST_COHORT:
            who = f", and {len(self) - len(names)} more are of speakers in the trials" if len(names) < len(self) else ""
            raise UserError(
                f"The cohort holds {len(names)} embeddings{who}; give one of {LEAST_COHORT} or more, of speakers whom "
                "no trial knows."
            )
        return Cohort(self.embeddings[kept], names)

    def speaker_means(self) -> "Cohort":
        """One entry a speaker: the mean of the speaker's embeddings, each taken at unit length."""
        names, codes = np.unique(np.array(self.speakers), return_inverse=True)
        sums = np.zeros((len(names), self.embeddings.shape[1]))
        np.add.at(sums, codes, unit_length(self.embeddings))
        return Cohort(unit_length(sums).astype(self.embeddings.dtype), tuple(names.tolist()))


@dataclass(frozen=True)
class Sides:
    """Mean and deviation of the cohort's scores with each enrolment and each test."""

    enrolment_mean: NDArray[np.floating]  # (enrolments,)
    enrolment_sd: NDArray[np.floating]
    test_mean: NDArray[np.floating]  # (tests,)
    test_sd: NDArray[np.floating]

    def normalise(
        self, scores: NDArray[np.floating], enrolment: NDArray[np.integer], test: NDArray[np.integer]
    ) -> NDArray[np.floating]:
        """Mean of the scores ``(trials,)`` in deviations of the enrolment's cohort and of the test's."""
        by_enrolment = (scores - self.enrolment_mean[enrolment]) / self.enrolment_sd[enrolment]
        by_test = (scores - self.test_mean[test]) / self.test_sd[test]
        return (by_enrolment + by_test) / 2


class NormalisationConfig(BaseModel):
    """Which normalisation, and how much of the cohort it looks at.

    S-norm is the mean of Z-norm (the enrolment against the cohort) and T-norm (the test against it). AS-norm takes of
    the cohort only those that score highest, on each side its own.

    Source: Kenny, "Bayesian speaker verification with heavy-tailed priors", Odyssey 2010 (S-norm); Matejka et al.,
    "Analysis of score normalization in multilingual speaker recognition", Interspeech 2017 (adaptive S-norm 1).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["none", "s_norm", "as_norm"] = "none"
    top_n: int = Field(default=300, ge=2, description="as_norm: cohort scores of each side that count, the highest")

    def sides(self, left: Vectors, right: Vectors, cohort: Cohort, backend: Backend) -> Sides:
        """Score the cohort with every enrolment and every test, and keep mean and deviation.

        Args:
            left: factors of the enrolments, ``(enrolments, factors)``.
            right: factors of the tests, ``(tests, factors)``.
            cohort: the other speakers.
            backend: what made the factors.

        Raises:
            UserError: the cohort is smaller than ``top_n``, or scores with somebody all the same.
            ValueError: ``type`` is ``none``.
        """
        if self.type == "none":
            raise ValueError("there is nothing to normalise by")
        top = self.top_n if self.type == "as_norm" else len(cohort)
        if top > len(cohort):
            raise UserError(
                f"The cohort holds {len(cohort)} embeddings, and as_norm asks for the {top} nearest; give a larger "
                f"cohort, or ask for {len(cohort)} or fewer."
            )
        as_tests = backend.tested(cohort.embeddings)
        as_enrolments = backend.enrolled(cohort.embeddings, singles(len(cohort)))
        return Sides(*_moments(left, as_tests, top), *_moments(right, as_enrolments, top))


def _moments(side: Vectors, cohort: Vectors, top: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Mean and deviation of each row's ``top`` highest products with the cohort, ``(rows,)`` each."""
    means, deviations = np.empty((2, len(side)))
    for rows, cells in _blocks(side, cohort):
        if top < len(cohort):
            cells = np.partition(cells, len(cohort) - top, axis=1)[:, -top:]
        # In float64: the mean of thousands of float32 would round where two cohorts must agree.
        means[rows], deviations[rows] = cells.mean(axis=1, dtype=np.float64), cells.std(axis=1, dtype=np.float64)
    if (deviations <= LEAST_SPREAD * np.abs(means)).any():
        raise UserError("The cohort's scores are all the same; give one of several speakers, not copies of one.")
    return means, deviations


def _blocks(side: Vectors, cohort: Vectors) -> Iterator[tuple[slice, Vectors]]:
    step = max(1, BLOCK_CELLS // len(cohort))
    for start in range(0, len(side), step):
        rows = slice(start, start + step)
        yield rows, side[rows] @ cohort.T
