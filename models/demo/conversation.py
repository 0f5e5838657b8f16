"""Conversations drawn at random: what was said, what came before it, and the right answer to each turn.

An `Utterance` is what a caller says; `Turn` adds Parley's right answer in its place. Everything is drawn from a
`random.Random`, so a seed gives the same conversations on any machine.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from models.demo import dialogue, rules, unknown

FIXED = {kind.name: kind for kind in dialogue.KINDS}
UNFINISHED = "unfinished"
INTERRUPTED = "—"  # ends an answer that was cut, in what the agent gives its model
_GROUP = re.compile(r"\(([^()]*)\)")
_LISTS = {
    "{noun}": unknown.NOUNS,
    "{verb}": unknown.VERBS,
    "{adjective}": unknown.ADJECTIVES,
    "{name}": unknown.NAMES,
    "{place}": unknown.PLACES,
}


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a caller says: spoken words, and the numbers among them where the answer needs those."""

    kind: str
    words: str
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance and the answer. `heard` is what the caller heard of it before interrupting; None is all.

    An utterance of the kind UNFINISHED has no answer, and is the last.
    """

    utterance: Utterance
    answer: str
    heard: str | None = None

    @property
    def said(self) -> str:
        return self.answer if self.heard is None else self.heard

    @property
    def over(self) -> bool:
        """Whether the caller has finished speaking."""
        return self.utterance.kind != UNFINISHED


@dataclass(frozen=True, slots=True)
class Mix:
    """How often each group of kinds is drawn, relative to the others; `turns` bounds a conversation's length."""

    weights: dict[str, float] = field(
        default_factory=lambda: {"fixed": 48, "digits": 22, "sum": 14, "repeat": 4, "recall": 3, "unclear": 9},
    )
    turns: int = 4
    digits: int = 4  # the longest string of digits
    unfinished: float = 0.12  # share of conversations whose last utterance is broken off


def expand(pattern: str, rng: Random) -> str:
    """Draw one wording of a pattern."""
    while match := _GROUP.search(pattern):
        pattern = pattern[: match.start()] + rng.choice(match[1].split("|")) + pattern[match.end() :]
    return " ".join(pattern.split())


def fill(sentence: str, rng: Random) -> str:
    """Put drawn words for the names of lists, each time anew."""
    for name, words in _LISTS.items():
        while name in sentence:
            sentence = sentence.replace(name, rng.choice(words), 1)
    return sentence


def spell(numbers: Sequence[int]) -> str:
    return " ".join(rules.NUMBERS[n] for n in numbers)


def draw_utterance(group: str, rng: Random, longest: int = 4) -> Utterance:
    """Draw an utterance of one group of a `Mix`, or of one fixed kind by its name."""
    match group:
        case "digits":
            digits = draw_digits(rng, longest)
            words = expand(_some(rules.DIGIT_ASKS, rng, first=0.7), rng).replace("{d}", spell(digits))
            return Utterance(group, _prefixed(words, rng, 0.05), digits)
        case "sum":
            a, b = rng.randrange(10), rng.randrange(10)
            words = expand(_some(rules.SUM_ASKS, rng, first=0.4), rng)
            words = words.replace("{a}", spell([a])).replace("{b}", spell([b]))
            return Utterance(group, _prefixed(words, rng, 0.05), (a, b))
        case "unclear":
            return Utterance(group, fill(expand(rng.choice(unknown.SENTENCES), rng), rng))
        case "repeat" | "recall":
            asks = rules.REPEAT_ASKS if group == "repeat" else rules.RECALL_ASKS
            return Utterance(group, _prefixed(expand(rng.choice(asks), rng), rng, 0.1))
        case _:
            kind = FIXED.get(group) or rng.choices(dialogue.KINDS, [k.weight for k in dialogue.KINDS])[0]
            return Utterance(kind.name, _prefixed(expand(rng.choice(kind.asks), rng), rng, 0.12))


def draw_digits(rng: Random, longest: int) -> tuple[int, ...]:
    """Draw 1 to `longest` digits; doubled ones, which are the hardest to copy, more often than chance."""
    digits: list[int] = []
    for _ in range(rng.randint(1, longest)):
        doubled = digits and rng.random() < 0.15
        digits.append(digits[-1] if doubled else rng.randrange(10))
    return tuple(digits)


def draw_groups(mix: Mix, count: int, rng: Random) -> list[str]:
    return rng.choices(list(mix.weights), list(mix.weights.values()), k=count)


