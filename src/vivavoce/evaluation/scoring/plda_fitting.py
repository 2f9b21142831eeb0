"""Fitting the two-covariance model to embeddings of labelled speakers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.linalg import LinAlgError, eigh

from vivavoce.errors import UserError
from vivavoce.evaluation.scoring.backends import Vectors, unit_length
from vivavoce.evaluation.scoring.plda import Plda, scaled

# A direction that holds less than this share of the largest variance is rounding, not speech.
LEAST_VARIANCE = 1e-9
# Expectation and maximisation ends where an iteration gains no more, in nats a recording.
LEAST_GAIN = 1e-7
# What is at least left of the variance of speakers' means once the noise of so few recordings is taken off: from
# nothing, maximisation would never find a direction again.
LEAST_SHARE = 0.05


class PldaConfig(BaseModel):
    """How embeddings are prepared, and how long the model is fitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    projection: Literal["whiten", "lda"] = Field(
        default="whiten", description="whiten: equal variance in all directions; lda: discriminants of the speakers"
    )
    dim: int | None = Field(default=None, ge=1, description="coordinates that are kept, the strongest; None: all")
    length_norm: bool = Field(default=True, description="bring projected embeddings to one length")
    iterations: int = Field(default=100, ge=1, description="of expectation and maximisation, at most")

    def fit(self, embeddings: Vectors, speakers: Sequence[str]) -> Plda:
        """Fit to embeddings ``(recordings, dimensions)`` whose speakers are known.

        Raises:
            UserError: too few speakers or recordings for so many dimensions.
            ValueError: not one speaker for each embedding.
        """
        if len(embeddings) != len(speakers):
            raise ValueError(f"{len(embeddings)} embeddings have {len(speakers)} speakers")
        codes = np.unique(np.asarray(speakers, dtype=str), return_inverse=True)[1]
        unit = unit_length(embeddings.astype(np.float64))
        centre = unit.mean(axis=0)
        projection = self._project(unit - centre, codes)
        projected = (unit - centre) @ projection
        placed = scaled(projected) if self.length_norm else projected
        mean = placed.mean(axis=0)
        covariances = fit_two_covariances(placed - mean, codes, self.iterations)[0]
        between, transform = diagonalised(covariances)
        return Plda(centre, projection, np.array(self.length_norm), mean, transform, between)

    def _project(self, centred: NDArray[np.float64], codes: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the projection, ``(dimensions, coordinates)``, its strongest coordinate first."""
        grouped = _Grouped.of(centred, codes)
        values, vectors = eigh(centred.T @ centred / len(centred))
        kept = values > LEAST_VARIANCE * values[-1]
        found = (vectors[:, kept] / np.sqrt(values[kept]))[:, ::-1]
        if self.projection == "lda":
            # In whitened coordinates none is left that never varies, which discriminants could not bear.
            discriminants = diagonalised(_Grouped.of(centred @ found, codes).covariances())[1]
            found = found @ discriminants[:, : len(grouped.counts) - 1]
        if self.dim is not None and self.dim > found.shape[1]:
            raise UserError(
                f"These {len(centred)} embeddings of {len(grouped.counts)} speakers span {found.shape[1]} "
                f"coordinates, and dim asks for {self.dim}; lower it, or give more speakers."
            )
        return found[:, : self.dim]


class Covariances(NamedTuple):
    """Of a speaker's recordings around the speaker, and of speakers around their mean, ``(dimensions, dimensions)``."""

    within: NDArray[np.float64]
    between: NDArray[np.float64]


@dataclass(frozen=True)
class _Grouped:
    """Embeddings by speaker: what the fit asks of them."""

    vectors: NDArray[np.float64]  # (recordings, dimensions)
    counts: NDArray[np.intp]  # (speakers,)
    means: NDArray[np.float64]  # (speakers, dimensions)
    scatter: NDArray[np.float64]  # (dimensions, dimensions) sum of squares around the speakers' means

    @classmethod
    def of(cls, vectors: NDArray[np.float64], codes: NDArray[np.intp]) -> "_Grouped":
        counts = np.bincount(codes)
        if len(counts) < 2 or len(codes) == len(counts):
            raise UserError(
                f"A PLDA is fitted to several speakers with several recordings each, not to {len(codes)} of "
                f"{len(counts)}; give more recordings."
            )
        means = np.zeros((len(counts), vectors.shape[1]))
        np.add.at(means, codes, vectors)
        means /= counts[:, None]
        rest = vectors - means[codes]
        return cls(vectors, counts, means, rest.T @ rest)

    def covariances(self) -> Covariances:
        """Estimate both by their moments: the variance of a mean of n recordings holds 1/n of that within a speaker.

        Raises:
            UserError: too few recordings for so many dimensions.
        """
        total, dimensions = self.vectors.shape
        speakers = len(self.counts)
        if total - speakers < dimensions:
            raise _too_few(dimensions)
        within = self.scatter / (total - speakers)
        psi, transform = diagonalised(Covariances(within, (self.means.T * self.counts) @ self.means / total))
        back = np.linalg.inv(transform)
        psi = np.maximum(psi - speakers / total, LEAST_SHARE * psi)
        return Covariances(within, (back.T * psi) @ back)


def fit_two_covariances(
    centred: NDArray[np.float64], codes: NDArray[np.intp], iterations: int
) -> tuple[Covariances, list[float]]:
    """Fit both covariances by expectation and maximisation, from the moments on.

    Args:
        centred: embeddings with mean zero, ``(recordings, dimensions)``.
        codes: the speaker of each, numbered from 0, ``(recordings,)``.
        iterations: how often at most.

    Returns:
        The covariances, and the mean log-likelihood of a recording before each iteration, nats; it never falls.

    Raises:
        UserError: too few recordings for so many dimensions.

    Source: Sizov, Lee & Kinnunen, "Unifying probabilistic linear discriminant analysis variants in biometric
    authentication", S+SSPR 2014, section 3.1.
    """
    grouped = _Grouped.of(centred, codes)
    found, likelihoods = grouped.covariances(), []
    for _ in range(iterations):
        psi, transform = diagonalised(found)
        means, counts = grouped.means @ transform, grouped.counts[:, None]
        likelihoods.append(_log_likelihood(grouped, psi, transform))
        if len(likelihoods) > 1 and likelihoods[-1] - likelihoods[-2] < LEAST_GAIN:
            break
        variance = psi / (1 + counts * psi)  # of a speaker's place, its recordings known
        place = counts * variance * means
        between = place.T @ place / len(place) + np.diag(variance.mean(axis=0))
        rest = np.sqrt(counts) * (means - place)
        within = transform.T @ grouped.scatter @ transform + rest.T @ rest + np.diag((counts * variance).sum(axis=0))
        back = np.linalg.inv(transform)
        found = Covariances(back.T @ within @ back / len(centred), back.T @ between @ back)
    return found, likelihoods


def diagonalised(covariances: Covariances) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find coordinates in which ``within`` is 1 and ``between`` diagonal, the largest first.

    Returns:
        The variances of speakers ``(dimensions,)``, and the transform into these coordinates, by columns.

    Raises:
        UserError: the covariance within speakers has no inverse.
    """
    try:
        values, vectors = eigh(covariances.between, covariances.within)
    except LinAlgError as error:
        raise _too_few(len(covariances.within)) from error
    return np.maximum(values[::-1], 0.0), vectors[:, ::-1]


def _too_few(dimensions: int) -> UserError:
    return UserError(
        f"Too few recordings to fit a PLDA of {dimensions} dimensions; give more than that many beyond the first of "
        "each speaker, no copies among them."
    )


def _log_likelihood(grouped: _Grouped, psi: NDArray[np.float64], transform: NDArray[np.float64]) -> float:
    """Mean log-likelihood of a recording, nats, in the coordinates of `diagonalised`."""
    total, counts = len(grouped.vectors), grouped.counts[:, None]
    means = grouped.means @ transform
    energy = np.einsum("dc,de,ec->", transform, grouped.scatter, transform, optimize=True)
    energy += (counts * means**2 / (1 + counts * psi)).sum()
    volume = np.log1p(counts * psi).sum() - 2 * total * np.linalg.slogdet(transform)[1]
    return float(-(energy + volume + total * len(psi) * np.log(2 * np.pi)) / (2 * total))
