"""Single recordings as a report shows them: both bands as a picture, and the voice as a sound to play."""

import base64
import io
from collections.abc import Sequence

import numpy as np
import soundfile as sf
import soxr
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.report.echoes import EchoView, error_picture
from vivavoce.evaluation.report.results import WorstError
from vivavoce.features.front_end import VOICE_HZ, Wave, read_wave
from vivavoce.signal.picture import doppler_spectrogram

# Longer ones are cut: what went wrong is heard in a sentence, and a page must not grow to many megabytes.
LONGEST_S = 8.0
# 64 kbit/s of a voice at 16 kHz sound like the recording; every browser plays MP3.
MP3_LEVEL = 0.5
# Wide enough to show formants rather than harmonics, s.
WINDOW_S, HOP_S = 0.016, 0.008


def live_and_replayed(rows: Sequence[Row]) -> tuple[EchoView | None, EchoView | None]:
    """Both bands of a live recording and of a replay: the same words if it can be, near the phone, on a stand."""

    def nearest(kind: Kind, words: object = None) -> tuple[Row, Wave] | None:
        candidates = [row for row in rows if row.meta.kind is kind]
        candidates.sort(
            key=lambda row: (_words(row) != words, row.meta.posture != "stand", row.meta.distance_cm or 0.0)
        )
        waves = ((row, read_wave(row)) for row in candidates)
        return next(((row, wave) for row, wave in waves if wave.quality.usable), None)

    replay = nearest(Kind.REPLAY_STAND)
    live = nearest(Kind.LIVE, _words(replay[0]) if replay else None)
    return _titled(live, "A living mouth"), _titled(replay, "A replayed recording")


def exhibit(errors: Sequence[WorstError], rows: Sequence[Row]) -> list[WorstError]:
    """Add to each error the picture of its recording and its voice."""
    by_id = {row.id: row for row in rows}
    waves = ((error, read_wave(by_id[error.recording])) for error in errors)
    return [
        error.model_copy(
            update={
                "picture": error_picture(spectrogram_view(error.recording, wave)),
                "audio": audio_uri(soxr.resample(wave.samples, wave.rate, VOICE_HZ)),
            }
        )
        for error, wave in waves
    ]


def spectrogram_view(title: str, wave: Wave) -> EchoView:
    """Both bands of a recording with a probe, the voice as a spectrogram."""
    times, freqs, level = doppler_spectrogram(wave.samples, wave.rate, wave.tones_hz)
    voice = soxr.resample(wave.samples, wave.rate, VOICE_HZ)
    size, hop = round(VOICE_HZ * WINDOW_S), round(VOICE_HZ * HOP_S)
    transform = ShortTimeFFT(hann(size), hop, VOICE_HZ, mfft=2 * size)
    power = np.maximum(np.abs(transform.stft(voice)) ** 2, 1e-12)
    return EchoView(title, times, freqs, level, transform.t(len(voice)), 10 * np.log10(power), transform.f)


def audio_uri(voice: np.ndarray) -> str:
    """A voice band ``(samples,)`` at 16 kHz as a data URI: MP3, or WAV where this machine's libsndfile has none."""
    part = np.clip(voice[: round(LONGEST_S * VOICE_HZ)], -1, 1)
    loudest = float(np.abs(part).max())
    heard = part if loudest == 0 else 0.7 * part / loudest  # quiet recordings are to be heard, too
    buffer = io.BytesIO()
    if "MP3" in sf.available_formats():
        sf.write(buffer, heard, VOICE_HZ, format="MP3", compression_level=MP3_LEVEL)
        kind = "mpeg"
    else:
        sf.write(buffer, heard, VOICE_HZ, format="WAV", subtype="PCM_16")
        kind = "wav"
    return f"data:audio/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _words(row: Row) -> object:
    return (row.meta.model_extra or {}).get("source") or row.text


def _titled(found: tuple[Row, Wave] | None, title: str) -> EchoView | None:
    if found is None:
        return None
    row, wave = found
    times, freqs, level = doppler_spectrogram(wave.samples, wave.rate, wave.tones_hz)
    voice_times, envelope = _envelope(wave.samples, wave.rate)
    at = f", {row.meta.distance_cm:.0f} cm" if row.meta.distance_cm else ""
    return EchoView(f"{title} ({row.meta.kind.value}{at})", times, freqs, level, voice_times, envelope)


def _envelope(samples: np.ndarray, rate: int, hop_s: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Level of the voice band in dB, every ``hop_s``."""
    voice = soxr.resample(samples, rate, VOICE_HZ)
    hop = round(VOICE_HZ * hop_s)
    frames = voice[: len(voice) // hop * hop].reshape(-1, hop)
    level = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-10)
    return (np.arange(len(level)) + 0.5) * hop_s, level
