"""Features of whole recordings as they are kept: the one place where a waveform becomes float16 frames.

Offline stores and online batches both come from here. Each recording is computed alone and with one thread, so that
its features are the same to the last bit whatever is computed beside it, in this process or another.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.features.augment import Augment, AugmentConfig
from vivavoce.features.front_end import FrontEndConfig, Probe, Wave, batch_features, read_wave
from vivavoce.features.store import FeatureStore, Qualities

# A tenth of a second holds no word; much less would not even hold a frame.
SHORTEST_S = 0.1


class Extracted(NamedTuple):
    """Features of one version of one recording."""

    voice: np.ndarray  # (frames, voice channels) float16
    echo: np.ndarray  # (frames, echo channels) float16
    speed: float
    probe: Probe


def hear(row: Row, known: Probe | None = None) -> Wave:
    """Read one recording, whose probe may be known from an earlier time.

    Raises:
        UserError: the file cannot be used, or is shorter than `SHORTEST_S`.
    """
    wave = read_wave(row, known)
    seconds = len(wave.samples) / wave.rate
    if seconds < SHORTEST_S:
        raise UserError(
            f"The recording {row.id} ({row.path}) is {seconds:.3f} s long, and {SHORTEST_S:g} s is the least to "
            "learn or judge from; take it out of the manifest."
        )
    return wave


class Extractor:
    """Computes features, augmented or as they are."""

    def __init__(self, front_end: FrontEndConfig, augment: AugmentConfig, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.front_end = front_end.build().eval().to(self.device)
        self.augment: Augment | None = None if augment.is_identity else augment.build()

    def original(self, wave: Wave) -> Extracted:
        """Features of a recording as it is."""
        return self._alone(wave, None)

    def versions(self, waves: list[Wave], seeds: np.ndarray) -> list[Extracted]:
        """Features of each recording as its own seed changes it, and as it is where nothing is augmented.

        On a GPU all recordings of one rate and speed are computed at once: its rounding depends on the batch anyway.
        """
        if self.augment is None:
            seeds = np.zeros(len(waves), dtype=np.int64)
        if self.device.type == "cpu":
            return [self._alone(wave, seeds[number : number + 1]) for number, wave in enumerate(waves)]
        return self._together(waves, seeds)

    def _alone(self, wave: Wave, seed: np.ndarray | None) -> Extracted:
        with one_thread():
            return self._together([wave], seed)[0]

    def _together(self, waves: list[Wave], seeds: np.ndarray | None) -> list[Extracted]:
        if self.augment is None or seeds is None:
            speeds, features = np.ones(len(waves)), batch_features(self.front_end, waves)
        else:
            speeds, features = self.augment.speeds(seeds), batch_features(self.front_end, waves, self.augment, seeds)
        return [
            Extracted(
                voice.half().cpu().numpy(), echo.half().cpu().numpy(), float(speed), Probe(wave.tones_hz, wave.quality)
            )
            for (voice, echo), speed, wave in zip(features, speeds, waves, strict=True)
        ]


def in_memory(extracted: list[Extracted]) -> FeatureStore:
    """A store of these recordings in memory, one version of each."""
    frames = np.array([len(one.voice) for one in extracted], dtype=np.int64)
    return FeatureStore(
        np.concatenate([one.voice for one in extracted]),
        np.concatenate([one.echo for one in extracted]),
        np.cumsum(frames) - frames,
        frames,
        Qualities.collect(one.probe.quality for one in extracted),
        speeds=np.array([one.speed for one in extracted]),
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, as workers do: how a sum is shared among threads would show in its last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
