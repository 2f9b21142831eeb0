"""Words of another utterance put in the place of some of a voice's own."""

from dataclasses import replace

import numpy as np

from vivavoce.simulate.attacks.replays import caught
from vivavoce.simulate.attacks.take import Take
from vivavoce.simulate.loudspeaker import play
from vivavoce.simulate.speech import RATE_HZ, active_level

# Length of a cross-fade, s: short enough not to mix words, long enough not to click.
FADE_S = (0.010, 0.020)
# Starting points in the other utterance that are compared; the loudest stretch of speech is taken.
TRIES = 16
# The other words become at most this much louder or softer, so that a pause is not lifted to the level of speech.
MOST_GAIN = 4.0


def replaced_words(take: Take) -> np.ndarray:
    """Voice (samples,) of a take with another's words in its ``splices``; elsewhere its own samples, unchanged.

    What is put in has the RMS of what it replaces. The cross-fades lie inside the spans.
    """
    rng, voice = take.rng("splice"), take.voice.copy()
    other = take.other if take.other is not None else voice
    if take.loudspeaker is not None:
        heard = caught(replace(take, id=f"{take.id}/other", voice=other))
        other = play(take.drawn_loudspeaker(), heard)
    for start_s, end_s in take.splices:
        start, end = round(start_s * RATE_HZ), min(round(end_s * RATE_HZ), len(voice))
        words = _loudest_stretch(rng, other, end - start)
        level = active_level(words)
        gain = min(active_level(voice[start:end]) / level, MOST_GAIN) if level else 0.0
        fade = min(round(rng.uniform(*FADE_S) * RATE_HZ), (end - start) // 2)
        share = np.ones(end - start, dtype=np.float32)
        # Halves of a cosine whose squares sum to 1: two unrelated voices keep their power across the joint.
        rise = np.sin(0.5 * np.pi * (np.arange(fade) + 0.5) / fade).astype(np.float32)
        share[:fade], share[-fade:] = rise, rise[::-1]
        own = np.sqrt(1 - share * share)
        voice[start:end] = own * voice[start:end] + share * np.float32(gain) * words
    return voice


def _loudest_stretch(rng: np.random.Generator, wave: np.ndarray, samples: int) -> np.ndarray:
    """Cut (samples,) from where ``wave`` speaks most among some random places; a shorter wave is repeated."""
    if len(wave) <= samples:
        return np.resize(wave, samples)
    starts = rng.integers(0, len(wave) - samples, TRIES)
    energy = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    start = int(starts[np.argmax(energy[starts + samples] - energy[starts])])
    return wave[start : start + samples]
