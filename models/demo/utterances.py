"""What callers say, drawn at random from the data of `dialogue.py`, `rules.py`, `functions.py`, `phrases.py` and `unknown.py`.

Everything is drawn from a `random.Random`, so a seed gives the same on any machine.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from models.demo import dialogue, functions, rules, unknown
from models.demo.phrases import PHRASES

FIXED = {kind.name: kind for kind in dialogue.KINDS}
UNFINISHED = "unfinished"
LONGEST = 14  # digits in a row: two more than are promised, because what is longest is drawn, and so learnt, least
WORDLESS = ("noise", "foreign", "silence")  # kinds without English words
_GROUP = re.compile(r"\(([^()]*)\)")
_LISTS = {
    "{noun}": unknown.NOUNS,
    "{verb}": unknown.VERBS,
    "{adjective}": unknown.ADJECTIVES,
    "{name}": unknown.NAMES,
    "{place}": unknown.PLACES,
}
_ANY = (*unknown.NOUNS, *unknown.VERBS, *unknown.ADJECTIVES, *unknown.NAMES, *unknown.PLACES, *unknown.COMMON)
_FIRST = ("the", "a", "my", "and", "one", "two", "three", "now", "some", "every")  # of words without a meaning together


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a caller says: spoken words, and the numbers and the name among them where the answer needs those."""

    kind: str
    words: str
    numbers: tuple[int, ...] = ()
    value: str = ""

    @property
    def over(self) -> bool:
        """Whether the caller has finished. A telephone number may stop too early and still be read back."""
        short = self.kind == "phone" and len(self.numbers) < rules.PHONE_SHORTEST
        return self.kind != UNFINISHED and not short


def expand(pattern: str, rng: Random) -> str:
    """Draw one wording of a pattern; white space at its ends stays."""
    while match := _GROUP.search(pattern):
        pattern = pattern[: match.start()] + rng.choice(match[1].split("|")) + pattern[match.end() :]
    return re.sub(r"  +", " ", pattern)


def fill(sentence: str, rng: Random) -> str:
    """Put drawn words for the names of lists, each time anew."""
    for name, words in _LISTS.items():
        while name in sentence:
            sentence = sentence.replace(name, rng.choice(words), 1)
    return sentence


def spell(numbers: Sequence[int]) -> str:
    return " ".join(rules.NUMBERS[n] for n in numbers)


def draw_utterance(group: str, rng: Random, shortest: int = 1) -> Utterance:
    """Draw an utterance of one group of a `Mix`, or of one fixed kind by its name; strings have at least so many digits."""
    if group in _DRAWS:
        return _DRAWS[group](group, rng, shortest)
    kind = FIXED.get(group) or rng.choices(dialogue.KINDS, [k.weight for k in dialogue.KINDS])[0]
    return Utterance(kind.name, _prefixed(_wording(rng.choice(kind.asks), rng), rng, 0.12))


def _digits(group: str, rng: Random, shortest: int) -> Utterance:
    digits = draw_digits(rng, draw_count(rng, shortest))
    words = _wording(_some(rules.DIGIT_ASKS, rng, first=0.7), rng).replace("{d}", spell(digits))
    return Utterance(group, _prefixed(words, rng, 0.05), digits)


def _phone(group: str, rng: Random, _shortest: int) -> Utterance:
    digits = draw_digits(rng, _phone_count(rng))
    words = _wording(rng.choice(rules.PHONE_ASKS), rng).replace("{d}", spell(digits))
    return Utterance(group, _prefixed(words, rng, 0.05), digits)


def _correction(group: str, rng: Random, _shortest: int) -> Utterance:
    place, digit = rng.choice(list(rules.PLACES)), rng.randrange(10)
    words = _wording(rng.choice(rules.CORRECTION_ASKS), rng)
    return Utterance(group, words.replace("{o}", place).replace("{n}", spell([digit])), (digit,), place)


def _back(group: str, rng: Random, _shortest: int) -> Utterance:
    asks = rules.REPEAT_ASKS if group == "repeat" else rules.RECALL_ASKS
    return Utterance(group, _prefixed(_wording(rng.choice(asks), rng), rng, 0.1))


def _unclear(group: str, rng: Random, _shortest: int) -> Utterance:
    return Utterance(group, " ".join(fill(expand(rng.choice(unknown.SENTENCES), rng), rng).split()))


