"""The voice of an attacker's synthesiser: the target's text by espeak-ng, or a vocoder's copy of the target's words."""

from dataclasses import replace

import numpy as np
import soxr

from vivavoce.simulate.espeak import restart
from vivavoce.simulate.speech import RATE_HZ, active_level, at_level, to_48k
from vivavoce.simulate.vocoder import resynthesised
from vivavoce.simulate.voices import draw_speaker_of, say

# espeak speaks at most this much faster or slower than it was drawn to, in order to fill the recording.
FASTEST, SLOWEST = 1.5, 0.7
VOCODER_RATE_HZ = 16_000


def synthetic_voice(rng: np.random.Generator, voice: np.ndarray, text: str | None, sex: str | None) -> np.ndarray:
    """Return (samples,) float32 at 48 kHz, as long as ``voice`` (samples,) and at its level.

    Args:
        rng: source of randomness.
        voice: the target's, at 48 kHz.
        text: what espeak-ng is to say, at a speed that fills the length; None: a vocoder copies ``voice``.
        sex: ``F`` or ``M``, for the pitch and formants of espeak-ng; else drawn.
    """
    if text is None:
        copy = resynthesised(rng, soxr.resample(voice, RATE_HZ, VOCODER_RATE_HZ), VOCODER_RATE_HZ)
        spoken = to_48k(copy, VOCODER_RATE_HZ)
    else:
        spoken = _said(rng, text, sex, len(voice) / RATE_HZ)
    filled = np.zeros(len(voice), dtype=np.float32)
    start = max(0, (len(voice) - len(spoken)) // 2)
    filled[start : start + len(spoken)] = spoken[: len(voice)]
    level = active_level(voice)
    return at_level(filled, 20 * np.log10(level)) if level else filled


def _said(rng: np.random.Generator, text: str, sex: str | None, seconds: float) -> np.ndarray:
    drawn = sex.strip().upper()[:1] if sex else ""
    speaker = draw_speaker_of(drawn if drawn in ("F", "M") else str(rng.choice(("F", "M"))), rng)
    seed = int(rng.integers(1 << 32))
    length_s, wave, rate = 0.0, np.zeros(0, dtype=np.float32), RATE_HZ
    for _ in range(2):  # once to learn how long the text takes, once to fill the recording
        if length_s:
            faster = float(np.clip(length_s / seconds, SLOWEST, FASTEST))
            settings = replace(speaker.settings, words_per_minute=round(speaker.settings.words_per_minute * faster))
            speaker = replace(speaker, settings=settings)
        restart()  # what was said before, by this worker or another, leaves no trace
        wave, rate, _ = say(text, speaker, np.random.default_rng(seed))
        length_s = len(wave) / rate
    return to_48k(wave, rate)
