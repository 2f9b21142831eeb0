"""The voice band of a recording, at the rate that an encoder or a measure of quality takes."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from vivavoce.audio import read_audio
from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.features.extractor import SHORTEST_S, one_thread
from vivavoce.signal.bands import Resample

VOICE_HZ = 16_000


def read_voice(row: Row, rate: int = VOICE_HZ) -> NDArray[np.float32]:
    """Read the row's span of its channel and bring it to ``rate`` Hz, ``(samples,)`` in [-1, 1].

    At 16 kHz nothing of a probe is left.

    Raises:
        UserError: the file cannot be used, holds only zeros, or is shorter than 0.1 s.
    """
    samples, recorded_hz = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
    seconds = len(samples) / recorded_hz
    if seconds < SHORTEST_S:
        raise UserError(
            f"The recording {row.id} ({row.path}) is {seconds:.3f} s long, and {SHORTEST_S:g} s is the least to tell "
            "a voice from; take it out of the manifest."
        )
    if not samples.any():
        raise UserError(
            f"The recording {row.id} ({row.path}) is silent, every sample is zero; take it out of the manifest."
        )
    if recorded_hz == rate:
        return samples
    with one_thread(), torch.inference_mode():
        voice, _ = _resample(recorded_hz, rate)(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
    return voice[0].numpy()


@lru_cache(maxsize=8)
def _resample(recorded_hz: int, rate: int) -> Resample:
    return Resample(recorded_hz, rate)