def _speech(group: str, rng: Random, _shortest: int) -> Utterance:
    return Utterance(group, " ".join((rng.choice(_FIRST), *(rng.choice(_ANY) for _ in range(rng.randint(1, 8))))))


def _function(group: str, rng: Random, _shortest: int) -> Utterance:
    words, numbers, value = functions.fill(_wording(rng.choice(functions.ASKS[group]), rng), group, rng)
    return Utterance(group, _prefixed(words, rng, 0.1), numbers, value)


def _calculation(group: str, rng: Random, _shortest: int) -> Utterance:
    """Draw a sum or a difference in which nothing is above LARGEST, half of them of two digits."""
    most = 9 if rng.random() < 0.5 else rules.LARGEST
    if group == "sum":
        a = rng.randint(0, most)
        b = rng.randint(0, min(most, rules.LARGEST - a))
    else:
        a = rng.randint(0, most)
        b = rng.randint(0, a)
    asks = rules.SUM_ASKS if group == "sum" else rules.DIFFERENCE_ASKS
    words = _wording(_some(asks, rng, first=0.4), rng).replace("{a}", spell([a])).replace("{b}", spell([b]))
    return Utterance(group, _prefixed(words, rng, 0.05), (a, b))


def draw_count(rng: Random, shortest: int) -> int:
    """Draw how many digits a string has: few more often, where it may be short."""
    draws = 2 if shortest == 1 and rng.random() < 0.4 else 1
    return min(rng.randint(shortest, LONGEST) for _ in range(draws))


def _phone_count(rng: Random) -> int:
    share = rng.random()
    if share < 0.7:
        return rules.PHONE_DIGITS
    return rng.choice((7, 8, 9, 11, 12)) if share < 0.85 else rng.randint(1, rules.PHONE_SHORTEST - 1)


def draw_digits(rng: Random, count: int) -> tuple[int, ...]:
    """Draw so many digits; doubled ones, which are the hardest to copy, more often than chance."""
    digits: list[int] = []
    for _ in range(count):
        doubled = digits and rng.random() < 0.15
        digits.append(digits[-1] if doubled else rng.randrange(10))
    return tuple(digits)


def break_off(utterance: Utterance, words: int) -> Utterance:
    """Keep the first words of an utterance; it is unfinished unless that is all of them."""
    spoken = utterance.words.split()
    if words >= len(spoken):
        return utterance
    return Utterance(UNFINISHED, " ".join(spoken[:words]))


def draw_break(utterance: Utterance, rng: Random) -> int:
    """Draw after how many words a caller may pause; within a telephone number often where a group of digits ends."""
    words, digits = len(utterance.words.split()), len(utterance.numbers)
    if utterance.kind == "phone" and digits > 6 and rng.random() < 0.6:
        return words - digits + rng.choice((3, 6))
    return rng.randrange(1, words)


def typed(utterance: Utterance, rng: Random) -> str:
    """Write spoken words as someone might type them: capitals, punctuation, digits for number words."""
    words = utterance.words
    if rng.random() < 0.3:
        names = {name: str(value) for value, name in enumerate(rules.NUMBERS)}
        words = " ".join(names.get(word, word) for word in words.split())
        words = words.replace(" plus ", " + ").replace(" minus ", " - ") if rng.random() < 0.5 else words
    if rng.random() < 0.6:
        words = words[:1].upper() + words[1:]
    return words + rng.choice(("", "", ".", "?", "!"))


def _wording(pattern: str, rng: Random) -> str:
    return expand(pattern, rng).strip()


def _some(patterns: Sequence[str], rng: Random, first: float) -> str:
    """Draw the first pattern with probability `first`, else any."""
    return patterns[0] if rng.random() < first else rng.choice(patterns)


def _prefixed(words: str, rng: Random, share: float) -> str:
    return f"{rng.choice(rules.PREFIXES)} {words}" if rng.random() < share else words


_DRAWS: Mapping[str, Callable[[str, Random, int], Utterance]] = {
    "digits": _digits,
    "phone": _phone,
    "correction": _correction,
    **dict.fromkeys(("sum", "difference"), _calculation),
    "unclear": _unclear,
    **dict.fromkeys(("repeat", "recall"), _back),
    "phrase": lambda group, rng, _shortest: Utterance(group, rng.choice(list(PHRASES))),
    "speech": _speech,
    **dict.fromkeys(functions.KNOWN, _function),
    **dict.fromkeys(WORDLESS, lambda group, _rng, _shortest: Utterance(group, "")),
}
