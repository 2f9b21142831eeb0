"""How long somebody speaks in a recording, from the level of its voice band."""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

FRAME_S = 0.020
# What telephones carry of a voice, and no probe.
VOICE_BAND_HZ = (100.0, 4000.0)
# ITU-T P.56 counts as active what lies less than 15.9 dB below the active level; the loudest frames (95th percentile)
# lie about 8 dB above that level.
BELOW_LOUD_DB = 24.0
# Less than this above its own quietest tenth is a steady hum or hiss: speech has pauses, and 20 ms closures within.
ABOVE_QUIET_DB = 6.0
# Room noise in a phone's recording; a voice at arm's length is at -45 dBFS and more.
LEAST_DBFS = -60.0


def speech_seconds(wave: np.ndarray, rate: int) -> float:
    """Add up the time in which the voice band is active, s.

    This is a matter of level alone: babble counts as speech, steady noise does not.

    Args:
        wave: ``(samples,)`` one channel, full scale 1.
        rate: sample rate, Hz.
    """
    size = round(FRAME_S * rate)
    if len(wave) < size:
        return 0.0
    frames = sliding_window_view(np.asarray(wave, dtype=np.float32), size)[::size]
    spectra = np.asarray(scipy.fft.rfft(frames * _window(size), axis=1))
    first, last = (round(edge * size / rate) for edge in VOICE_BAND_HZ)
    # A full-scale sine gives 0 dB.
    power = (np.abs(spectra[:, first : last + 1]) ** 2).sum(axis=1, dtype=np.float64) * (16 / (1.5 * size**2))
    level_db = 10 * np.log10(power + 1e-12)
    loud, quiet = np.percentile(level_db, (95, 10))
    active = level_db > max(loud - BELOW_LOUD_DB, quiet + ABOVE_QUIET_DB, LEAST_DBFS)
    return float(active.sum() * size / rate)


@lru_cache(maxsize=8)
def _window(size: int) -> np.ndarray:
    return np.hanning(size + 2)[1:-1].astype(np.float32)
