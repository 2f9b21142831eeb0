"""Round trips through codecs, at the recording's own rate: what a message, a stream or a call leaves of it."""

import io
import re
from dataclasses import dataclass

import numpy as np
import soundfile as sf
import soxr

from vivavoce.features.augment.codec import OPUS_KBPS, TELEPHONE_HZ
from vivavoce.stress.sounds import Sound, recorded

# libsndfile maps its compression level onto these rates for MPEG-1, 32 kHz and above (its src/mpeg_l3_encode.c).
MP3_KBPS = (32.0, 320.0)
# Vorbis has no rate but a quality, 0 to 10; about 64 kbit/s at 1, 95 at 5 and 160 at 9 for one channel of 48 kHz.
VORBIS_QUALITY = (0.0, 10.0)
OPUS_HZ = 48_000  # the fastest of Opus's own rates (RFC 6716, section 2)
LEAST_MP3_HZ = 32_000
# Under 64 kbit/s a frame has no room for the tag that tells decoders how much to skip at the beginning; then that is
# the delay of LAME's encoder and of a decoder, 576 + 529 samples (LAME's technical FAQ), and the end is longer, too.
MP3_DELAY = 576 + 529
# libsndfile refuses the lowest rate of MP3 at level 1 itself.
MOST_LEVEL = 0.9999
_NAME = re.compile(r"(opus|mp3|vorbis)-(\d+(?:\.\d+)?)|(alaw|mulaw|gsm)")
_RANGES = {"opus": OPUS_KBPS, "mp3": MP3_KBPS, "vorbis": VORBIS_QUALITY}
_FORMATS = {
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "vorbis": ("OGG", "VORBIS"),
    "alaw": ("WAV", "ALAW"),
    "mulaw": ("WAV", "ULAW"),
    "gsm": ("WAV", "GSM610"),
}


@dataclass(frozen=True)
class Codec:
    """Encodes and decodes in memory; the result is as long as the recording and in step with it.

    ``opus`` and ``mp3`` take a rate in kbit/s, ``vorbis`` a quality; ``alaw`` and ``mulaw`` (G.711) and ``gsm`` (full
    rate) are calls at 8 kHz, and come back at 8 kHz.
    """

    name: str
    setting: float | None = None

    @classmethod
    def named(cls, text: str) -> "Codec":
        """Read ``opus-24``, ``mp3-128``, ``vorbis-5``, ``alaw``, ``mulaw`` or ``gsm``.

        Raises:
            ValueError: there is no such codec or setting, or the installed libsndfile lacks it.
        """
        found = _NAME.fullmatch(text)
        if found is None:
            raise ValueError(
                f"{text} is no codec; there are opus-KBPS, mp3-KBPS, vorbis-QUALITY, alaw, mulaw and gsm, such as "
                "opus-24"
            )
        name = found[1] or found[3]
        setting = float(found[2]) if found[2] else None
        if setting is not None and not _RANGES[name][0] <= setting <= _RANGES[name][1]:
            low, high = _RANGES[name]
            raise ValueError(f"{name} can be given {low:g} to {high:g}, not {setting:g}")
        container, subtype = _FORMATS[name]
        if container not in sf.available_formats() or subtype not in sf.available_subtypes(container):
            raise ValueError(f"{name} is not in the installed libsndfile {sf.__libsndfile_version__}")
        return cls(name, setting)

    @property
    def rate(self) -> int | None:
        """The rate in Hz that the codec works at whatever the recording's is; None: the recording's own."""
        return OPUS_HZ if self.name == "opus" else None if self.name in _RANGES else TELEPHONE_HZ

    def apply(self, sound: Sound, rng: np.random.Generator) -> Sound:
        """Send the recording through; see `Degradation.apply`."""
        rate = self.rate or (max(sound.rate, LEAST_MP3_HZ) if self.name == "mp3" else sound.rate)
        sent = sound.samples if rate == sound.rate else soxr.resample(sound.samples, sound.rate, rate)
        decoded = self._through(recorded(np.asarray(sent)), rate)
        if self.rate == TELEPHONE_HZ:
            return sound._replace(samples=decoded, rate=rate)
        back = decoded if rate == sound.rate else np.asarray(soxr.resample(decoded, rate, sound.rate))
        return sound._replace(samples=recorded(_as_long(back, len(sound.samples))))

    def _through(self, samples: np.ndarray, rate: int) -> np.ndarray:
        container, subtype = _FORMATS[self.name]
        memory = io.BytesIO()
        level = None
        if self.setting is not None:
            low, high = _RANGES[self.name]
            level = min((high - self.setting) / (high - low), MOST_LEVEL)
        mode = "CONSTANT" if self.name == "mp3" else None
        with sf.SoundFile(
            memory, "w", rate, 1, subtype, format=container, compression_level=level, bitrate_mode=mode
        ) as file:
            file.write(samples)
        memory.seek(0)
        decoded = sf.read(memory, dtype="float32")[0]
        untagged = self.name == "mp3" and len(decoded) > len(samples)
        return _as_long(decoded[MP3_DELAY if untagged else 0 :], len(samples))


def _as_long(samples: np.ndarray, count: int) -> np.ndarray:
    """Codecs work in whole frames: cut what is behind the end, or fill up with silence."""
    out = np.zeros(count, dtype=np.float32)
    kept = min(count, len(samples))
    out[:kept] = samples[:kept]
    return out
