"""Encoders and recordings made up for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Metadata
from vivavoce.encoders.base import Wave


@dataclass
class Loudness:
    """An encoder that knows two numbers of a waveform, and counts how many it was asked for."""

    name: str = "loudness"
    fingerprint: str = "a" * 64
    sample_rate: int = 16_000
    asked: list[int] = field(default_factory=list)

    def embed(self, waves: Sequence[Wave]) -> np.ndarray:
        self.asked += [len(wave) for wave in waves]
        raw = np.array([[np.abs(wave).mean(), np.abs(np.diff(wave)).mean()] for wave in waves], np.float32)
        return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def row_of(
    path, name: str = "a", speaker: str = "s", rate: int = 48_000, seconds: float = 1.0, channel: int = 0
) -> Row:
    return Row(name, path, speaker, None, 0.0, seconds, rate, 0, Metadata())
