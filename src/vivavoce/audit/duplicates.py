"""Near-duplicates among a million recordings: equal keys vote for pairs and offsets, then the pairs are compared.

Keys of all recordings go into partitions on disk by their value, so that equal keys meet in one partition, which fits
into memory. There a recording is paired with the next few of its bucket only: a common key costs no more than a rare
one. The offset with most votes is tried (as in A. Wang, "An industrial-strength audio search algorithm", ISMIR 2003);
the share of equal signs in the time that both recordings cover decides (Haitsma and Kalker, ISMIR 2002).
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vivavoce.audit.fingerprint import BROAD, BROAD_SHIFT, FRAME_S, LAG, NARROW
from vivavoce.files import append_to

# On real speech, copies (resampled to 8 kHz, Opus of 18 kbit/s, Vorbis at its lowest rate, noise 20 dB below, cut in
# half) lie above 0.68; other takes of one sentence by one speaker, and their copies, below 0.65 (99 of 100: 0.50).
SIMILAR = 0.66
NEIGHBOURS = 8  # recordings of a bucket that each is paired with; a group of copies stays joined through them
VOTING = 9  # of 31 narrow signs that may differ beside an equal key; chance gives 15, copies of low bit rate 3
LEAST_FRAMES = 16  # heard in both, which takes 0.7 s of sound; fewer hold too few independent signs to tell
LEAST_SHARE = 0.4  # of the heard frames of the shorter: two copies cut at different ends still share so much
SLACK = 2  # frames that the offsets of one pair may differ by to either side
NEARBY = 0.4  # a recording compared with itself two frames off has lost 0.26 to 0.34

_KEY = np.dtype([("key", "<u4"), ("item", "<u4"), ("frame", "<u4"), ("narrow", "<u4")])
_VOTE = np.dtype([("first", "<u4"), ("second", "<u4"), ("offset", "<i4")])
_PARTITIONS = 64  # a million recordings of 4 s make 150 million keys, 40 MB a partition
_BUFFERED = 2_048  # recordings that wait in memory
_COMPARED = 1 << 20  # words compared at once, 8 MB
_BROAD_SIGNS = np.uint64((1 << (BROAD - 1)) - 1)
_NARROW_SIGNS = np.uint64((1 << (NARROW - 1)) - 1)
_ONES = np.array([bin(value).count("1") for value in range(1 << 16)], np.uint8)


@dataclass(frozen=True)
class NearDuplicate:
    """Two recordings of one sound; the second begins ``offset_s`` seconds after the first (negative: before it).

    ``similarity`` is 1 for equal fingerprints and about 0 by chance: 1 − 2 × the share of signs that differ.
    """

    first: int
    second: int
    similarity: float
    offset_s: float


class FingerprintIndex:
    """Fingerprints in a folder on disk, and the near-duplicates among them.

    Memory: some 100 bytes a recording and 1/64 of all keys. Disk: 0.5 kB a second of sound for the fingerprints, as
    much for their keys, and the votes while pairs are sought.

    Args:
        folder: where the index lies; made if needed, and empty of another index.
        similarity: the least similarity of a pair.

    Raises:
        ValueError: the folder holds an index already.
    """

    def __init__(self, folder: Path | str, *, similarity: float = SIMILAR) -> None:
        self.folder = Path(folder)
        self.similarity = similarity
        self._words = self.folder / "words.bin"
        if self._words.exists():
            raise ValueError(f"{folder} holds an index already.")
        self._names: list[int] = []
        self._others: list[bool] = []
        self._lengths: list[int] = []
        self._heard: list[int] = []
        self._waiting: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._names)

    def add(self, key: int, fingerprint: np.ndarray, *, other: bool = False) -> None:
        """Add a fingerprint ``(frames,)`` under the caller's own ``key``; ``other`` puts it on the second of two sides.

        Raises:
            UserError: the disk is full.
        """
        words = np.asarray(fingerprint, np.uint64)
        self._names.append(key)
        self._others.append(other)
        self._lengths.append(len(words))
        self._heard.append(int(np.count_nonzero(words)))
        self._waiting.append(words)
        if len(self._waiting) >= _BUFFERED:
            self._flush()

    def pairs(self, *, across: bool = False) -> Iterator[NearDuplicate]:
        """Yield near-duplicates, each pair once at its best offset; with ``across`` only pairs of the two sides.

        The first of a pair was added before the second; across sides the second is the one of the other side. In a
        group of more than nine copies not every pair is named, but pairs join them all. The same index gives the same
        pairs in the same order.
        """
        self._flush()
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            others = np.array(self._others, bool)
            for part in range(_PARTITIONS):
                rows = _read(self.folder / f"keys-{part}.bin", _KEY)
                votes = _votes_across(rows, others) if across else _votes_within(rows)
                _scatter(Path(folder), "votes", votes, votes["first"] * np.uint32(31) + votes["second"])
            for part in range(_PARTITIONS):
                yield from self._compare(_candidates(_read(Path(folder, f"votes-{part}.bin"), _VOTE)))

    def _flush(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._waiting:
            return
        words = np.concatenate(self._waiting)
        rows = _keys(words, np.array(self._lengths[-len(self._waiting) :]), len(self._names) - len(self._waiting))
        with append_to(self._words) as file:
            file.write(words.tobytes())
        _scatter(self.folder, "keys", rows, rows["key"])
        self._waiting = []

    def _compare(self, candidates: np.ndarray) -> Iterator[NearDuplicate]:
        """Keep the candidates whose signs agree where both recordings are heard."""
        if not len(candidates):
            return
        words = np.memmap(self._words, np.uint64, "r")
        lengths = np.array(self._lengths, np.int64)
        heard = np.array(self._heard, np.int64)
        starts = np.cumsum(lengths) - lengths
        least = np.maximum(
            LEAST_FRAMES, LEAST_SHARE * np.minimum(heard[candidates["first"]], heard[candidates["second"]])
        )
        # A pair covers at most the shorter recording.
        covered = np.cumsum(np.minimum(lengths[candidates["first"]], lengths[candidates["second"]]))
        for block in np.split(np.arange(len(candidates)), np.flatnonzero(np.diff(covered // _COMPARED)) + 1):
            rows = candidates[block]
            similarities, offsets = _best(rows, words, starts, lengths, least[block], self.similarity - NEARBY)
            for number in np.flatnonzero(similarities >= self.similarity):
                first, second = self._names[rows["first"][number]], self._names[rows["second"][number]]
                yield NearDuplicate(first, second, float(similarities[number]), float(offsets[number] * FRAME_S))


def find_near_duplicates(
    fingerprints: Iterable[tuple[int, np.ndarray]],
    against: Iterable[tuple[int, np.ndarray]] | None = None,
    *,
    folder: Path | str | None = None,
    similarity: float = SIMILAR,
) -> Iterator[NearDuplicate]:
    """Find near-duplicates among recordings, or only between them and those ``against``.

    Args:
        fingerprints: keys of the caller's own and their fingerprints ``(frames,)``; read once.
        against: the other side; its keys become `NearDuplicate.second`.
        folder: where the index lies while it is needed, 1 kB a second of sound; None: the system's temporary folder.
        similarity: the least similarity of a pair.
    """
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        index = FingerprintIndex(Path(inside, "index"), similarity=similarity)
        for key, words in fingerprints:
            index.add(key, words)
        for key, words in against or ():
            index.add(key, words, other=True)
        yield from index.pairs(across=against is not None)


def _keys(words: np.ndarray, lengths: np.ndarray, begin: int) -> np.ndarray:
    """Keys of several fingerprints in a row: the broad signs of a frame and of the one LAG later.

    Each key counts once a recording, where it occurs first: a held sound repeats its keys.
    """
    frames = np.arange(len(words)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    items = np.repeat(np.arange(len(lengths)), lengths)
    here = np.flatnonzero((frames + LAG < np.repeat(lengths, lengths)) & (words != 0))
    here = here[words[here + LAG] != 0]
    broad = (words >> np.uint64(BROAD_SHIFT)) & _BROAD_SIGNS
    keys = (broad[here] << np.uint64(BROAD - 1)) | broad[here + LAG]
    _, once = np.unique((items[here].astype(np.uint64) << np.uint64(32)) | keys, return_index=True)
    rows = np.empty(len(once), _KEY)
    rows["key"], rows["item"], rows["frame"] = keys[once], begin + items[here][once], frames[here][once]
    rows["narrow"] = words[here[once]] & _NARROW_SIGNS
    return rows


def _scatter(folder: Path, name: str, rows: np.ndarray, values: np.ndarray) -> None:
    """Append rows to the partitions of their values."""
    parts = (values.astype(np.uint32) * np.uint32(0x9E3779B1)) >> np.uint32(26)  # Fibonacci hashing (Knuth, TAOCP 6.4)
    order = np.argsort(parts, kind="stable")
    bounds = np.searchsorted(parts[order], np.arange(_PARTITIONS + 1))
    for part in np.flatnonzero(np.diff(bounds)):
        with append_to(folder / f"{name}-{part}.bin") as file:
            file.write(rows[order[bounds[part] : bounds[part + 1]]].tobytes())


def _read(path: Path, kind: np.dtype) -> np.ndarray:
    return np.fromfile(path, kind) if path.exists() else np.empty(0, kind)


def _votes(rows: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Votes of pairs of places with equal keys, where the narrow signs are near each other too."""
    near = _differing(rows["narrow"][first] ^ rows["narrow"][second]) <= VOTING
    first, second = first[near], second[near]
    votes = np.empty(len(first), _VOTE)
    votes["first"], votes["second"] = rows["item"][first], rows["item"][second]
    votes["offset"] = rows["frame"][first].astype(np.int64) - rows["frame"][second]
    return votes


