"""Which of a speaker's recordings enrol them, and which are left to test with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vivavoce.corpus.manifest import Row


def choose_enrolment(
    rows: "Sequence[Row]", live: list[int], enrol: int, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Draw the ``enrol`` recordings that enrol a speaker; returns their numbers and those of the target tests.

    Args:
        rows: recordings of a manifest.
        live: numbers of the speaker's live recordings, of more than ``enrol`` utterances.
        enrol: how many to draw.
        rng: of the draw.
    """
    sessions: dict[str | None, list[int]] = {}
    for index in live:
        sessions.setdefault(rows[index].meta.session, []).append(index)
    large = sorted((name for name, members in sessions.items() if len(members) >= enrol), key=str)
    candidates, tests = live, live
    if len(sessions) > 1:
        if large:
            candidates = sessions[large[int(rng.integers(len(large)))]]
            inside = set(candidates)
            tests = [index for index in live if index not in inside]
        candidates = _different(rows, candidates, enrol, rng)
    own = rng.choice(candidates, enrol, replace=False).tolist()
    said = {utterance(rows[index]) for index in own}
    return sorted(own), [index for index in tests if utterance(rows[index]) not in said]


def utterance(row: "Row") -> object:
    """What was said once: simulated recordings of one source are takes of the same utterance."""
    return (row.meta.model_extra or {}).get("source", row.id)


def _different(rows: "Sequence[Row]", indices: list[int], count: int, rng: np.random.Generator) -> list[int]:
    """Draw one recording of each text, else one take of each utterance, where ``count`` of them are left."""
    for what in (_text, utterance):
        takes: dict[object, list[int]] = {}
        for index in indices:
            takes.setdefault(what(rows[index]), []).append(index)
        if count <= len(takes) < len(indices):
            return [members[int(rng.integers(len(members)))] for members in takes.values()]
    return indices


def _text(row: "Row") -> object:
    return row.text or utterance(row)
