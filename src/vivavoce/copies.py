"""Recordings of a manifest that hold the same sound: what a split must keep together, found by the audit's means."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from vivavoce.audit.data import Data
from vivavoce.audit.duplicates import find_near_duplicates
from vivavoce.audit.scan import measure_all
from vivavoce.audit.state import default_state, open_state
from vivavoce.errors import UserError

# Up to so much sound is measured unasked; the audit reads some 200 s of it a second.
UNASKED_S = 20 * 3600.0


def find_copies(manifest: Path, workers: int = 2) -> list[tuple[str, str]]:
    """Find pairs of recordings that hold the same sound: sample by sample, or coded, resampled, trimmed or louder.

    What an audit has measured before is used again, and what is measured here serves the next audit, where the
    manifest's folder can be written to. Not every pair of a large group of copies is named, but pairs join them all.

    Returns:
        Pairs of row ids, sorted.

    Raises:
        UserError: the manifest cannot be read, or the disk is full.
    """
    with _data(manifest) as data:
        measure_all(data, workers)
        same = data.db.execute("SELECT content, id FROM listed WHERE content IS NOT NULL ORDER BY content, id")
        first: dict[int, str] = {}
        pairs = {(first.setdefault(content, name), name) for content, name in same}
        pairs |= {(first[near.first], first[near.second]) for near in find_near_duplicates(_fingerprints(data))}
    return sorted((min(pair), max(pair)) for pair in pairs if pair[0] != pair[1])


def _fingerprints(data: Data) -> Iterator[tuple[int, np.ndarray]]:
    query = (
        "SELECT c.id, f.hashes FROM content c JOIN main.fingerprint f ON f.measurement = c.measured"
        " WHERE c.id IN (SELECT content FROM listed) ORDER BY c.id"
    )
    for content, hashes in data.db.execute(query):
        yield content, np.frombuffer(hashes, np.uint64)


@contextmanager
def _data(manifest: Path) -> Iterator[Data]:
    """Open the audit's state beside the manifest, or none that is kept where that cannot be written."""
    with ExitStack() as opened:
        try:
            db = opened.enter_context(open_state(default_state(manifest)))
        except UserError:
            db = opened.enter_context(open_state(None))
        yield Data(db, manifest)
