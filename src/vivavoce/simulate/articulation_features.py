"""The family ``features``: targets by rule from phonological features, blended by exponential dominance.

Nothing here looks at the table of targets.py. A phoneme is a vowel with its place in the vowel chart (openness,
frontness, rounding; International Phonetic Association 1999) or a consonant with place, manner and rounding; rules
turn these into millimetres, one rule a channel. Vowel openness moves jaw and lips, rounding narrows and protrudes them
(Ladefoged & Johnson, "A Course in Phonetics", chapters 1 and 9), sibilants need the jaw high (Lee, Beckman & Jackson
1994, and Keating et al. 1994, J. Phonetics 22), and a consonant's place decides which articulators it insists on
(Recasens et al. 1997, JASA 102:544: resistance to coarticulation).

Blending is that of Cohen & Massaro 1993 ("Modeling coarticulation in synthetic visual speech") in its own form: the
dominance of a segment falls as exp(-θ|τ|) from the segment's middle, not by a Gaussian, and more slowly ahead of it
(anticipation) than behind (carry-over).
"""

from typing import NamedTuple

import numpy as np

from vivavoce.simulate.articulation_config import GROUP, Gestures, SpeakerArticulation
from vivavoce.simulate.motion import RATE_HZ
from vivavoce.simulate.phonemes import DIPHTHONGS, PHONEMES, SILENCE


class _Vowel(NamedTuple):
    openness: float  # 0 close, 1 open: sixths of the chart
    frontness: float
    rounding: float


class _Consonant(NamedTuple):
    place: str
    manner: str
    rounding: float = 0.0


_VOWELS = {
    **{"IY": _Vowel(0, 1, 0), "IH": _Vowel(1 / 6, 0.8, 0), "EH": _Vowel(2 / 3, 1, 0), "AE": _Vowel(5 / 6, 1, 0)},
    **{"AA": _Vowel(1, 0, 0), "AH": _Vowel(2 / 3, 0.4, 0), "AO": _Vowel(2 / 3, 0, 0.6), "ER": _Vowel(0.5, 0.5, 0.4)},
    **{"UH": _Vowel(1 / 6, 0.2, 0.6), "UW": _Vowel(0, 0.1, 1)},
}
_CONSONANTS = {
    **{"P": _Consonant("bilabial", "stop"), "B": _Consonant("bilabial", "stop"), "M": _Consonant("bilabial", "nasal")},
    **{"F": _Consonant("labiodental", "fricative"), "V": _Consonant("labiodental", "fricative")},
    **{"TH": _Consonant("dental", "fricative"), "DH": _Consonant("dental", "fricative")},
    **{"T": _Consonant("alveolar", "stop"), "D": _Consonant("alveolar", "stop"), "N": _Consonant("alveolar", "nasal")},
    **{"S": _Consonant("alveolar", "sibilant"), "Z": _Consonant("alveolar", "sibilant")},
    **{"L": _Consonant("alveolar", "approximant"), "R": _Consonant("postalveolar", "approximant", 0.6)},
    **{name: _Consonant("postalveolar", "sibilant", 0.7) for name in ("SH", "ZH", "CH", "JH")},
    **{"Y": _Consonant("palatal", "approximant"), "W": _Consonant("velar", "approximant", 1.0)},
    **{"K": _Consonant("velar", "stop"), "G": _Consonant("velar", "stop"), "NG": _Consonant("velar", "nasal")},
    "HH": _Consonant("glottal", "fricative"),
}
_JAW_OF_MANNER = {  # mm and dominance
    **{"sibilant": (0.5, 0.9), "stop": (1.6, 0.5), "nasal": (2.0, 0.45), "fricative": (1.8, 0.5)},
    "approximant": (2.6, 0.35),
}
_TIP_OF_PLACE = {  # height and front, mm, and dominance: how far the tip goes up and forward for each place
    **{"dental": (5.0, 9.0, 0.9), "alveolar": (11.0, 3.0, 0.95), "postalveolar": (8.0, -2.0, 0.8)},
    **{"palatal": (1.0, 2.0, 0.4), "velar": (-3.0, -5.0, 0.25)},
}
_FREE = 0.06  # dominance on an articulator that a phoneme leaves to its neighbours

