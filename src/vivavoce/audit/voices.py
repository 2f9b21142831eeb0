"""Recordings whose voice is nearer to another speaker's than to that of the speaker they name."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

LEAST_RECORDINGS = 3  # of a speaker, to be judged or to be the other: a centroid without one recording still needs two
# A recording under a wrong name trails by more than one under the right name leads: it is at home with one speaker and
# no more than anybody with the other. Three quarters of that leave speakers alone who merely sound alike; three
# deviations (normal: one in 700) leave a weak encoder's errors alone.
MARGIN = 0.75
DEVIATIONS = 3.0
SIGMA = 1.4826  # standard deviations of a normal distribution in its median absolute deviation
PASSES = 2  # the second judges by centroids that are free of what the first found

_ROWS, _SPEAKERS = 4_096, 4_096  # scores held at once: 64 MB


@dataclass(frozen=True)
class VoiceOutlier:
    """A recording by its ``index``, and the ``speaker`` that it sounds like rather than its own.

    ``own`` and ``other`` are cosines with the centroid of its own speaker's other recordings and of that speaker's.
    """

    index: int
    own: float
    speaker: str
    other: float


def find_voice_outliers(embeddings: np.ndarray, speakers: np.ndarray) -> list[VoiceOutlier]:
    """Find recordings that sound like another speaker than the one they name, the clearest first.

    The lead of a recording is its cosine with the centroid of its speaker's other recordings, less the best cosine with
    another speaker's centroid. Those are found that trail by three quarters of the median lead and that lie three
    robust standard deviations below it, so that an encoder that parts voices badly accuses nobody by chance. Speakers
    with fewer than three recordings, and embeddings that are zero or not finite, are not judged. Work grows with
    recordings × speakers; memory beside the embeddings with either alone.

    Args:
        embeddings: ``(recordings, dimensions)``, of any length each; an array on disk is read in slices.
        speakers: ``(recordings,)`` names.

    Raises:
        ValueError: not one name for each embedding.
    """
    if len(embeddings) != len(speakers):
        raise ValueError(f"{len(embeddings)} embeddings have {len(speakers)} names.")
    names, labels = np.unique(np.asarray(speakers).astype(str), return_inverse=True)
    usable = np.zeros(len(labels), bool)
    for rows, part in _slices(embeddings):
        usable[rows] = part.any(axis=1)
    usable &= np.bincount(labels[usable], minlength=len(names))[labels] >= LEAST_RECORDINGS
    if len(np.unique(labels[usable])) < 2:
        return []
    trusted = usable.copy()
    own = other = np.zeros(0)
    nearest = found = np.zeros(0, np.int64)
    for _ in range(PASSES):
        own, other, nearest = _scores(embeddings, labels, len(names), usable, trusted)
        lead = np.where(usable & np.isfinite(own), own - other, np.nan)
        middle = np.nanmedian(lead)
        spread = SIGMA * np.nanmedian(np.abs(lead - middle))
        found = np.flatnonzero(lead < min(-MARGIN * abs(middle), middle - DEVIATIONS * spread))
        trusted = usable.copy()
        trusted[found] = False
        left = np.bincount(labels[trusted], minlength=len(names))
        trusted = usable & (trusted | (left[labels] == 0))  # a speaker with none left keeps them all
    found = found[np.argsort((own - other)[found], kind="stable")]
    return [VoiceOutlier(int(i), float(own[i]), str(names[nearest[i]]), float(other[i])) for i in found]


def _scores(
    embeddings: np.ndarray, labels: np.ndarray, count: int, usable: np.ndarray, trusted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine with the own centroid, the best one with another's, and whose that is, each ``(recordings,)``.

    Centroids are made of trusted recordings, and the own one without the recording itself.
    """
    sums = np.zeros((count, embeddings.shape[1]))
    for rows, part in _slices(embeddings):
        np.add.at(sums, labels[rows][trusted[rows]], part[trusted[rows]])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    judging = np.flatnonzero(lengths[:, 0] > 0)
    centroids = (sums[judging] / lengths[judging]).astype(np.float32)
    place = np.full(count, -1)
    place[judging] = np.arange(len(judging))
    own, other = np.full(len(labels), np.nan), np.full(len(labels), -np.inf)
    nearest = np.zeros(len(labels), np.int64)
    for rows, part in _slices(embeddings):
        here = np.flatnonzero(usable[rows]) + rows.start
        part, mine = part[usable[rows]], labels[here]
        rest = sums[mine] - np.where(trusted[here, None], part, 0)
        norm = np.linalg.norm(rest, axis=1)
        own[here] = np.where(norm > 1e-6, (rest * part).sum(axis=1) / np.maximum(norm, 1e-6), np.nan)
        for start in range(0, len(judging), _SPEAKERS):
            scores = part @ centroids[start : start + _SPEAKERS].T
            inside = (place[mine] >= start) & (place[mine] < start + scores.shape[1])
            scores[np.flatnonzero(inside), place[mine][inside] - start] = -np.inf
            best = scores.argmax(axis=1)
            value = scores[np.arange(len(scores)), best]
            better = value > other[here]
            other[here[better]] = value[better]
            nearest[here[better]] = judging[start + best[better]]
    return own, other, nearest


def _slices(embeddings: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows and their embeddings at unit length, float32; zeros where one cannot be used."""
    for start in range(0, len(embeddings), _ROWS):
        part = np.nan_to_num(np.asarray(embeddings[start : start + _ROWS], np.float32), posinf=0, neginf=0)
        broken = ~np.isfinite(embeddings[start : start + _ROWS]).all(axis=1)
        norm = np.linalg.norm(part, axis=1, keepdims=True)
        unit = part / np.maximum(norm, 1e-12)
        unit[broken | (norm[:, 0] <= 1e-12)] = 0
        yield slice(start, start + len(part)), unit
