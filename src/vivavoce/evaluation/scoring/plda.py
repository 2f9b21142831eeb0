"""Probabilistic linear discriminant analysis: the log-likelihood ratio of one speaker against two."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from scipy.sparse import csr_array

from vivavoce.errors import UserError
from vivavoce.evaluation.scoring.backends import Vectors, sizes, unit_length
from vivavoce.files import atomic_path

FORMAT = "vivavoce-plda-1"


@dataclass(frozen=True)
class Plda:
    """The two-covariance model after a projection, in coordinates where both covariances are diagonal.

    There, a recording of a speaker at ``y`` lies at ``y`` plus noise of variance 1, and speakers at ``y`` of variance
    ``between``, each coordinate on its own. It is a `Backend`: the ratio is bilinear in ``(z, z², 1)`` of the test.

    Source: Brümmer & de Villiers, "The speaker partitioning problem", Odyssey 2010 (the model, several enrolment
    recordings); Ioffe, "Probabilistic linear discriminant analysis", ECCV 2006 (diagonal coordinates); Garcia-Romero &
    Espy-Wilson, "Analysis of i-vector length normalization", Interspeech 2011.
    """

    centre: NDArray[np.float64]  # (dimensions,) subtracted from embeddings of unit length
    projection: NDArray[np.float64]  # (dimensions, coordinates) whitening or discriminants
    length_norm: NDArray[np.bool_]  # () whether projected embeddings are brought to one length
    mean: NDArray[np.float64]  # (coordinates,) subtracted after that
    transform: NDArray[np.float64]  # (coordinates, coordinates) into the diagonal coordinates
    between: NDArray[np.float64]  # (coordinates,) variance of speakers where that within a speaker is 1

    def project(self, embeddings: Vectors) -> NDArray[np.float64]:
        """Bring embeddings ``(recordings, dimensions)`` into the diagonal coordinates, ``(recordings, coordinates)``.

        Raises:
            UserError: the embeddings have other dimensions than those it was fitted to.
        """
        if embeddings.shape[1] != len(self.centre):
            raise UserError(
                f"The PLDA was fitted to embeddings of {len(self.centre)} dimensions, and these have "
                f"{embeddings.shape[1]}; give one that was fitted to this encoder's."
            )
        projected = (unit_length(embeddings.astype(np.float64)) - self.centre) @ self.projection
        return (scaled(projected) if self.length_norm else projected) @ self.transform - self.mean @ self.transform

    def enrolled(self, embeddings: Vectors, members: csr_array) -> Vectors:
        """Factors of enrolments, exact for any number of recordings each, ``(enrolments, 2 · coordinates + 1)``.

        They are of the embeddings' own type: of float32, a ratio is rounded to about 1e-5 nats.
        """
        counts = sizes(members)[:, None]
        means = (members @ self.project(embeddings)) / counts
        # What is known of the speaker after n recordings: mean `weight · means`, variance `left`.
        left = self.between / (1 + counts * self.between)
        weight = counts * left
        variance, alone = 1 + left, 1 + self.between
        square = (1 / alone - 1 / variance) / 2
        constant = -(np.log(variance / alone) + (weight * means) ** 2 / variance).sum(axis=1) / 2
        return np.hstack([weight * means / variance, square, constant[:, None]]).astype(embeddings.dtype)

    def tested(self, embeddings: Vectors) -> Vectors:
        """Factors of tests ``(recordings, dimensions)``, ``(recordings, 2 · coordinates + 1)``."""
        placed = self.project(embeddings)
        return np.hstack([placed, placed**2, np.ones((len(placed), 1))]).astype(embeddings.dtype)

    def write(self, path: Path | str) -> None:
        """Write a safetensors file, atomically.

        Raises:
            UserError: the file cannot be written.
        """
        tensors = {field.name: np.ascontiguousarray(getattr(self, field.name)) for field in fields(self)}
        with atomic_path(path) as temporary:
            temporary.write_bytes(save(tensors, {"format": FORMAT}))

    @classmethod
    def read(cls, path: Path | str) -> "Plda":
        """Read what `write` wrote.

        Raises:
            UserError: the file is missing, damaged, or none of ours.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(f"There is no PLDA {path}; make one with `vivavoce score … --plda-train MANIFEST --plda`.")
        try:
            with safe_open(path, framework="np") as file:
                ours = (file.metadata() or {}).get("format") == FORMAT
                tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise _damaged(path) from error
        if not ours or tensors.keys() != {field.name for field in fields(cls)}:
            raise _damaged(path)
        found = cls(**tensors)
        if not all(np.isfinite(value).all() for value in tensors.values()) or not found._fits():
            raise _damaged(path)
        return found

    def _fits(self) -> bool:
        """Whether the shapes belong together."""
        wide = self.projection.shape[-1:]
        square = self.transform.shape == wide * 2
        return square and self.projection.shape == self.centre.shape + wide and self.mean.shape == self.between.shape


def scaled(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring vectors ``(…, coordinates)`` to the length that white noise has, the root of their coordinates."""
    return unit_length(vectors) * np.sqrt(vectors.shape[-1])


def _damaged(path: Path) -> UserError:
    return UserError(
        f"{path} is not a PLDA of vivavoce, or not a whole one; make it anew with `vivavoce score … --plda-train "
        "MANIFEST --plda`."
    )
