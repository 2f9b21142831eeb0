"""An audio fingerprint of the voice band: two copies of one sound agree in it, two takes of one sentence do not.

After J. Haitsma and T. Kalker, "A highly robust audio fingerprinting system" (ISMIR 2002): each frame is a word of
signs of how the energy differences between neighbouring bands changed since an earlier frame. What differs here: the
earlier frame lies 128 ms back instead of 12 ms, so that noise turns fewer signs; the energies are taken as amplitudes;
and each word carries 16 signs of broad bands beside 31 of narrow ones. Broad bands survive codecs and find candidates;
narrow ones resolve the harmonics of the voice, which no speaker repeats exactly, and decide.
"""

from functools import cache

import numpy as np
import scipy.fft
import soxr

RATE_HZ = 6_000  # holds the band of a telephone; the probe of 18 to 20 kHz is gone before any energy is measured
WINDOW = 2_048  # samples, 341 ms: the paper's 370 ms; a cut in mid-frame shifts frames by 8 ms at most, a fortieth
HOP = 96  # samples, 16 ms
LAG = 8  # frames, 128 ms: signs of what changed over so long withstand noise that turns those of a single hop
BAND_HZ = (300.0, 2_500.0)  # what every telephone, codec and phone's loudspeaker passes; the paper's ends at 2 kHz
NARROW, BROAD = 32, 17  # bands; one sign less of each in a word
BROAD_SHIFT = 32  # where in the word the broad bands' signs begin
FLOOR_DB = -35.0  # frames so far below the loud ones hold the room, not the voice
SILENT = np.uint64(0)  # the word of such a frame
HEARD = np.uint64(1 << 63)  # set in all other words, which are thus never 0

FRAME_S = HOP / RATE_HZ  # between two words

_CHUNK = 1_024  # frames a Fourier transform takes at once: 8 MiB


def fingerprint(samples: np.ndarray, rate: int) -> np.ndarray:
    """Fingerprint a recording, ``(samples,)`` at ``rate`` Hz, as uint64 ``(frames,)``, one word each 16 ms.

    A word is 0 where the frame is more than 30 dB below the loud ones. The level does not matter; the time counts from
    the first sample. Empty for less than 0.5 s, silence, and samples that are not finite. 500 bytes a second.
    """
    voice = np.asarray(samples, np.float32)
    if rate != RATE_HZ and len(voice):
        voice = soxr.resample(voice, rate, RATE_HZ)
    frames = 1 + (len(voice) - WINDOW) // HOP
    if frames <= LAG:
        return np.zeros(0, np.uint64)
    narrow, broad = _amplitudes(voice, frames)
    power = np.square(narrow).sum(axis=1)
    loudness = power[LAG:] + power[:-LAG]
    loud = np.quantile(loudness, 0.95)
    if not (np.isfinite(loud) and loud > 0):
        return np.zeros(0, np.uint64)
    words = _signs(narrow) | (_signs(broad) << np.uint64(BROAD_SHIFT)) | HEARD
    words[loudness <= loud * 10 ** (FLOOR_DB / 10)] = SILENT
    return words


def _amplitudes(voice: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of the narrow and of the broad bands, ``(frames, NARROW)`` and ``(frames, BROAD)``."""
    window, bands = _window_and_bands()
    every = np.lib.stride_tricks.sliding_window_view(voice, WINDOW)[::HOP]
    amplitudes = np.empty((frames, NARROW + BROAD), np.float32)
    for start in range(0, frames, _CHUNK):
        spectrum = np.asarray(scipy.fft.rfft(every[start : start + _CHUNK] * window, axis=1))[:, : len(bands)]
        power = np.square(np.real(spectrum)) + np.square(np.imag(spectrum))
        np.sqrt(power @ bands, out=amplitudes[start : start + _CHUNK])
    return amplitudes[:, :NARROW], amplitudes[:, NARROW:]


def _signs(amplitudes: np.ndarray) -> np.ndarray:
    """Signs of the change over LAG frames of the differences between neighbouring bands, as bits of a word."""
    change = amplitudes[LAG:] - amplitudes[:-LAG]
    bits = change[:, 1:] > change[:, :-1]
    return bits @ (np.uint64(1) << np.arange(bits.shape[1], dtype=np.uint64))


@cache
def _window_and_bands() -> tuple[np.ndarray, np.ndarray]:
    """The Hann window, and the weights ``(bins, NARROW + BROAD)`` of triangular bands, even in log frequency."""
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE_HZ)
    bins = np.log(bins[1 : 1 + np.searchsorted(bins[1:], 1.2 * BAND_HZ[1])])
    low, high = np.log(BAND_HZ)
    columns = []
    for count in (NARROW, BROAD):
        width = (high - low) / count
        centres = low + width * (np.arange(count) + 0.5)
        weights = np.clip(1 - np.abs(bins[:, None] - centres) / width, 0, None)
        columns.append(weights / weights.sum(axis=0))
    bands = np.concatenate(columns, axis=1)
    bands = np.concatenate([np.zeros((1, bands.shape[1])), bands])  # no weight for 0 Hz
    return np.hanning(WINDOW).astype(np.float32), bands.astype(np.float32)