# How long dominance takes to fall to 1/e before and behind a segment's middle, as multiples of the speaker's width.
_AHEAD, _BEHIND = 2.6, 1.4
_EDGE_S = 0.04  # at either end of a segment, where its dominance has begun to fall


def _vowel(v: _Vowel) -> list[tuple[float, float]]:
    """Targets in mm with dominances: jaw, aperture, protrusion, spread, tip height, tip front."""
    return [
        (1.5 + 6.0 * v.openness, 0.45 + 0.25 * v.openness),
        ((5.5 + 10.0 * v.openness) * (1 - 0.5 * v.rounding), 0.6),
        (6.0 * v.rounding, 0.3 + 0.45 * v.rounding),
        (4.0 * v.frontness * (1 - v.openness) - 5.0 * v.rounding, 0.35 + 0.3 * v.rounding),
        (1.5 * v.frontness - 4.0 * v.openness, 0.35),
        (7.0 * (v.frontness - 0.65), 0.35),
    ]


def _consonant(c: _Consonant) -> list[tuple[float, float]]:
    jaw, firm = (2.0, 0.45) if c.place == "bilabial" else _JAW_OF_MANNER[c.manner]
    if c.place == "glottal":  # no articulator of the mouth is asked for anything
        return [(3.0, _FREE), (7.0, _FREE), *[(0.0, _FREE)] * 4]
    lips = {"bilabial": (-4.5, 1.0), "labiodental": (1.8, 0.9)}.get(
        c.place, ((3.0 + 1.2 * jaw) * (1 - 0.55 * c.rounding), 0.35 + 0.5 * c.rounding)
    )
    protrusion = (-1.2, 0.45) if c.place == "labiodental" else (6.0 * c.rounding, 0.15 + 0.65 * c.rounding)
    height, front, tip = _TIP_OF_PLACE.get(c.place, (0.0, 0.0, _FREE))
    spread = (3.0 if c.place == "palatal" else -5.0 * c.rounding, 0.15 + 0.6 * c.rounding)
    return [(jaw, firm), lips, protrusion, spread, (height, tip), (front, 0.85 * tip)]


def _rules() -> tuple[np.ndarray, np.ndarray]:
    """Apply the rules to all phonemes: millimetres and dominances, (phonemes, channels) each."""
    rest = [(1.0, 0.15), (2.0, 0.2), *[(0.0, 0.1)] * 4]
    rows = []
    for name in PHONEMES:
        nucleus = DIPHTHONGS.get(name, (name,))[0]
        if nucleus == SILENCE:
            rows.append(rest)
        else:
            rows.append(_vowel(_VOWELS[nucleus]) if nucleus in _VOWELS else _consonant(_CONSONANTS[nucleus]))
    full = np.array(rows)
    return full[:, :, 0], full[:, :, 1]


TARGETS_MM, DOMINANCE = _rules()


def blend(gestures: Gestures, frames: int, speaker: SpeakerArticulation, rng: np.random.Generator) -> np.ndarray:
    """Blend the gestures' targets by exponential dominance: (frames, channels) in mm."""
    count, channels = gestures.targets_mm.shape
    config = speaker.config
    # Segments of 80 ms and less have one middle; what is held longer dominates while it is held.
    inner = np.minimum((gestures.end_s - gestures.start_s) / 2, _EDGE_S)
    shift = 1e-3 * config.timing_sd_ms * rng.standard_normal((3, count)) - speaker.lead_s[:, None]
    begin, end = (gestures.start_s + inner + shift)[:, None], (gestures.end_s - inner + shift)[:, None]
    scale = speaker.width_s[:, None] * np.exp(config.width_sd * rng.standard_normal((3, count)))
    strength = DOMINANCE[gestures.index] * np.exp(0.2 * rng.standard_normal((count, channels)))
    time = (np.arange(frames) / RATE_HZ)[:, None]
    fall = np.maximum(np.maximum((begin - time) / _AHEAD, (time - end) / _BEHIND), 0.0) / scale[:, None]
    # The nearest segment of each frame falls by nothing: the quotient stays defined however far all of them are.
    pull = np.exp(fall.min(axis=2, keepdims=True) - fall)
    blended = np.empty((frames, channels))
    for group in range(3):
        own = group == GROUP
        weight = strength[:, own]
        blended[:, own] = (pull[group] @ (weight * gestures.targets_mm[:, own])) / (pull[group] @ weight)
    return blended
