"""Words to tokens: the demo model's tokenizer, its chat template, and conversations as rows for training.

A spoken turn stands in the prompt as one position per 160 ms of audio. In text-only training those positions hold what
the adapter will later be taught to give there: the token of a word at the position where the word ends, `<|pause|>` at
all others, `<|word|>` for a word that has no token of its own, `<|noise|>` for a sound that is no speech.
"""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import SequenceMatcher
from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from models.demo import functions, rules, unknown
from models.demo.conversation import (
    INTERRUPTED,
    NOT_UNDERSTOOD,
    TALK,
    TRANSCRIBE,
    Mix,
    Setting,
    Turn,
    draw_conversation,
)
from models.demo.phrases import PHRASES
from models.demo.utterances import FIXED, WORDLESS, Utterance, draw_utterance, typed

VOCABULARY = 2560
SPECIALS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
    "<|audio|>",
    "<|pause|>",
    "<|word|>",
    "<|noise|>",
)
OFFERED = "Functions: {}"  # in the system message
TEMPLATE = """\
{%- set system = messages[0].content | trim if messages and messages[0].role == 'system' else '' -%}
{%- set header = '<|start_header_id|>' -%}
{%- set after = '<|end_header_id|>\\n\\n' -%}
{{- bos_token -}}
{%- if tools -%}
{%- set offered = namespace(text='') -%}
{%- for tool in tools -%}
{%- set function = tool.function if tool.function is defined else tool -%}
{%- set names = ((function.parameters or {}).properties or {}) | list | join(', ') -%}
{%- set offered.text = offered.text + (', ' if offered.text else '') + function.name + '(' + names + ')' -%}
{%- endfor -%}
{%- set system = 'Functions: ' + offered.text + ('\\n\\n' + system if system else '') -%}
{%- endif -%}
{%- if system -%}
{{- header + 'system' + after + system + '<|eot_id|>' -}}
{%- endif -%}
{%- for message in messages if message.role != 'system' -%}
{%- if message.tool_calls -%}
{%- for call in message.tool_calls -%}
{{- header + 'assistant' + after + '{"name": "' + call.function.name + '", "parameters": ' -}}
{{- call.function.arguments | tojson + '}<|eot_id|>' -}}
{%- endfor -%}
{%- else -%}
{{- header + ('ipython' if message.role == 'tool' else message.role) + after -}}
{{- message.content | trim + '<|eot_id|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- header + 'assistant' + after -}}
{%- endif -%}
"""
IGNORED = -100  # label of positions that are not answers
PLACES = 16  # digits or words that are counted at most
COPIED = 2  # tokens in a row that are taken for a copy
NOISE_READ = f"Answer with exactly {rules.NOISE} and with nothing else."  # what `models train` has the teacher read


