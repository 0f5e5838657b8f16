"""One set of phones for every synthesiser: the labels that the encoder is taught.

espeak-ng names vowels by accent and marks stress; flite uses ARPAbet. Both are folded into some forty labels, because
the encoder has only to tell words apart.
"""

from functools import cache

_NAMES = """
    _ p b t d k g tS dZ f v T D s z S Z h m n N l r w j
    i: I E a A: 0 O: U u: V 3: @ eI aI oU aU OI e@ i@
"""
PHONES = tuple(_NAMES.split())
SILENCE = 0
UNLABELLED = 255
_INDEX = {name: index for index, name in enumerate(PHONES)}
_ESPEAK = {
    "@2": "@", "@5": "@", "@-": "@", "a#": "@", "3": "3:", "VR": "3:", "IR": "3:", "I2": "I", "I#": "I", "i": "i:",
    "aa": "a", "A@": "A:", "O@": "O:", "o@": "O:", "O2": "0", "U@": "U", "u": "u:", "aI2": "aI", "aI3": "aI", "aI@": "aI",
    "i@3": "i@", "@L": "l", "t[": "t", "t#": "t", "t2": "t", "?": "t", "r-": "r", "w#": "w", "n-": "n", ";": "j", "e": "E",
    "o": "oU", "x": "k", "C": "h", "d#": "d", "l#": "l", "z#": "z", "s#": "s", "aU@": "aU", "oU#": "oU", "I@": "i@", "E2": "E",
}  # fmt: skip
_ARPABET = {
    "pau": "_", "aa": "A:", "ae": "a", "ah": "V", "ao": "O:", "aw": "aU", "ax": "@", "ay": "aI", "ch": "tS", "dh": "D",
    "eh": "E", "er": "3:", "ey": "eI", "hh": "h", "ih": "I", "iy": "i:", "jh": "dZ", "ng": "N", "ow": "oU", "oy": "OI",
    "sh": "S", "th": "T", "uh": "U", "uw": "u:", "y": "j", "zh": "Z",
}  # fmt: skip


@cache
def from_espeak(name: str) -> int:
    """Give the label of an espeak-ng phone; UNLABELLED for one that English does not have."""
    plain = name.lstrip("',%=")
    if plain.startswith("_"):
        return SILENCE
    return _INDEX.get(_ESPEAK.get(plain, plain), UNLABELLED)


@cache
def from_arpabet(name: str) -> int:
    return _INDEX.get(_ARPABET.get(name, name), UNLABELLED)