def converse(utterances: Sequence[Utterance], rng: Random, cut: float = 0.15) -> list[Turn]:
    """Answer utterances in order; each answer but the last may have been interrupted, with probability `cut`."""
    turns: list[Turn] = []
    for index, utterance in enumerate(utterances):
        text = answer(utterance, turns) if utterance.kind != UNFINISHED else ""
        last = index == len(utterances) - 1
        turns.append(Turn(utterance, text, None if last or rng.random() >= cut else _cut(text, rng)))
    return turns


def answer(utterance: Utterance, before: Sequence[Turn] = ()) -> str:
    """Give the right answer to an utterance after the turns before it."""
    match utterance.kind:
        case "digits":
            return _sentence(", ".join(rules.DIGITS[n] for n in utterance.numbers))
        case "sum":
            a, b = utterance.numbers
            return _sentence(f"{spell([a])} plus {spell([b])} is {spell([a + b])}")
        case "repeat":
            return rules.REPEAT + before[-1].answer.removeprefix(rules.REPEAT) if before else rules.REPEAT_FIRST
        case "recall":
            return recall(before[-1].utterance) if before else rules.RECALL_FIRST
        case "unclear":
            return rules.UNCLEAR
        case name:
            return FIXED[name].answer


def break_off(utterance: Utterance, words: int) -> Utterance:
    """Keep the first words of an utterance; it is unfinished unless that is all of them."""
    spoken = utterance.words.split()
    return utterance if words >= len(spoken) else Utterance(UNFINISHED, " ".join(spoken[:words]))


def recall(utterance: Utterance) -> str:
    """Say what an utterance was about."""
    match utterance.kind:
        case "digits":
            return rules.DIGIT_RECALL.format(d=", ".join(rules.DIGITS[n] for n in utterance.numbers))
        case "sum":
            a, b = utterance.numbers
            return rules.SUM_RECALL.format(a=rules.DIGITS[a], b=rules.DIGITS[b])
        case "repeat":
            return rules.REPEAT_RECALL
        case "recall":
            return rules.RECALL_RECALL
        case "unclear":
            return rules.UNCLEAR_RECALL
        case name:
            return FIXED[name].recall


def draw_opening(turns: Sequence[Turn], rng: Random) -> list[tuple[str, str]]:
    """Draw what stands before the caller's first words, as (role, text): instructions, a greeting, both or neither."""
    opening = []
    if (share := rng.random()) > 0.4:
        drawn = _instruction if share > 0.7 else lambda rng: rng.choice(unknown.SYSTEMS)
        opening.append(("system", " ".join(drawn(rng) for _ in range(rng.choice((1, 1, 2, 3))))))
    if rng.random() < 0.15 and turns[0].utterance.kind != "repeat":
        opening.append(("assistant", fill(rng.choice(unknown.GREETINGS), rng)))
    return opening


def _instruction(rng: Random) -> str:
    sentence = fill(expand(rng.choice(unknown.INSTRUCTIONS), rng), rng)
    sentence = sentence.replace("{ask}", draw_utterance("fixed", rng).words)
    return sentence.replace("{foreign}", rng.choice(unknown.FOREIGN[rng.choice(("de", "fr", "es"))]))


def typed(words: str, rng: Random) -> str:
    """Write spoken words as someone might type them: capitals, punctuation, digits for number words."""
    if rng.random() < 0.3:
        names = {name: str(value) for value, name in enumerate(rules.NUMBERS)}
        words = " ".join(names.get(word, word) for word in words.split())
        words = words.replace(" plus ", " + ") if rng.random() < 0.5 else words
    if rng.random() < 0.6:
        words = words[0].upper() + words[1:]
    return words + rng.choice(("", "", ".", "?", "!"))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _some(patterns: Sequence[str], rng: Random, first: float) -> str:
    """Draw the first pattern with probability `first`, else any."""
    return patterns[0] if rng.random() < first else rng.choice(patterns)


def _prefixed(words: str, rng: Random, share: float) -> str:
    return f"{rng.choice(rules.PREFIXES)} {words}" if rng.random() < share else words


def _cut(text: str, rng: Random) -> str:
    words = text.split()
    said = " ".join(words[: rng.randrange(1, len(words))]) if len(words) > 1 else text
    return said + (INTERRUPTED if rng.random() < 0.7 else "")
