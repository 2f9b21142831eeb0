"""Features in memory or on disk, as two long arrays of frames of which each recording is a slice.

A copy of a recording (see `vivavoce.features.spec.StoreSpec`) is a slot of its own: slot = item · copies + copy.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch

from vivavoce.signal.quality import ProbeQuality


class Shards:
    """Arrays of frames as one long array; a slice inside one of them is a view of it."""

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        self.parts = list(parts)
        self.edges = np.cumsum([len(part) for part in parts]).tolist()
        self.shape = (self.edges[-1], *self.parts[0].shape[1:])
        self.dtype = self.parts[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, span: slice) -> np.ndarray:
        start, stop, step = span.indices(len(self))
        number = bisect_right(self.edges, start)
        if step != 1 or number == len(self.parts) or stop > self.edges[number]:
            return np.asarray(self)[span]
        before = self.edges[number] - len(self.parts[number])
        return self.parts[number][start - before : stop - before]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.concatenate(self.parts).astype(dtype or self.dtype, copy=False)


class Qualities(Sequence[ProbeQuality]):
    """Probe qualities of many recordings as arrays: a million objects would take a quarter of a gigabyte."""

    def __init__(
        self,
        present: np.ndarray,
        level_dbfs: np.ndarray,
        snr_db: np.ndarray,
        reason: np.ndarray,
        reasons: Sequence[str],
    ) -> None:
        self.present, self.level_dbfs, self.snr_db = present, level_dbfs, snr_db
        self.reason = reason  # (recordings,) index into reasons
        self.reasons = list(reasons)

    @classmethod
    def collect(cls, qualities: Iterable[ProbeQuality]) -> "Qualities":
        """Take the arrays out of single qualities."""
        listed = list(qualities)
        reasons = sorted({quality.reason for quality in listed})
        number = {text: index for index, text in enumerate(reasons)}
        return cls(
            np.array([quality.present for quality in listed], dtype=bool),
            np.array([quality.level_dbfs for quality in listed], dtype=np.float64),
            np.array([quality.snr_db for quality in listed], dtype=np.float64),
            np.array([number[quality.reason] for quality in listed], dtype=np.int32),
            reasons,
        )

    @classmethod
    def join(cls, parts: Sequence["Qualities"]) -> "Qualities":
        """Put tables behind one another."""
        reasons = sorted({text for part in parts for text in part.reasons})
        number = {text: index for index, text in enumerate(reasons)}
        codes = [np.array([number[text] for text in part.reasons], dtype=np.int32)[part.reason] for part in parts]
        return cls(
            np.concatenate([part.present for part in parts]),
            np.concatenate([part.level_dbfs for part in parts]),
            np.concatenate([part.snr_db for part in parts]),
            np.concatenate(codes),
            reasons,
        )

    @property
    def usable(self) -> np.ndarray:
        """Which recordings give a liveness answer, ``(recordings,)``; see `ProbeQuality.usable`."""
        return np.array([not text for text in self.reasons], dtype=bool)[self.reason]

    def part(self, items: np.ndarray) -> "Qualities":
        """The qualities of some recordings."""
        return Qualities(
            self.present[items], self.level_dbfs[items], self.snr_db[items], self.reason[items], self.reasons
        )

    def __len__(self) -> int:
        return len(self.present)

    @overload
    def __getitem__(self, index: int) -> ProbeQuality: ...
    @overload
    def __getitem__(self, index: slice) -> list[ProbeQuality]: ...
    def __getitem__(self, index: int | slice) -> ProbeQuality | list[ProbeQuality]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return ProbeQuality(
            bool(self.present[index]),
            float(self.level_dbfs[index]),
            float(self.snr_db[index]),
            self.reasons[self.reason[index]],
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)


@dataclass(frozen=True)
class FeatureStore:
    """Features of a list of recordings, in its order."""

    voice: np.ndarray | Shards  # (all frames, voice channels) float16
    echo: np.ndarray | Shards  # (all frames, echo channels) float16
    starts: np.ndarray  # (slots,) first frame
    frames: np.ndarray  # (slots,) number of frames
    quality: Sequence[ProbeQuality]  # (recordings,)
    copies: int = 1
    speeds: np.ndarray | None = None  # (slots,) speed of each slot; None: all 1

    def __len__(self) -> int:
        """Number of recordings."""
        return len(self.starts) // self.copies

    @property
    def usable(self) -> np.ndarray:
        """Which recordings have a probe good enough for a liveness answer, ``(recordings,)``."""
        if isinstance(self.quality, Qualities):
            return self.quality.usable
        return np.array([quality.usable for quality in self.quality], dtype=bool)

    def voice_of(self, item: int) -> torch.Tensor:
        """Voice features of one recording as it is, ``(frames, channels)`` float32."""
        return self._of(self.voice, item)

    def echo_of(self, item: int) -> torch.Tensor:
        """Echo features of one recording as it is, ``(frames, channels)`` float32."""
        return self._of(self.echo, item)

    def originals(self, items: Iterable[int] | None = None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (voice, echo) of recordings as they are, unaugmented."""
        for item in range(len(self)) if items is None else items:
            yield self.voice_of(item), self.echo_of(item)

    def select(self, items: np.ndarray) -> "FeatureStore":
        """The store of some of the recordings, in the order of ``items``."""
        slots = (items[:, None] * self.copies + np.arange(self.copies)).ravel()
        quality = self.quality.part(items) if isinstance(self.quality, Qualities) else [self.quality[i] for i in items]
        speeds = None if self.speeds is None else self.speeds[slots]
        return FeatureStore(self.voice, self.echo, self.starts[slots], self.frames[slots], quality, self.copies, speeds)

    def first_copies(self) -> "FeatureStore":
        """The store of the recordings as they are, without augmented copies."""
        kept = slice(None, None, self.copies)
        return FeatureStore(self.voice, self.echo, self.starts[kept], self.frames[kept], self.quality)

    def _of(self, array: np.ndarray | Shards, item: int) -> torch.Tensor:
        start, frames = int(self.starts[item * self.copies]), int(self.frames[item * self.copies])
        return torch.from_numpy(array[start : start + frames].astype(np.float32))
