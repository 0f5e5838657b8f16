"""Conversations drawn at random: what stands before them, what was said, and the right answer to each turn.

A `Setting` says what the model is there for; a `Turn` adds the right answer to an `Utterance` in its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from models.demo import functions, rules, unknown
from models.demo.functions import Function
from models.demo.phrases import (
    LANGUAGES,
    PHRASES,
    TRANSCRIBE_BEFORE,
    TRANSCRIBE_SYSTEMS,
    TRANSLATE_BEFORE,
    TRANSLATE_SYSTEMS,
)
from models.demo.utterances import (
    FIXED,
    WORDLESS,
    Utterance,
    break_off,
    draw_break,
    draw_digits,
    draw_utterance,
    expand,
    fill,
    spell,
)

TALK, TRANSCRIBE = "talk", "transcribe"
INTERRUPTED = "—"  # ends an answer that was cut, in what the agent gives its model
NOT_UNDERSTOOD = ("Sorry, I did not understand that.", "Pardon?", "I did not catch that.", rules.NOISE)
_TRANSLATED = {"phrase": 18, "unclear": 1, "noise": 0.5, "silence": 0.5}
_ASKED: Mapping[str, Mapping[str, float]] = {  # groups by task, where it is not talking
    TRANSCRIBE: {"unclear": 6, "speech": 6, "phrase": 4, "fixed": 4, "digits": 3, "phone": 1, "light": 1, "noise": 1},
    **dict.fromkeys(LANGUAGES, _TRANSLATED),
}

WEIGHTS: Mapping[str, float] = {
    "fixed": 36,
    "digits": 14,
    "phone": 8,
    "sum": 8,
    "difference": 8,
    "repeat": 4,
    "recall": 3,
    "unclear": 8,
    "noise": 1.5,
    "foreign": 1.5,
    "silence": 1,
    "time": 2,
    "date": 2,
    "timer": 4,
    "light": 4,
}
TASKS: Mapping[str, float] = {TALK: 74, TRANSCRIBE: 14, **dict.fromkeys(LANGUAGES, 6.0)}


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance and the answer, which may follow a function's call and result.

    `heard` is what the caller heard of the answer before interrupting; None is all. `noted` is the telephone number that
    the answer asks about. An utterance that is unfinished has no answer, and is the last.
    """

    utterance: Utterance
    answer: str
    heard: str | None = None
    call: str = ""
    result: str = ""
    noted: tuple[int, ...] = ()

    @property
    def said(self) -> str:
        return self.answer if self.heard is None else self.heard


@dataclass(frozen=True, slots=True)
class Setting:
    """What the model is there for (TALK, TRANSCRIBE, or a language to translate into), and how it is told.

    `opening` are messages before the caller's first words, as (role, text); `before` stands in each of the caller's
    messages; `functions` are offered.
    """

    task: str = TALK
    opening: tuple[tuple[str, str], ...] = ()
    before: str = ""
    functions: tuple[Function, ...] = ()


@dataclass(frozen=True, slots=True)
class Mix:
    """How often each group of kinds and each task is drawn; `shortest` bounds the strings of digits."""

    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    tasks: Mapping[str, float] = field(default_factory=lambda: TASKS)
    shortest: int = 1
    unfinished: float = 0.12  # share of conversations whose last utterance is broken off


def draw_conversation(mix: Mix, count: int, rng: Random) -> tuple[list[Turn], Setting]:
    """Draw a conversation of so many turns."""
    task = rng.choices(list(mix.tasks), list(mix.tasks.values()))[0]
    utterances = draw_utterances(mix, task, count, rng)
    words = len(utterances[-1].words.split())
    if words > 1 and rng.random() < mix.unfinished:
        utterances[-1] = break_off(utterances[-1], draw_break(utterances[-1], rng))
    setting = draw_setting(task, utterances, rng)
    return converse(utterances, setting, rng), setting


