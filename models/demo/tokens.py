"""Words to tokens: the demo model's tokenizer, its chat template, and conversations as rows for training.

A spoken turn stands in the prompt as one position per 160 ms of audio. In text-only training those positions hold what
the adapter will later be taught to give there: the token of a word at the position where the word ends,
`<|pause|>` at all others, `<|word|>` for a word that has no token of its own.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from models.demo import rules, unknown
from models.demo.conversation import FIXED, INTERRUPTED, Turn, draw_opening, draw_utterance, typed

VOCABULARY = 1408
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
)
TEMPLATE = (  # Llama 3's form, without its dates
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
IGNORED = -100  # label of positions that are not answers


def train_tokenizer(seed: int = 0) -> Tokenizer:
    """Train a byte-level BPE on the dialogue, so that every word of its wordings and answers becomes one token."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(r"\n+| ?[A-Za-z']+| ?\d| ?[^\sA-Za-z\d]+|\s"), "isolated")
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


def _corpus(rng: Random) -> Iterator[str]:
    patterns = [ask for kind in FIXED.values() for ask in kind.asks]
    patterns += (
        *rules.DIGIT_ASKS,
        *rules.SUM_ASKS,
        *rules.REPEAT_ASKS,
        *rules.RECALL_ASKS,
        *rules.PREFIXES,
    )
    heard = sorted({f" {word}" for pattern in patterns for word in re.findall(r"[a-z']+", pattern)})
    numbers = [f"{before}{word}" for word in rules.NUMBERS for before in (" ", "\n")]
    said = [text for kind in FIXED.values() for text in (kind.answer, kind.recall)]
    said += (rules.UNCLEAR, rules.UNCLEAR_RECALL, rules.REPEAT, rules.REPEAT_FIRST, rules.REPEAT_RECALL)
    said += (rules.RECALL_FIRST, rules.RECALL_RECALL, "system\nuser\nassistant\n\n", f"a{INTERRUPTED}")
    for _ in range(100):
        yield from (*heard, *numbers, *(number.title() for number in numbers))
        yield from said
    for _ in range(500):
        yield " " + draw_utterance("unclear", rng).words


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation as tokens. `labels` holds the answers' tokens and IGNORED; `spoken` lists [start, end) of audio.

    `places` says at a digit of the caller which one of the string it is (from 0), and just before a digit of the
    answer which one comes now; IGNORED elsewhere. `over` says of the last position of a spoken turn whether the caller
    has finished.
    """

    ids: list[int]
    labels: list[int]
    spoken: list[tuple[int, int]]
    places: list[int]
    over: list[tuple[int, bool]]


class Chat:
    """Writes conversations as tokens, exactly as the chat template and the engine will."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        ids = {token.content: index for index, token in tokenizer.get_added_tokens_decoder().items()}
        self.begin, self.end, self.audio = ids["<|begin_of_text|>"], ids["<|eot_id|>"], ids["<|audio|>"]
        self.pause, self.unknown_word = ids["<|pause|>"], ids["<|word|>"]
        digits = {*rules.DIGITS, *"0123456789"}
        self.digits = {index for word, index in tokenizer.get_vocab().items() if word.lstrip("Ġ").lower() in digits}

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def word(self, word: str) -> int:
        """Give the token that stands for a spoken word."""
        ids = self.encode(f" {word}")
        return ids[0] if len(ids) == 1 else self.unknown_word

    def message(self, role: str, content: list[int]) -> list[int]:
        return [*self.encode(f"<|start_header_id|>{role}<|end_header_id|>\n\n"), *content, self.end]

    def row(
        self,
        turns: Sequence[Turn],
        users: Sequence[list[int]],
        spoken: Sequence[bool],
        opening: Sequence[tuple[str, str]] = (),
    ) -> Row:
        """Join turns whose user parts are given as tokens; only answers that were not interrupted are labels."""
        ids, labels, spans = [self.begin], [IGNORED], list[tuple[int, int]]()
        places, over = dict[int, int](), list[tuple[int, bool]]()
        for role, text in opening:
            ids += self.message(role, self.encode(text))
        for turn, user, is_audio in zip(turns, users, spoken, strict=True):
            ids += self.message("user", user)
            if is_audio:
                spans.append((len(ids) - 1 - len(user), len(ids) - 1))
                over += [(len(ids) - 2, turn.over)] if turn.utterance.words else []
            if not turn.over:
                labels += [IGNORED] * (len(ids) - len(labels))
                break
            reply = self.message("assistant", self.encode(turn.said))
            head = len(reply) - 1 - len(self.encode(turn.said))
            labels += [IGNORED] * (len(ids) - len(labels) + head)
            labels += [IGNORED] * (len(reply) - head) if turn.heard is not None else reply[head:]
            if turn.utterance.kind == "digits":
                asked = range(len(ids) - 1 - len(user), len(ids) - 1)
                places |= self._places([(at, ids[at]) for at in asked])
                places |= self._places([(len(ids) + at - 1, reply[at]) for at in range(head, len(reply))])
            ids += reply
        return Row(ids, labels, spans, [places.get(at, IGNORED) for at in range(len(ids))], over)

    def _places(self, tokens: Sequence[tuple[int, int]]) -> dict[int, int]:
        return {at: place for place, at in enumerate(at for at, token in tokens if token in self.digits)}


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


def imagine_audio(words: str, chat: Chat, rng: Random) -> list[int]:
    """Lay words out in slots as if they had been spoken, at a random pace, with random pauses and misheard words."""
    pace, gaps = rng.uniform(1.2, 3.2), rng.choice((0.0, 0.1, 0.4))
    time, ends, tokens = rng.uniform(0.5, 6), [], []
    spoken = words.split()
    for word in spoken:
        time += pace * (0.45 + 0.13 * len(word)) * rng.uniform(0.8, 1.25) + (
            rng.uniform(0, 5) if rng.random() < gaps else 0
        )
        ends.append(time)
        tokens.append(_misheard(word, chat, rng) if len(spoken) > 2 else chat.word(word))
    return place_words(tokens, ends, int(time + rng.uniform(1, 6)), chat.pause)


def _misheard(word: str, chat: Chat, rng: Random) -> int:
    """Give a word's token, now and then a wrong one; never for numbers, whose answers would then be wrong."""
    if word in rules.NUMBERS or rng.random() > 0.08:
        return chat.word(word)
    return rng.choice((chat.pause, chat.unknown_word, chat.word(rng.choice(unknown.VERBS))))


def text_row(turns: Sequence[Turn], chat: Chat, rng: Random, spoken_share: float = 0.75) -> Row:
    """Write a conversation for text-only training: most user turns laid out as audio, the others typed."""
    spoken = [rng.random() < spoken_share or not turn.over for turn in turns]
    users = []
    for turn, is_audio in zip(turns, spoken, strict=True):
        words = turn.utterance.words
        users.append(imagine_audio(words, chat, rng) if is_audio else chat.encode(typed(words, rng)))
    return chat.row(turns, users, spoken, draw_opening(turns, rng))