def _votes_within(rows: np.ndarray) -> np.ndarray:
    """Pair each recording with the next NEIGHBOURS of its bucket."""
    rows = rows[np.lexsort((rows["item"], rows["key"]))]
    found = []
    for step in range(1, NEIGHBOURS + 1):
        first = np.flatnonzero(rows["key"][:-step] == rows["key"][step:])
        found.append(_votes(rows, first, first + step))
    return np.concatenate(found)


def _votes_across(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Pair each recording with up to NEIGHBOURS of the other side in its bucket."""
    side = others[rows["item"]]
    ours, theirs = (part[np.lexsort((part["item"], part["key"]))] for part in (rows[~side], rows[side]))
    pairs = [_partners(ours["key"], theirs["key"]), _partners(theirs["key"], ours["key"])[:, ::-1]]
    # Both ways may name one pair of places, which is one vote.
    first, second = np.unique(np.concatenate(pairs), axis=0).T
    return _votes(np.concatenate([ours, theirs]), first, second + len(ours))


def _partners(keys: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Places in ``keys`` and ``others`` (both sorted), ``(pairs, 2)``: up to NEIGHBOURS equal others for each key."""
    low, high = np.searchsorted(others, keys, "left"), np.searchsorted(others, keys, "right")
    rank = np.arange(len(keys)) - np.searchsorted(keys, keys, "left")
    found = []
    for step in range(NEIGHBOURS):
        here = np.flatnonzero(high - low > step)
        partner = low[here] + (rank[here] + step) % (high - low)[here]
        found.append(np.stack([here, partner], axis=1))
    return np.concatenate(found)


def _differing(signs: np.ndarray) -> np.ndarray:
    """Count the narrow signs that are set, ``(n,)``."""
    halves = (signs & _NARROW_SIGNS).astype(np.uint32).view(np.uint16)
    return _ONES[halves[::2]] + _ONES[halves[1::2]]


def _candidates(votes: np.ndarray) -> np.ndarray:
    """Each pair once, at the offset (within 2 × SLACK) that most of its votes are for."""
    votes = votes[np.lexsort((votes["offset"], votes["second"], votes["first"]))]
    if not len(votes):
        return votes
    new = (votes["first"][1:] != votes["first"][:-1]) | (votes["second"][1:] != votes["second"][:-1])
    pair = np.concatenate([[0], np.cumsum(new)])
    # Places on one line, pairs apart by more than any offset, so that one search counts each vote's followers.
    line = (pair << 33) + votes["offset"].astype(np.int64)
    followers = np.searchsorted(line, line + 2 * SLACK, "right") - np.arange(len(line))
    order = np.lexsort((-followers, pair))
    best = order[np.concatenate([[0], np.flatnonzero(new) + 1])]
    found = votes[best]
    found["offset"] = votes["offset"][best + (followers[best] - 1) // 2]
    return found


def _best(
    rows: np.ndarray, words: np.ndarray, starts: np.ndarray, lengths: np.ndarray, least: np.ndarray, worth: float
) -> tuple[np.ndarray, np.ndarray]:
    """The best similarity of each pair near its offset, and that offset, both ``(pairs,)``.

    Offsets beside the voted one are tried where that gives ``worth`` already.
    """
    at = rows["offset"].astype(np.int64)
    best = _similarities(rows, at, words, starts, lengths, least)
    near = np.flatnonzero(best >= worth)
    for step in (-2, -1, 1, 2) if len(near) else ():
        offsets = rows["offset"][near] + step
        similarities = _similarities(rows[near], offsets, words, starts, lengths, least[near])
        better = similarities > best[near]
        best[near[better]], at[near[better]] = similarities[better], offsets[better]
    return best, at


def _similarities(
    rows: np.ndarray, offset: np.ndarray, words: np.ndarray, starts: np.ndarray, lengths: np.ndarray, least: np.ndarray
) -> np.ndarray:
    """Similarity of each pair at this offset, ``(pairs,)``; −1 where fewer frames than ``least`` are heard in both."""
    first, second = rows["first"].astype(np.int64), rows["second"].astype(np.int64)
    begin = np.maximum(0, offset)
    # Pairs that do not overlap compare one word, too few to count.
    count = np.maximum(1, np.minimum(lengths[first], lengths[second] + offset) - begin)
    bounds = np.cumsum(count) - count
    inside = np.arange(count.sum()) - np.repeat(bounds, count)
    ones = words[np.minimum(np.repeat(starts[first] + begin, count) + inside, len(words) - 1)]
    twos = words[np.minimum(np.repeat(starts[second] + begin - offset, count) + inside, len(words) - 1)]
    both = (ones != 0) & (twos != 0)
    heard = np.add.reduceat(both, bounds, dtype=np.int64)
    differing = np.add.reduceat(_differing(ones ^ twos) * both, bounds, dtype=np.int64)
    return np.where(heard >= least, 1 - 2 * differing / np.maximum(1, heard) / (NARROW - 1), -1.0)