def draw_utterances(mix: Mix, task: str, count: int, rng: Random) -> list[Utterance]:
    """Draw what a caller says in a row; what follows a telephone number is mostly about it, and results are often asked for again."""
    weights = _ASKED.get(task, mix.weights)
    said: list[Utterance] = []
    for _ in range(count):
        follows = _follow(said, rng) if task == TALK else None
        said.append(follows or draw_utterance(rng.choices(list(weights), list(weights.values()))[0], rng, mix.shortest))
    return said


def _follow(said: Sequence[Utterance], rng: Random) -> Utterance | None:
    last = said[-1].kind if said else ""
    if last in ("phone", "correction") and rng.random() < 0.8:
        return draw_utterance(rng.choice(("yes", "no", "correction", "correction")), rng)
    if last in ("sum", "difference") and rng.random() < 0.25:  # only the answer holds the result
        return draw_utterance("repeat", rng)
    if last == "no" and any(utterance.kind == "phone" for utterance in said[-3:-1]) and rng.random() < 0.6:
        digits = draw_digits(rng, rules.PHONE_DIGITS)
        return Utterance("digits", spell(digits), digits)
    return None


def draw_setting(task: str, utterances: Sequence[Utterance], rng: Random) -> Setting:
    """Draw how the model is told what it is there for, and what it may call."""
    if task != TALK:
        before, systems = (
            (TRANSCRIBE_BEFORE, TRANSCRIBE_SYSTEMS) if task == TRANSCRIBE else (TRANSLATE_BEFORE, TRANSLATE_SYSTEMS)
        )
        by_system = rng.random() < 0.5
        told = expand(rng.choice(systems if by_system else before), rng).replace("{language}", task)
        return Setting(task, opening=(("system", told.strip()),)) if by_system else Setting(task, before=told)
    kinds = [utterance.kind for utterance in utterances]
    offers = rng.random() < (0.8 if set(kinds) & functions.KNOWN.keys() else 0.15)
    return Setting(
        opening=tuple(_draw_opening(kinds[0], rng)),
        functions=functions.offer(kinds, rng) if offers else (),
    )


def _draw_opening(first: str, rng: Random) -> list[tuple[str, str]]:
    """Draw instructions that change nothing, a greeting, both or neither."""
    opening = []
    if (share := rng.random()) > 0.4:
        drawn = _instruction if share > 0.7 else lambda rng: rng.choice(unknown.SYSTEMS)
        opening.append(("system", " ".join(drawn(rng) for _ in range(rng.choice((1, 1, 2, 3))))))
    if rng.random() < 0.15 and first != "repeat":
        opening.append(("assistant", fill(rng.choice(unknown.GREETINGS), rng)))
    return opening


def _instruction(rng: Random) -> str:
    sentence = fill(expand(rng.choice(unknown.INSTRUCTIONS), rng), rng)
    sentence = sentence.replace("{ask}", draw_utterance("fixed", rng).words)
    return sentence.replace("{foreign}", rng.choice(unknown.FOREIGN[rng.choice(("it", "fr", "pt"))])).strip()


def converse(utterances: Sequence[Utterance], setting: Setting, rng: Random, cut: float = 0.15) -> list[Turn]:
    """Answer utterances in order; each answer but the last may have been interrupted, with probability `cut`."""
    turns: list[Turn] = []
    for index, utterance in enumerate(utterances):
        turn = answer(utterance, turns, setting, rng)
        last = index == len(utterances) - 1
        if turn.answer == rules.NOISE and not last:
            turn = _heard(turn, rng.choice(NOT_UNDERSTOOD))
        elif turn.answer and not turn.noted and not last and rng.random() < cut:
            turn = _heard(turn, _cut(turn.answer, rng))
        turns.append(turn)
    return turns


def answer(utterance: Utterance, before: Sequence[Turn], setting: Setting, rng: Random) -> Turn:
    """Give the right answer to an utterance after the turns before it; `rng` draws what a function gives."""
    kind = utterance.kind
    if kind == "silence" or (not utterance.over and kind != "phone"):
        return Turn(utterance, "")
    if setting.task == TRANSCRIBE and kind not in WORDLESS:
        return Turn(utterance, f" {utterance.words}")  # the space makes the first word the token that it is elsewhere
    if setting.task in LANGUAGES:
        return Turn(utterance, PHRASES.get(utterance.words, {}).get(setting.task, rules.NOISE))
    if kind in functions.KNOWN:
        return _answer_by_function(utterance, setting.functions, rng)
    if noted := _noted(utterance, before):
        return Turn(utterance, rules.CONFIRM.format(d=grouped(noted)), noted=noted)
    return Turn(utterance, _text(utterance, before))


