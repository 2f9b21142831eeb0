"""What makes a recording worse: each degradation is a function of samples, which keeps their time axis."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import soxr

from vivavoce.features.augment.band_limit import HIGH_ORDER, LOW_ORDER
from vivavoce.features.front_end import VOICE_HZ
from vivavoce.simulate.fourier import fast_size, irfft, rfft
from vivavoce.stress.noise import NoiseSource, active_voice_power, voice_band_power

# The band split lies here: what is above belongs to the probe.
VOICE_END_HZ = VOICE_HZ / 2
# A guard between voice and probe where a band limit hands over to the untouched ultrasound, Hz.
PROBE_FROM_HZ = 16_000.0


class Sound(NamedTuple):
    """One recording in memory; ``start_s`` is how much of its beginning is gone."""

    samples: np.ndarray  # (samples,) float32, full scale 1
    rate: int
    start_s: float = 0.0


class Degradation(Protocol):
    """Makes one recording worse; its randomness comes from ``rng`` alone."""

    def apply(self, sound: Sound, rng: np.random.Generator) -> Sound:
        """Give the worse recording."""
        ...


@dataclass(frozen=True)
class AddNoise:
    """Noise at the microphone, over the full band, at a signal-to-noise ratio of the voice band (0–8 kHz).

    The signal is the active speech power (ITU-T P.56), the noise its mean power; both are measured below 8 kHz, where
    speech is, while the noise itself goes on through the ultrasound as its source has it. Where the sum would pass full
    scale, the whole recording is turned down, as a gain control would.
    """

    snr_db: float
    source: NoiseSource

    def apply(self, sound: Sound, rng: np.random.Generator) -> Sound:
        """Add noise; to a recording without a voice none is added."""
        wanted = active_voice_power(sound.samples, sound.rate) * 10 ** (-self.snr_db / 10)
        noise = self.source.draw(len(sound.samples), sound.rate, rng)
        noisy = sound.samples + noise * np.sqrt(wanted / voice_band_power(noise, sound.rate))
        return sound._replace(samples=recorded(noisy / max(1.0, float(np.abs(noisy).max(initial=0.0)))))


@dataclass(frozen=True)
class Crop:
    """The middle of a recording; one that is no longer stays whole."""

    seconds: float

    def apply(self, sound: Sound, rng: np.random.Generator) -> Sound:
        """Cut both ends off."""
        wanted = round(self.seconds * sound.rate)
        first = max(0, len(sound.samples) - wanted) // 2
        cut = np.ascontiguousarray(sound.samples[first : first + wanted])
        return Sound(cut, sound.rate, sound.start_s + first / sound.rate)


@dataclass(frozen=True)
class RecordAt:
    """The recording as a phone gives it that records at another rate; above half of it nothing is left."""

    rate_hz: int

    def apply(self, sound: Sound, rng: np.random.Generator) -> Sound:
        """Resample; a recording of a lower rate stays as it is."""
        if sound.rate <= self.rate_hz:
            return sound
        return sound._replace(
            samples=recorded(soxr.resample(sound.samples, sound.rate, self.rate_hz)), rate=self.rate_hz
        )


@dataclass(frozen=True)
class Gain:
    """Another recording level: turned up into clipping, or down into the steps of 16 bits."""

    gain_db: float

    def apply(self, sound: Sound, rng: np.random.Generator) -> Sound:
        """Amplify, then clip and round as the converter does."""
        return sound._replace(samples=recorded(sound.samples * 10 ** (self.gain_db / 20)))


@dataclass(frozen=True)
class LimitBand:
    """A narrower voice band beside an untouched probe.

    Butterworth magnitudes without phase, so that nothing is delayed (24 dB an octave below the band, 72 dB above it).
    """

    low_hz: float
    high_hz: float

    def apply(self, sound: Sound, rng: np.random.Generator) -> Sound:
        """Filter what lies below the ultrasound."""
        size = fast_size(2 * len(sound.samples))
        hertz = np.fft.rfftfreq(size, 1 / sound.rate)
        squared = 1 + (hertz / self.high_hz) ** (2 * HIGH_ORDER)
        if self.low_hz:
            squared += (self.low_hz / np.maximum(hertz, 1e-3)) ** (2 * LOW_ORDER)
        gain = np.where(hertz < PROBE_FROM_HZ, 1 / np.sqrt(squared), 1.0)
        filtered = irfft(rfft(sound.samples, size) * gain, size)
        return sound._replace(samples=recorded(filtered[: len(sound.samples)]))


def recorded(samples: np.ndarray) -> np.ndarray:
    """Samples as a file of 16 bits holds them: clipped at full scale and rounded, float32."""
    return (np.clip(np.rint(samples * 32_768.0), -32_768, 32_767) / 32_768.0).astype(np.float32)