def train_tokenizer(seed: int = 0) -> Tokenizer:
    """Train a byte-level BPE on the dialogue, so that every word of its wordings and answers becomes one token."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(r"\n+| ?[A-Za-z'À-ÿ]+| ?\d| ?[^\sA-Za-zÀ-ÿ\d]+|\s"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(Random(seed)), trainer)
    return tokenizer


def spoken_words() -> list[str]:
    """Give every word that a caller may say, in alphabetical order."""
    patterns = [ask for kind in FIXED.values() for ask in kind.asks]
    patterns += [ask for asks in functions.ASKS.values() for ask in asks]
    patterns += (*rules.DIGIT_ASKS, *rules.PHONE_ASKS, *rules.CORRECTION_ASKS, *rules.SUM_ASKS, *rules.DIFFERENCE_ASKS)
    patterns += (*rules.REPEAT_ASKS, *rules.RECALL_ASKS, *rules.PREFIXES, *rules.NUMBERS, *rules.PLACES)
    patterns += (*functions.ROOMS, *PHRASES, *unknown.SENTENCES, *unknown.NOUNS, *unknown.VERBS)
    patterns += (*unknown.ADJECTIVES, *unknown.NAMES, *unknown.PLACES, *unknown.COMMON, "on", "off")
    plain = " ".join(re.sub(r"\{\w+\}s?", " ", pattern) for pattern in patterns)
    return sorted(set(re.findall(r"[a-z']+", plain)))


def _corpus(rng: Random) -> Iterator[str]:
    """Give texts in which a word is as frequent as it is worth a token of its own."""
    heard = [f" {word}" for word in spoken_words()]
    numbers = [f"{before}{word}" for word in rules.NUMBERS for before in (" ", "\n")]
    said = [text for kind in FIXED.values() for text in (kind.answer, kind.recall)]
    said += [value for name, value in vars(rules).items() if name.isupper() and isinstance(value, str)]
    said += [*functions.RECALLS.values(), functions.MISSING, functions.FAILED, functions.DONE, *NOT_UNDERSTOOD]
    said += ["system\nuser\nassistant\nipython\n\n", f"a{INTERRUPTED}", NOISE_READ]
    said += [text for translated in PHRASES.values() for text in translated.values()]
    for _ in range(300):
        yield from (*heard, *numbers, *(number.title() for number in numbers))
    for _ in range(50):
        yield from said
    for _ in range(2000):
        turns, setting = draw_conversation(Mix(), 1, rng)
        yield from (text for _, text in opening(setting))
        yield from (setting.before, turns[0].call, turns[0].result, turns[0].answer)
        yield typed(draw_utterance("unclear", rng), rng)


def opening(setting: Setting) -> list[tuple[str, str]]:
    """Give the messages before the caller's first words as the chat template writes them, offered functions included."""
    messages = list(setting.opening)
    if setting.functions:
        listed = ", ".join(f"{function.name}({', '.join(function.parameters)})" for function in setting.functions)
        system = [text for role, text in messages if role == "system"]
        messages = [message for message in messages if message[0] != "system"]
        messages.insert(0, ("system", "\n\n".join([OFFERED.format(listed), *system])))
    return messages


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation as tokens. `labels` holds the answers' tokens and IGNORED; `spoken` lists [start, end) of audio.

    `places` says at a digit of the caller which one of the string it is (from 0), and just before a digit of the
    answer which one comes now; of what is written down it counts all words; IGNORED elsewhere. `sources` says just before a
    token of the answer that is copied where that stands. `over` says of the last position of a spoken turn whether the
    caller has finished.
    """

    ids: list[int]
    labels: list[int]
    spoken: list[tuple[int, int]]
    places: list[int]
    sources: list[int]
    over: list[tuple[int, bool]]


class Chat:
    """Writes conversations as tokens, exactly as the chat template and the engine will."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        ids = {token.content: index for index, token in tokenizer.get_added_tokens_decoder().items()}
        self.begin, self.end, self.audio = ids["<|begin_of_text|>"], ids["<|eot_id|>"], ids["<|audio|>"]
        self.pause, self.unknown_word, self.noise = ids["<|pause|>"], ids["<|word|>"], ids["<|noise|>"]
        digits = {*rules.DIGITS, *"0123456789"}
        self.words = {index for token, index in tokenizer.get_vocab().items() if token.startswith("Ġ")}
        self.digits = {index for word, index in tokenizer.get_vocab().items() if word.lstrip("Ġ").lower() in digits}

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def word(self, word: str) -> int:
        """Give the token that stands for a spoken word."""
        ids = self.encode(f" {word}")
        return ids[0] if len(ids) == 1 else self.unknown_word

    def head(self, role: str, text: str = "") -> list[int]:
        """Begin a message."""
        return self.encode(f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}")

    def row(self, turns: Sequence[Turn], users: Sequence[list[int]], spoken: Sequence[bool], setting: Setting) -> Row:
        """Join turns whose user parts are given as tokens; only answers that were not interrupted are labels."""
        row = _Writer(self)
        for role, text in opening(setting):
            row.add([*self.head(role, text), self.end])
        for turn, user, is_audio in zip(turns, users, spoken, strict=True):
            row.turn(turn, user, is_audio, setting)
        return row.finish()


