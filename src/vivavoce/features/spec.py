"""What a store of features depends on besides the recordings, and how two of these differ."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.features.augment import AugmentConfig
from vivavoce.features.front_end import FrontEndConfig

# Raise it when the code computes other features from the same recording and configuration.
FEATURES_VERSION = 4


@dataclass(frozen=True)
class StoreSpec:
    """How the features of a store are made: front end, augmentation, copies of each recording, seed of the copies."""

    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    copies: int = 1
    seed: int = 0

    def described(self) -> dict[str, Any]:
        """Everything the features depend on, as plain data; what has no effect on a single copy is left out."""
        description = {
            "version": FEATURES_VERSION,
            "front_end": self.front_end.model_dump(mode="json"),
            "copies": self.copies,
        }
        if self.copies > 1:
            # Sounds count by their content, so that their folders may move.
            config = {name: _without_path(section) for name, section in self.augment.model_dump(mode="json").items()}
            description |= {"augment": config, "augmentation": self._augmentation, "seed": self.seed}
        return description

    @cached_property
    def _augmentation(self) -> str:
        return self.augment.build().fingerprint()

    @property
    def speeds(self) -> tuple[float, ...]:
        """All speeds at which a copy may be played; the first copy always at 1."""
        if self.copies == 1:
            return (1.0,)
        return (1.0, *(factor for factor in self.augment.build().speed_factors if factor != 1.0))

    def seeds(self, row: Row) -> np.ndarray:
        """Seeds of the augmented copies of one recording, ``(copies - 1,)``: by its id, not by its place."""
        return np.array([copy_seed(self.seed, row.id, copy) for copy in range(1, self.copies)], dtype=np.int64)


def copy_seed(seed: int, recording: str, copy: int) -> int:
    """63 bits from the seed, the recording's id and the copy's number."""
    digest = hashlib.sha256(json.dumps([seed, recording, copy]).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def step_seeds(seed: int, epoch: int, step: int, count: int) -> np.ndarray:
    """63-bit seeds of the recordings of one training step, ``(count,)``; no two steps share one but by chance."""
    # The last word keeps these apart from the streams that draw crops of the same step.
    words = np.random.SeedSequence([seed, epoch, step, 1]).generate_state(count, np.uint64)
    return (words >> np.uint64(1)).astype(np.int64)


def _without_path(section: Any) -> Any:
    return {name: value for name, value in section.items() if name != "path"} if isinstance(section, dict) else section


def span_digests(rows: Sequence[Row]) -> np.ndarray:
    """What a manifest says about the sound of each row, channel, span and known probe: ``(rows, 16)`` bytes."""
    digests = b"".join(
        hashlib.sha256(repr((row.channel, row.start_s, row.duration_s, row.meta.probe_hz)).encode()).digest()[:16]
        for row in rows
    )
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 16)
