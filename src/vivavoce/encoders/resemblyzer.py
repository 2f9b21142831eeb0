"""Resemblyzer's GE2E encoder (PyPI `resemblyzer`, Apache-2.0), run by its own code with its own preparation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivavoce.encoders.base import Wave, fingerprint_of, optional

# Resemblyzer asks for webrtcvad, which must be compiled; webrtcvad-wheels is the same module ready-made.
INSTALL = "pip install --no-deps resemblyzer webrtcvad-wheels && pip install librosa"
RATE_HZ, QUIET_DBFS = 16_000, -30.0  # hparams.sampling_rate, hparams.audio_norm_target_dBFS


@dataclass(frozen=True)
class Resemblyzer:
    """Level raised to -30 dBFS, long pauses cut out, mean of overlapping windows of 1.6 s: `embed_utterance`."""

    fingerprint: str
    encoder: Any
    prepare: Callable[[Wave], Wave]
    name: str = "Resemblyzer"
    sample_rate: int = RATE_HZ

    def embed(self, waves: Sequence[Wave]) -> NDArray[np.float32]:
        """Embed one waveform after the other; see `Encoder.embed`."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.stack([self.encoder.embed_utterance(self.prepare(wave)) for wave in waves])


def load_resemblyzer() -> Resemblyzer:
    """Load the encoder with the weights of the installed package.

    Raises:
        UserError: resemblyzer, or a package that it needs, is not installed.
    """
    package = optional("resemblyzer", INSTALL)

    def prepare(wave: Wave) -> Wave:
        louder = package.normalize_volume(wave, QUIET_DBFS, increase_only=True)
        spoken = package.trim_long_silences(louder)
        # Where its voice detection hears nobody, the whole recording is better than none.
        return spoken if len(spoken) else louder

    weights = Path(str(package.__file__)).with_name("pretrained.pt")
    encoder = package.VoiceEncoder("cpu", verbose=False)
    return Resemblyzer(fingerprint_of("resemblyzer-1", version("resemblyzer"), weights), encoder, prepare)
