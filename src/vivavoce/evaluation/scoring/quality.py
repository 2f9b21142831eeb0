"""What of a recording makes its score more or less trustworthy: how long, how loud, how noisy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from vivavoce.corpus.manifest import Row
from vivavoce.evaluation.scoring.voice import VOICE_HZ, read_voice
from vivavoce.progress import track
from vivavoce.signal.activity import FRAME_S, VOICE_BAND_HZ, speech_seconds

MEASURES = ("speech_s", "duration_s", "snr_db", "level_dbfs")
# The quietest tenth of the frames stands for the noise: speech pauses that often.
FLOOR_PERCENTILE = 10.0
# 16-bit silence; ratios beyond say nothing more.
LEAST_DBFS, MOST_SNR_DB = -96.0, 60.0


@dataclass(frozen=True)
class QualityMeasures:
    """Numbers of recordings.

    Attributes:
        names: of the measures: `MEASURES`.
        values: ``(recordings, measures)``: speech and whole duration in s, speech against noise in dB, and the level of
            speech relative to full scale (a full-scale square wave has 0 dBFS).
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]

    def of(self, name: str) -> NDArray[np.float64]:
        """The values of one measure, ``(recordings,)``."""
        return self.values[:, self.names.index(name)]


def measure_quality(rows: Sequence[Row]) -> QualityMeasures:
    """Measure the recordings of a manifest by the samples of their voice band.

    Raises:
        UserError: a recording cannot be used.
    """
    values = [voice_quality(read_voice(row)) for row in track(rows, "Measuring quality", len(rows))]
    return QualityMeasures(MEASURES, np.array(values, np.float64).reshape(-1, len(MEASURES)))


def voice_quality(voice: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Measure one recording by its voice band ``(samples,)`` at 16 kHz; returns what `MEASURES` names.

    Speech are as many of the loudest 20 ms as `speech_seconds` counts. Their mean power holds the noise, too, so the
    noise of the quietest tenth is taken off it before the two are compared.
    """
    speech_s = speech_seconds(voice, VOICE_HZ)
    size = round(FRAME_S * VOICE_HZ)
    # Rumble below a voice would drown the pauses.
    heard = np.asarray(sosfilt(_HIGH_PASS, voice))
    whole = heard[: max(1, len(heard) // size) * size]
    power = np.sort(np.square(whole).reshape(-1, min(size, len(whole))).mean(axis=1))
    speech = power[-max(1, round(speech_s / FRAME_S)) :].mean()
    noise = np.percentile(power, FLOOR_PERCENTILE)
    least = 10 ** (-MOST_SNR_DB / 10)
    snr_db = 10 * np.log10(max((speech - noise) / max(noise, least * speech, 1e-30), least))
    level_dbfs = max(LEAST_DBFS, 10 * np.log10(max(speech, 1e-30)))
    return speech_s, len(voice) / VOICE_HZ, float(min(snr_db, MOST_SNR_DB)), float(level_dbfs)


_HIGH_PASS = butter(4, VOICE_BAND_HZ[0], "highpass", fs=VOICE_HZ, output="sos")
