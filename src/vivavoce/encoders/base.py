"""What an encoder is, and what loading one shares."""

import hashlib
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vivavoce.errors import UserError
from vivavoce.features.sources import content_digest

Wave = NDArray[np.float32]  # (samples,) in [-1, 1]
# Samples of a padded batch on the CPU: half a minute at 16 kHz.
PASS_SAMPLES = 500_000


class Encoder(Protocol):
    """Turns voices into vectors; those of one speaker lie close together."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digits that change whenever an embedding would: of weights, options and version."""
        ...

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms that it takes, Hz."""
        ...

    def embed(self, waves: Sequence[Wave]) -> NDArray[np.float32]:
        """Embed each waveform, whatever its batch mates are; ``(waves, dimensions)`` of unit length.

        Where a waveform holds nothing that the encoder can use, its row is not finite.
        """
        ...


def optional(module: str, install: str) -> ModuleType:
    """Import what the project does not depend on.

    Args:
        module: to import.
        install: the command that installs it.

    Raises:
        UserError: it, or something that it needs itself, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"This encoder needs the Python package {error.name or module}, which is not installed; run `{install}`."
        ) from error


def fingerprint_of(*parts: str | Path) -> str:
    """Digest texts and the contents of files in this order, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        value = content_digest(part) if isinstance(part, Path) else hashlib.sha256(part.encode()).digest()
        digest.update(value)
    return digest.hexdigest()


def by_length(waves: Sequence[Wave], most: int = PASS_SAMPLES) -> Iterator[list[int]]:
    """Yield the numbers of waveforms of like length that fill one padded batch of ``most`` samples."""
    chosen: list[int] = []
    for index in sorted(range(len(waves)), key=lambda index: len(waves[index])):
        if chosen and len(waves[index]) * (len(chosen) + 1) > most:
            yield chosen
            chosen = []
        chosen.append(index)
    if chosen:
        yield chosen
