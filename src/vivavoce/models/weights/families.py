"""The toolkits whose weights are known, and the voice front end each computes before its networks.

Sources: WeSpeaker `dataset/processor.py` (compute_fbank), 3D-Speaker `speakerlab/process/processor.py` (FBank),
SpeechBrain `lobes/features.py` (Fbank) with `processing/features.py`, TaoRuijie's ECAPA-TDNN `model.py`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from vivavoce.signal.normalize import NormConfig, UtteranceNormConfig
from vivavoce.signal.voice import FbankConfig

FamilyName = Literal["wespeaker", "speechbrain", "3dspeaker", "tao"]


@dataclass(frozen=True)
class Family:
    """One toolkit."""

    title: str
    voice: dict[str, Any]  # of `FbankConfig`, without the number of mel bins, which the weights tell
    differs: str = ""  # what of their front end ours does not compute

    def voice_config(self, mels: int) -> FbankConfig:
        """Return the front end that these weights expect, on the frame grid of the echo."""
        return FbankConfig.model_validate({**self.voice, "num_mel_bins": mels})

    @property
    def voice_norm(self) -> NormConfig:
        """All of them subtract each utterance's own mean."""
        return UtteranceNormConfig()


# Frames of ours are centred at 5 ms + 10 ms · t, so that they share the echo's grid.
_GRID = "its frames are centred at {} ms + 10 ms · t, ours at 5 ms + 10 ms · t"
_UNSCALED = {"window": "hamming", "low_freq": 0.0, "preemphasis": 0.0, "remove_dc_offset": False, "scale": 1.0}
FAMILIES: dict[str, Family] = {
    "wespeaker": Family("WeSpeaker", {"window": "hamming", "scale": 32768.0}, _GRID.format("12.5")),
    "3dspeaker": Family("3D-Speaker", {"window": "povey", "scale": 1.0}, _GRID.format("12.5")),
    "speechbrain": Family(
        "SpeechBrain",
        _UNSCALED,
        "it takes 10·log10 in place of the natural logarithm, no more than 80 dB below an utterance's loudest value, "
        "and an FFT of 400 points; so retrain the batch norms before you trust the embeddings",
    ),
    "tao": Family(
        "TaoRuijie's ECAPA-TDNN",
        {**_UNSCALED, "low_freq": 20.0, "high_freq": 7600.0, "preemphasis": 0.97},
        "its triangles of the mel scale and its offset of 1e-6 before the logarithm differ a little",
    ),
}