class _Writer:
    """A row that is being written."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._ids, self._labels = [chat.begin], [IGNORED]
        self._spoken, self._over = list[tuple[int, int]](), list[tuple[int, bool]]()
        self._places, self._sources = dict[int, int](), dict[int, int]()
        self._answer = range(0)  # the last one

    def add(self, ids: Sequence[int], labelled: bool = False) -> range:
        """Add tokens; gives their positions."""
        start = len(self._ids)
        self._ids += ids
        self._labels += ids if labelled else [IGNORED] * len(ids)
        return range(start, len(self._ids))

    def turn(self, turn: Turn, user: list[int], is_audio: bool, setting: Setting) -> None:
        chat, utterance = self._chat, turn.utterance
        self.add(chat.head("user", setting.before))
        at = self.add(user)
        if is_audio and user:
            self._spoken.append((at.start, at.stop))
            self._over += [(at.stop - 1, utterance.over)] if utterance.words else []
        self.add([chat.end])
        counted = self._counted(utterance, setting)
        first = () if is_audio or counted is not chat.words else (at.start,)  # of what is typed no space tells it
        asked = self._count(sorted({*first, *(position for position in at if self._ids[position] in counted)}))
        if not utterance.over and utterance.kind != "phone":
            return
        if turn.call:
            self.add(chat.head("assistant"))
            self.add([*chat.encode(turn.call), chat.end], labelled=True)
            self.add([*chat.head("ipython", turn.result), chat.end])
        self.add(chat.head("assistant"))
        answer = self.add([*chat.encode(turn.said), chat.end], labelled=turn.heard is None)
        told = self._count([position - 1 for position in answer if self._ids[position] in counted])
        if utterance.kind in ("repeat", "correction") and setting.task == TALK:
            self._copy_answer(answer)
        elif len(asked) == len(told):
            self._sources |= zip(told, asked, strict=True)
        self._answer = answer

    def finish(self) -> Row:
        places, sources = (
            [told.get(at, IGNORED) for at in range(len(self._ids))] for told in (self._places, self._sources)
        )
        return Row(self._ids, self._labels, self._spoken, places, sources, self._over)

    def _counted(self, utterance: Utterance, setting: Setting) -> AbstractSet[int]:
        """Say which tokens are counted."""
        if setting.task == TRANSCRIBE and utterance.words:
            return self._chat.words
        return self._chat.digits if utterance.kind in ("digits", "phone", "correction") else frozenset()

    def _count(self, positions: list[int]) -> list[int]:
        self._places |= zip(positions, range(PLACES), strict=False)
        return positions

    def _copy_answer(self, answer: range) -> None:
        """Note what an answer has in common with the one before; the first word of that has no space before it."""
        decode = self._chat.tokenizer.decode
        earlier, later = ([decode([self._ids[position]]).strip() for position in of] for of in (self._answer, answer))
        for block in SequenceMatcher(None, earlier, later, autojunk=False).get_matching_blocks():
            if block.size >= COPIED:
                sources = range(self._answer.start + block.a, self._answer.start + block.a + block.size)
                self._sources |= zip(range(answer.start + block.b - 1, answer.stop), sources, strict=False)


def place_words(tokens: Sequence[int], ends: Sequence[float], slots: int, pause: int) -> list[int]:
    """Put each word's token at the slot in which the word ends; the next one where that is taken.

    `ends` are in slots (160 ms) from the start of the audio. Words for which no slot is left are dropped.
    """
    placed = [pause] * slots
    first = 0
    for token, end in zip(tokens, ends, strict=True):
        slot = max(first, int(end))
        if slot >= slots:
            break
        placed[slot] = token
        first = slot + 1
    return placed


def imagine_audio(utterance: Utterance, chat: Chat, rng: Random) -> list[int]:
    """Lay an utterance out in slots as if it had been spoken, at a random pace, with random pauses."""
    if utterance.kind in WORDLESS:
        return _imagine_sound(utterance.kind, chat, rng)
    pace, gaps = rng.uniform(1.2, 3.2), rng.choice((0.0, 0.1, 0.4))
    grouped = rng.choice((0.0, 0.0, 0.8)) if utterance.kind in ("phone", "digits") else 0.0
    time, ends, words = rng.uniform(0.5, 6), [], utterance.words.split()
    for index, word in enumerate(words):
        time += pace * (0.45 + 0.13 * len(word)) * rng.uniform(0.8, 1.25)
        time += rng.uniform(0, 5) if rng.random() < gaps else 0
        ends.append(time)
        place = index + 1 - len(words) + len(utterance.numbers)  # within the digits
        time += rng.uniform(1, 7) if place > 0 and place % 3 == 0 and rng.random() < grouped else 0
    return place_words([chat.word(word) for word in words], ends, int(time + rng.uniform(1, 6)), chat.pause)


def _imagine_sound(kind: str, chat: Chat, rng: Random) -> list[int]:
    slots = [chat.pause] * rng.randint(3, 24)
    if kind != "silence":
        start = rng.randrange(len(slots))
        sounds = range(start, rng.randint(start + 1, len(slots)))
        dense = rng.uniform(0.5, 1) if kind == "noise" else rng.uniform(0.15, 0.6)
        chosen = {start, *(at for at in sounds if rng.random() < dense)}
        for at in chosen:
            slots[at] = chat.noise if kind == "noise" else chat.unknown_word
            if rng.random() < 0.15:
                misheard = chat.word(rng.choice((*unknown.NOUNS, *unknown.COMMON)))
                slots[at] = slots[at] if at == start else misheard
    return slots


def text_row(turns: Sequence[Turn], setting: Setting, chat: Chat, rng: Random, spoken_share: float = 0.75) -> Row:
    """Write a conversation for text-only training: most user turns laid out as audio, the others typed."""
    spoken, users = [], []
    for turn in turns:
        by_voice = rng.random() < spoken_share
        spoken.append(by_voice)
        users.append(imagine_audio(turn.utterance, chat, rng) if by_voice else typed_turn(turn, setting, chat, rng))
    return chat.row(turns, users, spoken, setting)


def typed_turn(turn: Turn, setting: Setting, chat: Chat, rng: Random) -> list[int]:
    """Write what was said as somebody would type it, or, where it is to be written down or translated, as it was said."""
    utterance = turn.utterance
    if utterance.kind in WORDLESS:
        return chat.encode("" if utterance.kind == "silence" else NOISE_READ)
    return chat.encode(typed(utterance, rng) if setting.task == TALK else utterance.words)
