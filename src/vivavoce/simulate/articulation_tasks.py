"""The family ``tasks``: gestures of a score drive critically damped springs (task dynamics).

After Saltzman & Munhall 1989 (Ecological Psychology 1:333) and Browman & Goldstein 1992 (Phonetica 49): a phoneme is a
few gestures, each with a target and an interval in which it is active; the task variable moves towards it like a
critically damped mass and spring, and towards its neutral place when no gesture is active. What a phoneme does not
name it leaves alone: unrounded vowels have no gesture of the lips, whose opening then follows the jaw; rounded ones do.

Vowels and consonants are produced together on two tiers (Öhman 1967, JASA 41:310): vowels follow each other as slow
springs, and a consonant's faster gesture takes over while it is active, beginning before its sound and let go as the
sound ends. The stiffness is that of the tiers in computed gestural scores (vowels about 5 Hz, consonants about 8 Hz;
Nam, Goldstein, Saltzman & Byrd 2004, "TADA", JASA 115:2430), and lips are quicker than the jaw that carries them.
"""

import numpy as np
from scipy.signal import lfilter

from vivavoce.simulate.articulation_config import GROUP, Gestures, SpeakerArticulation
from vivavoce.simulate.motion import RATE_HZ
from vivavoce.simulate.phonemes import DIPHTHONGS, PHONEMES, SILENCE, VOWELS

_NEUTRAL_MM = (1.2, 2.0, 0.0, 0.0, 0.0, 0.0)
# The jaw's place for the tongue body's constriction of each vowel: narrow ones at the palate and the velum need it
# high, wide ones and those in the pharynx low (Wood 1979, J. Phonetics 7: places and degrees of constriction).
_JAW = {"IY": 2.2, "UW": 2.4, "IH": 3.3, "UH": 3.2, "ER": 3.6, "EH": 4.9, "AH": 4.6, "AO": 5.2, "AE": 6.6, "AA": 7.4}
_LIPS = {"UW": (3.8, 5.5), "UH": (5.6, 3.2), "AO": (7.5, 3.4), "ER": (6.4, 2.6)}  # opening, protrusion of rounded ones
_OPENING_OF_JAW = (2.0, 1.85)  # mm at a closed jaw, and more for each mm of it
_SPREAD_OF_PROTRUSION = -0.85  # the corners come in as the lips go forward
# Gestures of consonants: (channel, mm), channels in the order of targets.CHANNELS.
_LABIAL = ((0, 2.2), (1, -6.0))
_DENTAL = ((0, 1.6), (1, 1.4), (2, -1.4))
_PALATAL = ((0, 0.6), (1, 5.2), (2, 4.6), (3, -1.8), (4, 8.6), (5, -1.4))
_CORONAL = ((0, 1.6), (4, 11.5), (5, 2.6))
_CONSONANTS: dict[str, tuple[tuple[int, float], ...]] = {
    **dict.fromkeys(("P", "B", "M"), _LABIAL),
    **dict.fromkeys(("F", "V"), _DENTAL),
    **dict.fromkeys(("SH", "ZH", "CH", "JH"), _PALATAL),
    **dict.fromkeys(("T", "D", "N"), _CORONAL),
    **dict.fromkeys(("S", "Z"), ((0, 0.3), (1, 4.0), (4, 9.4), (5, 3.4))),
    **dict.fromkeys(("TH", "DH"), ((0, 1.9), (4, 5.2), (5, 9.2))),
    **dict.fromkeys(("K", "G", "NG"), ((0, 2.8), (5, -4.5))),
    **{"L": ((0, 3.0), (4, 11.0), (5, 3.2)), "R": ((1, 5.6), (2, 3.8), (3, -3.0), (4, 6.0), (5, -5.0))},
    **{"W": ((1, 2.4), (2, 6.2), (3, -5.2)), "Y": ((0, 2.0), (3, 3.2)), "HH": ()},
}
# Natural frequencies, Hz, of jaw, aperture, protrusion, spread and tongue tip (twice), for vowels and consonants.
_VOWEL_HZ = np.array([4.2, 4.8, 4.2, 4.2, 5.0, 5.0])
_CONSONANT_HZ = np.array([5.6, 6.6, 5.2, 5.2, 7.5, 7.5])
# A critically damped spring has gone 90 % of its way after 3.9 of its time constants (1 / (2 pi f)). So much before
# its sound a gesture begins, as a share of that time, and so much before the sound's end a consonant lets go.
_SETTLE = 3.9
_AHEAD = {"vowel": 0.75, "consonant": 0.55}
_RELEASE = 0.6
_SHORTEST_S = 0.06  # a gesture that is active for less does not reach the contact that its sound is made by
_NOMINAL_WIDTH_S = 0.0205  # ArticulationConfig.width_ms, middle: a speaker of wider gestures has softer springs


