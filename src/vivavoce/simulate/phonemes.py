"""The phonemes that drive the simulated mouth: ARPAbet without stress, and espeak-ng's mnemonics mapped to it."""

from dataclasses import dataclass

SILENCE = "SIL"

VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANTS = (
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N"),
    *("NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH"),
)
# The 39 phonemes of the CMU pronouncing dictionary (which pocketsphinx ships) and silence.
PHONEMES = (SILENCE, *VOWELS, *CONSONANTS)

# A diphthong is two vowel gestures (Browman & Goldstein 1992, Phonetica 49).
DIPHTHONGS = {
    "AW": ("AA", "UH"),
    "AY": ("AA", "IH"),
    "EY": ("EH", "IY"),
    "OW": ("AO", "UW"),
    "OY": ("AO", "IY"),
}
# The first vowel's share of a diphthong's time: its nucleus is longer than its glide (Gay 1968, JASA 44:1570).
NUCLEUS_SHARE = 0.6


@dataclass(frozen=True)
class Phone:
    """One phoneme in time: ARPAbet name without stress (``SIL`` for silence and noise), start and end in seconds."""

    name: str
    start_s: float
    end_s: float


# espeak-ng's mnemonics (`espeak-ng -x`; its docs/phonemes.md) of English; an r-coloured vowel becomes vowel + R.
_ESPEAK: dict[str, tuple[str, ...]] = {
    **{"p": ("P",), "b": ("B",), "t": ("T",), "d": ("D",), "k": ("K",), "g": ("G",), "m": ("M",), "n": ("N",)},
    **{"N": ("NG",), "f": ("F",), "v": ("V",), "T": ("TH",), "D": ("DH",), "s": ("S",), "z": ("Z",), "S": ("SH",)},
    **{"Z": ("ZH",), "h": ("HH",), "tS": ("CH",), "dZ": ("JH",), "l": ("L",), "l#": ("L",), "@L": ("AH", "L")},
    **{"r": ("R",), "r-": ("R",), "R": ("R",), "w": ("W",), "w#": ("W",), "j": ("Y",), "x": ("K",), "C": ("SH",)},
    **{"t#": ("D",), "t2": ("T",), "?": ("HH",), "n-": ("AH", "N"), "m-": ("AH", "M"), "*": ("D",), "z#": ("Z",)},
    **{"@": ("AH",), "@2": ("AH",), "@5": ("AH",), "a#": ("AH",), "I2": ("IH",), "I#": ("IH",), "i": ("IY",)},
    **{"I": ("IH",), "E": ("EH",), "E2": ("EH",), "E#": ("EH",), "a": ("AE",), "aa": ("AE",), "a2": ("AE",)},
    **{"A": ("AA",), "A:": ("AA",), "A#": ("AA",), "0": ("AA",), "02": ("AH",), "0#": ("AA",), "V": ("AH",)},
    **{"U": ("UH",), "u:": ("UW",), "u": ("UW",), "i:": ("IY",), "O": ("AO",), "O:": ("AO",), "O2": ("AO",)},
    **{"3:": ("ER",), "3": ("ER",), "@r": ("ER",), "IR": ("ER",), "VR": ("ER",), "eI": ("EY",), "e": ("EH",)},
    **{"aI": ("AY",), "aI2": ("AY",), "aI3": ("AY",), "aU": ("AW",), "OI": ("OY",), "oU": ("OW",), "oU#": ("OW",)},
    **{"@U": ("OW",), "i@": ("IY", "AH"), "i@3": ("IH", "R"), "e@": ("EH", "R"), "U@": ("UH", "R"), "A@": ("AA", "R")},
    **{"O@": ("AO", "R"), "o@": ("AO", "R"), "aI@": ("AY", "AH"), "aI@3": ("AY", "ER"), "aU@": ("AW", "ER")},
    **{"I@": ("IH", "R"), "EI": ("EY",), "o": ("AO",), "y": ("IY",)},
}


def espeak_to_arpabet(mnemonic: str) -> tuple[str, ...]:
    """Map one espeak-ng phoneme mnemonic to ARPAbet names; stress marks and pauses give an empty tuple or ``SIL``.

    An unknown mnemonic is read by its longest known beginning, since espeak marks variants by what it appends.
    """
    bare = mnemonic.lstrip("',%=").rstrip(";'")
    if bare.startswith("_"):
        return (SILENCE,)
    for length in range(len(bare), 0, -1):
        if bare[:length] in _ESPEAK:
            return _ESPEAK[bare[:length]]
    return ()
