"""Round trips through speech codecs: what a voice message or a telephone call leaves of a voice."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import soundfile as sf
import torch
from pydantic import Field, field_validator
from torch import Tensor

from vivavoce.errors import UserError
from vivavoce.features.augment.base import RATE_HZ, Range, Section, Step
from vivavoce.features.augment.volume import FULL_SCALE

CodecName = Literal["opus", "mulaw", "alaw", "gsm"]
# libsndfile maps its compression level from 0 to 1 onto 256 down to 6 kbit/s a channel (its src/ogg_opus.c).
OPUS_KBPS = (6.0, 256.0)
TELEPHONE_HZ = 8_000
_SUBTYPES: dict[CodecName, tuple[str, str]] = {
    "opus": ("OGG", "OPUS"),
    "mulaw": ("WAV", "ULAW"),
    "alaw": ("WAV", "ALAW"),
    "gsm": ("WAV", "GSM610"),
}
SHORTEST = RATE_HZ // 10  # a codec's frame is 20 ms; less than a few of them is filled up with silence


class CodecConfig(Section):
    """Speech codecs."""

    probability: float = Field(default=0.1, ge=0, le=1, description="share of the recordings it is applied to")
    codecs: tuple[CodecName, ...] = Field(
        default=("opus", "mulaw", "alaw", "gsm"),
        min_length=1,
        description="opus at 16 kHz; mulaw and alaw (G.711) and gsm (full rate, 13 kbit/s) at 8 kHz",
    )
    opus_kbps: Range = Field(default=(8.0, 32.0), description="bit rate of opus, kbit/s; 6 to 256")

    @field_validator("opus_kbps")
    @classmethod
    def _possible(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not OPUS_KBPS[0] <= value[0] <= value[1] <= OPUS_KBPS[1]:
            raise ValueError("opus can be given 6 to 256 kbit/s")
        return value

    def build(self) -> "Codec":
        """Make the step.

        Raises:
            UserError: the sound library that is installed lacks one of the codecs.
        """
        return Codec(self)


class Codec(Step):
    """Encodes and decodes the voice with a real codec, and puts it back where it was.

    Opus and GSM come from libsndfile; its AMR does not exist, and `band_limit` with ``telephone`` or ``wideband`` cuts
    as AMR and AMR-WB do. Opus is the dearest step of all, some 30 times real time a core.

    Bands: the voice band alone. The correlation label stays true: the codec's delay is taken out.
    """

    name = "codec"
    bands = frozenset({"voice"})
    keeps_correlation = True

    def __init__(self, config: CodecConfig) -> None:
        super().__init__(config.probability)
        self.config = config
        for name in config.codecs:
            container, subtype = _SUBTYPES[name]
            if subtype not in sf.available_subtypes(container):
                raise UserError(
                    f"The codec {name} is not in the installed libsndfile {sf.__libsndfile_version__}; take it out of "
                    "codec.codecs, or install a newer soundfile."
                )

    def apply(self, wave: Tensor, lengths: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Encode and decode each item; see `Step.apply`."""
        codecs = [self.config.codecs[rng.integers(len(self.config.codecs))] for rng in rngs]
        kbps = [rng.uniform(*self.config.opus_kbps) for rng in rngs]
        out = wave.cpu().numpy().copy()
        rows = [row[:samples] for row, samples in zip(out, lengths.tolist(), strict=True)]
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # codecs release the interpreter's lock
            for row, decoded in zip(rows, pool.map(round_trip, rows, codecs, kbps), strict=True):
                row[:] = decoded
        return torch.from_numpy(out).to(wave.device)


def round_trip(samples: np.ndarray, codec: CodecName, opus_kbps: float) -> np.ndarray:
    """Encode and decode ``(samples,)`` float32 at 16 kHz; the result is as long and in step with it."""
    import soxr

    padded = np.zeros(max(len(samples), SHORTEST), dtype=np.float32)
    padded[: len(samples)] = np.clip(samples, -1, FULL_SCALE)
    if codec == "opus":
        level = (OPUS_KBPS[1] - opus_kbps) / (OPUS_KBPS[1] - OPUS_KBPS[0])
        decoded = _through(padded, RATE_HZ, codec, compression_level=level)
    else:
        narrow = np.clip(soxr.resample(padded, RATE_HZ, TELEPHONE_HZ), -1, FULL_SCALE)
        decoded = np.asarray(soxr.resample(_through(narrow, TELEPHONE_HZ, codec), TELEPHONE_HZ, RATE_HZ))
    out = np.zeros(len(samples), dtype=np.float32)
    kept = min(len(out), len(decoded))
    out[:kept] = decoded[:kept]
    return out


def _through(samples: np.ndarray, rate: int, codec: CodecName, compression_level: float | None = None) -> np.ndarray:
    container, subtype = _SUBTYPES[codec]
    memory = io.BytesIO()
    with sf.SoundFile(memory, "w", rate, 1, subtype, format=container, compression_level=compression_level) as file:
        file.write(samples)
    memory.seek(0)
    return sf.read(memory, dtype="float32")[0]