def _scores() -> tuple[np.ndarray, np.ndarray]:
    """Targets in mm, and how firm a phoneme's gestures are, 0 where it has none: (phonemes, channels) each."""
    targets = np.tile(np.array(_NEUTRAL_MM), (len(PHONEMES), 1))
    firm = np.zeros_like(targets)
    for row, name in enumerate(PHONEMES):
        nucleus = DIPHTHONGS.get(name, (name,))[0]
        if nucleus in _JAW:
            opening, protrusion = _LIPS.get(nucleus, (_OPENING_OF_JAW[0] + _OPENING_OF_JAW[1] * _JAW[nucleus], 0.0))
            spread = _SPREAD_OF_PROTRUSION * protrusion + (3.0 if nucleus in ("IY", "IH") else 0.0)
            tip = 2.0 - 1.0 * _JAW[nucleus], 2.0 if nucleus in ("IY", "IH", "EH", "AE") else -4.0
            targets[row], firm[row] = (_JAW[nucleus], opening, protrusion, spread, *tip), 0.5
        for channel, value in _CONSONANTS.get(nucleus, ()):
            targets[row, channel], firm[row, channel] = value, 1.0
    return targets, firm


TARGETS_MM, DOMINANCE = _scores()
_IS_VOWEL = np.array([name in VOWELS or name == SILENCE for name in PHONEMES])


def blend(gestures: Gestures, frames: int, speaker: SpeakerArticulation, rng: np.random.Generator) -> np.ndarray:
    """Let the score's gestures move the springs: (frames, channels) in mm."""
    count = len(gestures.index)
    config = speaker.config
    jitter = 1e-3 * config.timing_sd_ms * rng.standard_normal((3, count))
    stiff = np.exp(config.width_sd * rng.standard_normal((2, len(_VOWEL_HZ))))
    time = np.arange(frames) / RATE_HZ
    vowel = _IS_VOWEL[gestures.index]
    moved, jaw_alone = np.empty((frames, len(_VOWEL_HZ))), np.zeros(frames)
    for channel, group in enumerate(GROUP):
        pace = speaker.width_s[group] / _NOMINAL_WIDTH_S
        slow, fast = 2 * np.pi * np.array([_VOWEL_HZ[channel], _CONSONANT_HZ[channel]]) * stiff[:, channel] / pace
        early = jitter[group] - speaker.lead_s[group]
        targets = gestures.targets_mm[:, channel]
        own = ~vowel & (DOMINANCE[gestures.index, channel] > 0)
        rest = _NEUTRAL_MM[channel]
        carried = _vowels(time, (gestures.start_s + early)[vowel], targets[vowel], slow, rest)
        if channel == 1:
            carried = carried + _OPENING_OF_JAW[1] * jaw_alone
        begin = gestures.start_s[own] + early[own] - _AHEAD["consonant"] * _SETTLE / fast
        end = np.maximum(gestures.end_s[own] + early[own] - _RELEASE * _SETTLE / fast, begin + _SHORTEST_S)
        active = ((time[:, None] >= begin) & (time[:, None] < end)).astype(np.float64)  # (frames, gestures)
        sharing = np.maximum(active.sum(axis=1), 1.0)
        taken = _spring(active.sum(axis=1) / sharing, fast)
        moved[:, channel] = (1.0 - taken) * carried + _spring(active @ targets[own] / sharing, fast)
        if channel == 0:
            jaw_alone = moved[:, 0] - carried  # what consonants do to the jaw takes the lips along
    return moved


def _vowels(time: np.ndarray, start_s: np.ndarray, targets_mm: np.ndarray, rate: float, rest_mm: float) -> np.ndarray:
    """Follow the vowels (and the rest of pauses) from one to the next, (frames,) in mm; without any the rest."""
    if not len(start_s):
        return np.full(len(time), rest_mm)
    begin = np.maximum.accumulate(start_s - _AHEAD["vowel"] * _SETTLE / rate)
    return _spring(targets_mm[np.maximum(np.searchsorted(begin, time, side="right") - 1, 0)], rate)


def _spring(drive: np.ndarray, rate: float) -> np.ndarray:
    """Answer of a critically damped spring, at rest at first, to ``drive`` (frames,): two equal poles at ``rate``/s."""
    pole = float(np.exp(-rate / RATE_HZ))
    for _ in range(2):
        drive = lfilter([1.0 - pole], [1.0, -pole], drive, zi=[pole * drive[0]])[0]
    return drive
