"""A rough pronunciation of an English word that no dictionary holds, from its letters."""

# Longest match first. Letter-to-sound by the commonest value of each spelling (Elovitz et al. 1976, NRL rules, in
# the small): good enough to time the gestures of a name between words that are known.
_SPELLINGS: dict[str, str] = {
    **{"tion": "SH AH N", "sion": "ZH AH N", "ight": "AY T", "ough": "AO", "eigh": "EY", "tch": "CH", "sch": "SH"},
    **{"igh": "AY", "dge": "JH", "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "wh": "W", "ck": "K", "ng": "NG"},
    **{"qu": "K W", "kn": "N", "wr": "R", "gh": "G", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW"},
    **{"ai": "EY", "ay": "EY", "oa": "OW", "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO", "ew": "UW", "ie": "IY"},
    **{"ei": "EY", "ey": "IY", "ue": "UW", "ar": "AA R", "er": "ER", "ir": "ER", "ur": "ER", "or": "AO R"},
    **{"ce": "S", "ci": "S IH", "cy": "S IY", "ge": "JH", "bb": "B", "cc": "K", "dd": "D", "ff": "F", "gg": "G"},
    **{"ll": "L", "mm": "M", "nn": "N", "pp": "P", "rr": "R", "ss": "S", "tt": "T", "zz": "Z", "a": "AE", "b": "B"},
    **{"c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K", "l": "L"},
    **{"m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V"},
    **{"w": "W", "x": "K S", "y": "IY", "z": "Z"},
}
_LONGEST = max(map(len, _SPELLINGS))


def pronounce(word: str) -> list[str]:
    """Spell ``word`` (ASCII letters; other signs are skipped) into ARPAbet names; never empty."""
    rest = "".join(c for c in word.lower() if c.isascii() and c.isalpha())
    if len(rest) > 3 and rest.endswith("e") and rest[-2] not in "aeiou":
        rest = rest[:-1]  # a silent final e
    phones: list[str] = []
    while rest:
        length = next(n for n in range(min(_LONGEST, len(rest)), 0, -1) if rest[:n] in _SPELLINGS)
        phones += _SPELLINGS[rest[:length]].split()
        rest = rest[length:]
    return phones or ["AH"]
