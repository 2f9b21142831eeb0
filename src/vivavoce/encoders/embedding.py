"""The recordings of a manifest through an encoder, each once."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vivavoce.corpus.manifest import Row
from vivavoce.encoders.base import Encoder
from vivavoce.errors import UserError
from vivavoce.evaluation.scoring.cache import EmbeddingCache, recording_keys
from vivavoce.evaluation.scoring.voice import read_voice
from vivavoce.progress import progress_bar

# Recordings that are read and embedded at once, and after how many the cache is written: a minute's work at most.
ROWS_AT_ONCE, ROWS_BETWEEN_WRITES = 32, 512


class Embedded(NamedTuple):
    """Embeddings, and how many of them were computed rather than found."""

    vectors: NDArray[np.float32]  # (rows, dimensions) of unit length
    computed: int


def embed_rows(rows: Sequence[Row], encoder: Encoder, cache: Path | None = None) -> Embedded:
    """Embed the recordings of a manifest; of those with the same sound, one.

    Args:
        rows: the recordings.
        encoder: what embeds them.
        cache: folder of what earlier runs computed; None: nothing is kept.

    Raises:
        UserError: a recording cannot be used, or the encoder finds no voice in it.
    """
    if not rows:
        raise ValueError("there is no recording to embed")
    keys = recording_keys(rows)
    kept = EmbeddingCache(cache, encoder.name, encoder.fingerprint) if cache is not None else None
    found: dict[bytes, NDArray[np.float32]] = {}
    for key in keys:
        if kept is not None and (vector := kept.get(key)) is not None:
            found[key] = vector
    missing = {key: row for key, row in zip(keys, rows, strict=True) if key not in found}
    names, wanted = list(missing), list(missing.values())
    with progress_bar("Embedding recordings", len(wanted)) as advance:
        for start in range(0, len(wanted), ROWS_BETWEEN_WRITES):
            stop = min(start + ROWS_BETWEEN_WRITES, len(wanted))
            parts = []
            for first in range(start, stop, ROWS_AT_ONCE):
                some = wanted[first : min(first + ROWS_AT_ONCE, stop)]
                parts.append(_embed(some, encoder))
                advance(len(some))
            vectors = np.concatenate(parts)
            found.update(zip(names[start:stop], vectors, strict=True))
            if kept is not None:
                kept.add(names[start:stop], vectors)
    return Embedded(np.stack([found[key] for key in keys]), len(wanted))


def _embed(rows: Sequence[Row], encoder: Encoder) -> NDArray[np.float32]:
    vectors = encoder.embed([read_voice(row, encoder.sample_rate) for row in rows]).astype(np.float32)
    usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    if not usable.all():
        row = rows[int(np.argmin(usable))]
        raise UserError(
            f"{encoder.name} finds no voice in the recording {row.id} ({row.path}); take it out of the manifest."
        )
    return vectors