def _answer_by_function(utterance: Utterance, offered: Sequence[Function], rng: Random) -> Turn:
    function = functions.find(utterance.kind, offered)
    if function is None:
        return Turn(utterance, functions.MISSING)
    result, told = functions.draw_result(utterance.kind, utterance.numbers, utterance.value, rng)
    return Turn(utterance, told, None, functions.write_call(function, utterance.numbers, utterance.value), result)


def _noted(utterance: Utterance, before: Sequence[Turn]) -> tuple[int, ...]:
    """Give the telephone number that is to be confirmed now, if there is one."""
    last = before[-1] if before else None
    if utterance.kind == "phone" or (utterance.kind == "digits" and last and last.answer == rules.AGAIN):
        return utterance.numbers
    if utterance.kind == "correction" and last and last.noted:
        digits = list(last.noted)
        digits[min(rules.PLACES[utterance.value], len(digits) - 1)] = utterance.numbers[0]
        return tuple(digits)
    return ()


def _text(utterance: Utterance, before: Sequence[Turn]) -> str:
    last, kind = before[-1] if before else None, utterance.kind
    if kind == "digits":
        return _sentence(grouped(utterance.numbers))
    if kind in ("sum", "difference"):
        return _calculated(kind, *utterance.numbers)
    if kind in ("yes", "no") and last and last.noted:
        return rules.CONFIRMED if kind == "yes" else rules.AGAIN
    if kind == "repeat":
        told = last and (last.said if last.answer == rules.NOISE else last.answer)
        return rules.REPEAT + told.removeprefix(rules.REPEAT) if told else rules.REPEAT_FIRST
    if kind == "recall":
        return recall(last.utterance) if last else rules.RECALL_FIRST
    return FIXED[kind].answer if kind in FIXED else rules.NOISE


def _calculated(kind: str, a: int, b: int) -> str:
    sign, result = ("plus", a + b) if kind == "sum" else ("minus", a - b)
    return _sentence(f"{spell([a])} {sign} {spell([b])} is {spell([result])}")


def grouped(digits: Sequence[int]) -> str:
    """Write digits as they are read back: in threes, four at the end rather than one alone."""
    groups = [list(digits[start : start + 3]) for start in range(0, len(digits), 3)]
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-2:] = [groups[-2] + groups[-1]]
    return ", ".join(spell(group) for group in groups)


def recall(utterance: Utterance) -> str:
    """Say what an utterance was about."""
    kind, numbers = utterance.kind, utterance.numbers
    match kind:
        case "digits":
            return rules.DIGIT_RECALL.format(d=grouped(numbers))
        case "sum" | "difference":
            told = rules.SUM_RECALL if kind == "sum" else rules.DIFFERENCE_RECALL
            return told.format(a=spell(numbers[:1]), b=spell(numbers[1:]))
        case "repeat" | "recall" | "phone" | "correction":
            recalls = {"repeat": rules.REPEAT_RECALL, "recall": rules.RECALL_RECALL, "phone": rules.PHONE_RECALL}
            return recalls.get(kind, rules.CORRECTION_RECALL)
        case _ if kind in functions.RECALLS:
            return functions.RECALLS[kind]
        case name:
            return FIXED[name].recall if name in FIXED else rules.UNCLEAR_RECALL


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _heard(turn: Turn, heard: str) -> Turn:
    return Turn(turn.utterance, turn.answer, heard, turn.call, turn.result, turn.noted)


def _cut(text: str, rng: Random) -> str:
    words = text.split()
    said = " ".join(words[: rng.randrange(1, len(words))]) if len(words) > 1 else text
    return said + (INTERRUPTED if rng.random() < 0.7 else "")
