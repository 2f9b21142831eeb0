"""Noise for the signal-to-noise curve: made at the recording's own rate, or from a folder of the user's."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import soxr
import torch

from vivavoce.audio import audio_info, read_audio
from vivavoce.errors import UserError
from vivavoce.features.augment.bank import sound_files
from vivavoce.features.augment.level import active_power
from vivavoce.features.augment.synthetic_noise import PINK_FROM_HZ, synthesise
from vivavoce.features.front_end import ULTRASOUND_HZ, VOICE_HZ
from vivavoce.simulate.fourier import fast_size, irfft

MadeNoise = Literal["pink", "white", "babble"]
# What is quieter than this in the voice band, full scale 1, is digital silence and no noise.
SILENCE_POWER = 1e-12


class NoiseSource(Protocol):
    """Where noise comes from."""

    def draw(self, samples: int, rate: int, rng: np.random.Generator) -> np.ndarray:
        """Give noise ``(samples,)`` of any level above 0 in the voice band."""
        ...


@dataclass(frozen=True)
class Made:
    """Synthesised noise: pink and white noise reach through the ultrasound, babble ends at 8 kHz."""

    kind: MadeNoise

    def draw(self, samples: int, rate: int, rng: np.random.Generator) -> np.ndarray:
        """Synthesise; see `NoiseSource.draw`."""
        if self.kind == "babble":
            short = -(-samples * VOICE_HZ // rate)
            babble = synthesise(["babble"], [rng], short, torch.zeros(1, short))[0].numpy()
            return _fitted(np.asarray(soxr.resample(babble, VOICE_HZ, rate)), samples)
        size = fast_size(samples)
        spectrum = rng.standard_normal((2, size // 2 + 1))
        hertz = np.fft.rfftfreq(size, 1 / rate)
        shape = 1 / np.sqrt(np.maximum(hertz, PINK_FROM_HZ)) if self.kind == "pink" else np.ones_like(hertz)
        shape[0] = 0
        return irfft((spectrum[0] + 1j * spectrum[1]) * shape, size)[:samples]


@dataclass(frozen=True)
class Folder:
    """Recorded noise: a random span of a random file, from its beginning again where the file is shorter."""

    files: tuple[Path, ...]

    @classmethod
    def of(cls, folder: Path) -> "Folder":
        """List the sound files below a folder.

        Raises:
            UserError: there is no such folder, or no sound file in it.
        """
        return cls(tuple(sound_files(folder, "noise")))

    @property
    def without_ultrasound(self) -> int:
        """How many of the files hold no ultrasound, since their rate is too low."""
        return sum(audio_info(file).sample_rate < min(ULTRASOUND_HZ) for file in self.files)

    def draw(self, samples: int, rate: int, rng: np.random.Generator) -> np.ndarray:
        """Read a span; see `NoiseSource.draw`.

        Raises:
            UserError: a file cannot be read, or all of them are silent.
        """
        for number in rng.permutation(len(self.files)).tolist():
            noise = self._read(self.files[number], samples / rate, rng.random())
            found, own_rate = noise
            if own_rate != rate:
                found = np.asarray(soxr.resample(found, own_rate, rate))
            fitted = _fitted(found, samples)
            if voice_band_power(fitted, rate) > SILENCE_POWER:
                return fitted
        raise UserError(f"Every file of the noise folder {self.files[0].parent} is silent; name another folder.")

    def _read(self, file: Path, seconds: float, place: float) -> tuple[np.ndarray, int]:
        left_s = audio_info(file).duration_s - seconds
        if left_s <= 0:
            return read_audio(file, channel=None)
        return read_audio(file, channel=None, start_s=place * left_s, duration_s=seconds)


def active_voice_power(samples: np.ndarray, rate: int) -> float:
    """Active speech power (ITU-T P.56) of the voice band, full scale 1; 0 of silence."""
    voice = torch.from_numpy(_voice_band(samples, rate))
    return float(active_power(voice[None], torch.tensor([len(voice)])))


def voice_band_power(samples: np.ndarray, rate: int) -> float:
    """Mean power below 8 kHz, full scale 1."""
    return float(np.square(_voice_band(samples, rate), dtype=np.float64).mean())


def _voice_band(samples: np.ndarray, rate: int) -> np.ndarray:
    return np.ascontiguousarray(soxr.resample(samples, rate, VOICE_HZ), dtype=np.float32)


def _fitted(noise: np.ndarray, samples: int) -> np.ndarray:
    return np.resize(noise, samples)


@lru_cache(maxsize=8)
def noise_of(folder: Path | None, kind: MadeNoise) -> Made | Folder:
    """The source that a config names: a folder goes before a made kind."""
    return Made(kind) if folder is None else Folder.of(folder)
