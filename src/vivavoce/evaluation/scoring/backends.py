"""What a speaker's enrolment and a test recording become so that their product is the score."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Vectors = NDArray[np.floating]


class Backend(Protocol):
    """A score that is bilinear: the product of factors of the enrolment with factors of the test."""

    def enrolled(self, embeddings: Vectors, members: csr_array) -> Vectors:
        """Give the factors of enrolments, ``(enrolments, factors)``.

        Args:
            embeddings: ``(recordings, dimensions)``.
            members: ones where a recording is part of an enrolment, ``(enrolments, recordings)``; see `members_of`.
        """
        ...

    def tested(self, embeddings: Vectors) -> Vectors:
        """Give the factors of test recordings ``(recordings, dimensions)``, ``(recordings, factors)``."""
        ...


@dataclass(frozen=True)
class Cosine:
    """Cosine of the test embedding with the mean of the enrolment's embeddings, each taken at unit length."""

    def enrolled(self, embeddings: Vectors, members: csr_array) -> Vectors:
        """Means of unit length; see `Backend`."""
        return unit_length(members @ unit_length(embeddings))

    def tested(self, embeddings: Vectors) -> Vectors:
        """Embeddings of unit length; see `Backend`."""
        return unit_length(embeddings)


@dataclass(frozen=True)
class Averaged:
    """The mean of the scores that a test has with each recording of the enrolment alone.

    As a score is linear in the factors of the enrolment, this is the score with their mean.
    """

    backend: Backend

    def enrolled(self, embeddings: Vectors, members: csr_array) -> Vectors:
        """Mean of the factors of one recording each; see `Backend`."""
        return (members @ self.backend.enrolled(embeddings, singles(len(embeddings)))) / sizes(members)[:, None]

    def tested(self, embeddings: Vectors) -> Vectors:
        """As the back-end's own; see `Backend`."""
        return self.backend.tested(embeddings)


def members_of(enrolments: list[list[int]], recordings: int) -> csr_array:
    """Write enrolments, each the numbers of its recordings, as a matrix ``(enrolments, recordings)`` of ones.

    Raises:
        ValueError: an enrolment is empty.
    """
    if not all(enrolments):
        raise ValueError("an enrolment needs one recording at least")
    ends = np.cumsum([0, *map(len, enrolments)])
    columns = np.fromiter((index for own in enrolments for index in own), np.intp, int(ends[-1]))
    ones = np.ones(len(columns), np.float32)
    return csr_array((ones, columns, ends), shape=(len(enrolments), recordings))


def singles(recordings: int) -> csr_array:
    """Enrol each recording alone."""
    places = np.arange(recordings + 1)
    return csr_array((np.ones(recordings, np.float32), places[:-1], places), shape=(recordings, recordings))


def sizes(members: csr_array) -> NDArray[np.intp]:
    """How many recordings each enrolment has, ``(enrolments,)``."""
    return np.diff(members.indptr)


def unit_length(vectors: Vectors) -> Vectors:
    """Vectors ``(…, dimensions)`` of length 1; one of zeros stays as it is, and scores 0 with everybody."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, np.finfo(norms.dtype).tiny)
