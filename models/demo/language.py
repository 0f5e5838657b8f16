"""Stage 1: the language model, trained on text dialogues alone. The adapter learns to give what it reads; then it reads that once (`reading.py`).

User turns are typed, or laid out as the adapter will lay out audio (see `tokens.py`), and made as unsure as that will be
(see `noise.py`), so that answers hold with the adapter that is trained on this model afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from models.config import RopeConfig, TextConfig
from models.decoder import LanguageModel
from models.demo.conversation import Mix, draw_conversation
from models.demo.noise import Unsure, find_confusions
from models.demo.pointing import Pointer
from models.demo.speech import pronounce
from models.demo.tokens import IGNORED, PLACES, VOCABULARY, Chat, Row, spoken_words, text_row, train_tokenizer
from models.demo.training import Run, mixed, train

TEXT = TextConfig(
    family="llama",
    vocabulary=VOCABULARY,
    width=256,
    layers=6,
    heads=4,
    kv_heads=2,
    head_size=64,
    feedforward=608,
    max_positions=4096,
    rope=RopeConfig(theta=10000.0),
    tied=True,
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the stage: its steps, its learning rates, the mixes that it draws from in turn, and how long conversations are."""

    name: str
    steps: int
    muon: float
    adamw: float
    mixes: tuple[Mix, ...]
    counts: tuple[int, ...]  # turns, of which a block of batches draws one
    batch: int = 72  # conversations of one turn; of more turns proportionally fewer


COPIED = Mix(  # copying takes most of the time, so it gets most of the examples
    weights={"digits": 40, "phone": 30, "sum": 6, "difference": 6, "light": 5, "timer": 5, "repeat": 4, "recall": 4},
    tasks={"talk": 70, "transcribe": 24, "German": 3, "Spanish": 3},
)
LEARNT = Mix(  # with more of what is learnt by heart and of words to write down
    weights={
        "digits": 30,
        "phone": 24,
        "sum": 14,
        "difference": 14,
        "light": 3,
        "timer": 5,
        "time": 3,
        "date": 4,
        "repeat": 2,
        "recall": 2,
    },
    tasks={"talk": 64, "transcribe": 30, "German": 3, "Spanish": 3},
)
NUMBERS = Mix(  # with what is learnt last: long strings, digits that are corrected in them, dates, words to write down
    weights={"phone": 30, "digits": 50, "date": 8, "sum": 4, "difference": 4, "timer": 4},
    tasks={"talk": 60, "transcribe": 40},
    shortest=7,
)
LONG = Mix(weights={"digits": 70, "phone": 30}, tasks={"talk": 95, "transcribe": 5}, shortest=9)  # counted worst
DICTATED = Mix(weights=NUMBERS.weights, tasks={"talk": 20, "transcribe": 80}, shortest=8)
REPEATED = Mix(  # what only an answer holds, not the question: a result that is said again
    weights={"sum": 20, "difference": 20, "digits": 15, "repeat": 35, "recall": 10}, tasks={"talk": 100}
)
SENTENCES = Mix(  # where a caller may pause in the middle: learnt least, and forgotten first
    weights={"fixed": 40, "unclear": 40, "light": 5, "timer": 5, "time": 3, "date": 3, "sum": 4},
    tasks={"talk": 90, "German": 5, "Spanish": 5},
    unfinished=0.35,
)
CALLED = Mix(  # what a function answers, with what else is asked where functions are offered
    weights={"light": 50, "timer": 16, "time": 6, "date": 6, "sum": 4, "fixed": 14, "repeat": 4}, tasks={"talk": 100}
)
# After the first part the embeddings stay as they are.
WORDS = Part("words", 1500, 0.02, 2e-3, (Mix(), Mix(), COPIED), (1, 2, 1, 3, 2, 6))
LANGUAGE = Part("language", 6500, 0.015, 1e-3, (Mix(), LEARNT, NUMBERS), (1, 2, 1, 3, 1, 2, 1, 8))
SINGLE = 700  # steps at first in which every conversation is one turn
RAMP = 1000  # steps at first in which noise grows
SORTED = 16  # batches drawn at once and sorted by length: of four positions one would be padding otherwise, so it is one of ten
OVER_WEIGHT = 0.3  # of what foretells the end of the turn, against the answers
PLACES_WEIGHT = 0.3
POINTING_WEIGHTS = {"source": 0.2, "copy": 0.05}
POINTING = TEXT.layers - 2  # the layer that is shown what to copy: what is counted below it is known by then


def build_tokenizer(folder: Path) -> Tokenizer:
    """Train the tokenizer, or read the one that is already in the folder."""
    path = folder / "tokenizer.json"
    if not path.exists():
        train_tokenizer().save(str(path))
    tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    return tokenizer


def build_language_model(seed: int = 0) -> LanguageModel:
    torch.manual_seed(seed)
    model = LanguageModel(TEXT)
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=0.05)
    return model


def train_language_model(folder: Path) -> LanguageModel:
    """Run the stage in a build folder; gives the trained model, whose parameters need no gradients any more."""
    reader = Reader(build_language_model(), Chat(build_tokenizer(folder)))
    for part in (WORDS, LANGUAGE):
        run = Run(folder / f"{part.name}.pt", part.steps, part.muon, part.adamw)
        train(run, reader, Imagined(reader, part))
        reader.model.model.embed_tokens.requires_grad_(requires_grad=False)
    return reader.model.eval().requires_grad_(requires_grad=False)


Drawn = TypeVar("Drawn")


class Batches(Generic[Drawn]):
    """Gives the conversations of a step: a block of batches is drawn at once and sorted, of which each step takes its share."""

    def __init__(self, part: Part, draw: Callable[[Mix, int, Random], Drawn], length: Callable[[Drawn], int]) -> None:
        """`draw` gives one conversation of so many turns from a mix, `length` its positions."""
        self._part = part
        self._draw = draw
        self._length = length
        self._block = -1
        self._drawn: list[Drawn] = []

    def __call__(self, step: int) -> list[Drawn]:
        block, share = divmod(step, SORTED)
        if block != self._block:
            self._block, self._drawn = block, self._draw_block(block)
        size = len(self._drawn) // SORTED
        share = (share + block) % SORTED
        return self._drawn[share * size : (share + 1) * size]

    def _draw_block(self, block: int) -> list[Drawn]:
        part, rng = self._part, Random(f"{self._part.name} {block}")
        mix = part.mixes[block % len(part.mixes)]
        count = 1 if part is WORDS and block * SORTED < SINGLE else rng.choice(part.counts)
        size = part.batch * 2 // (1 + count)
        return sorted((self._draw(mix, count, rng) for _ in range(size * SORTED)), key=self._length)


def imagined(part: Part, chat: Chat) -> Batches[Row]:
    """Draw imagined conversations."""

    def draw(mix: Mix, count: int, rng: Random) -> Row:
        return text_row(*draw_conversation(mix, count, rng), chat, rng)

    return Batches(part, draw, lambda row: len(row.ids))


class Reader(nn.Module):
    """The language model in training, with a head that tells, half-way up, which digit or word of several a position is about.

    Copying needs that count, and learns it slowly from answers alone. The head is dropped afterwards. Further up it is
    shown where the digit or word is that comes now, and taught to say what stands there (`pointing.py`).
    """

    def __init__(self, model: LanguageModel, chat: Chat) -> None:
        super().__init__()
        self.model = model
        self.places = nn.Linear(TEXT.width, PLACES)
        self.chat = chat
        self._halfway: Tensor | None = None
        model.model.layers[TEXT.layers // 2].register_forward_hook(self._keep)
        self._pointer = Pointer(model, POINTING)

    @cached_property
    def _unsure(self) -> Unsure:
        words = [word for word in spoken_words() if self.chat.word(word) != self.chat.unknown_word]
        phones = [pronounce(word) for word in words]
        confusions = find_confusions([self.chat.word(word) for word in words], phones, VOCABULARY)
        return Unsure(confusions, self.model.model.embed_tokens.weight, self.chat.pause)

    def _keep(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._halfway = output

    def loss(self, rows: Sequence[Row], embedded: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Predict the answers of embedded conversations, ends of turns, and places of digits; look at what is copied."""
        with mixed():
            hidden = self.model(embedded)
            answered = labels[:, 1:] != IGNORED
            logits = self.model.head(hidden[:, :-1][answered]).float()
            over = over_loss(hidden, rows, self.model, self.chat)
            pointing = self._pointer.losses(rows)
        terms = {"over": over}
        if answered.any():  # not where nobody has finished
            terms["loss"] = F.cross_entropy(logits, labels[:, 1:][answered].to(logits.device))
        places = pad_sequence([torch.tensor(row.places) for row in rows], batch_first=True, padding_value=IGNORED)
        if (counted := places != IGNORED).any():
            assert self._halfway is not None
            told = self.places(F.rms_norm(self._halfway[counted].float(), (TEXT.width,)))
            terms["places"] = PLACES_WEIGHT * F.cross_entropy(told, places[counted].to(told.device))
        return terms | {name: POINTING_WEIGHTS[name] * loss for name, loss in pointing.items()}

    def disturbed(self, ids: Tensor, rows: Sequence[Row], step: int, most: float) -> Tensor:
        """Embed conversations, their imagined audio made as unsure as `most` allows."""
        spoken = torch.zeros(ids.shape, dtype=torch.bool)
        for index, row in enumerate(rows):
            for start, end in row.spoken:
                spoken[index, start:end] = True
        return self._unsure(self.model.embed(ids), ids, most * spoken, torch.Generator().manual_seed(step))


class Imagined:
    """The loss of a step of text-only training: imagined conversations are to be answered."""

    def __init__(self, reader: Reader, part: Part) -> None:
        self._reader = reader
        self._batches = imagined(part, reader.chat)
        self._ramp = RAMP if part is WORDS else 1

    def __call__(self, step: int) -> dict[str, Tensor]:
        rows = self._batches(step)
        ids, labels = pad_rows(rows, self._reader.chat.end)
        with mixed():
            embedded = self._reader.disturbed(ids, rows, step, min(1.0, step / self._ramp))
        return self._reader.loss(rows, embedded, labels)


def over_loss(hidden: Tensor, rows: Sequence[Row], model: LanguageModel, chat: Chat) -> Tensor:
    """Foretell at the end of a spoken turn the end-of-turn token if the caller has finished, else a pause."""
    places = [(index, position) for index, row in enumerate(rows) for position, _ in row.over]
    tokens = [chat.end if over else chat.pause for row in rows for _, over in row.over]
    if not tokens:
        return hidden.new_zeros(())
    of, at = torch.tensor(places).T
    expected = torch.tensor(tokens, device=hidden.device)
    return OVER_WEIGHT * F.cross_entropy(model.head(hidden[of, at]).float(), expected)


def pad_rows(rows: Sequence[Row], pad: int) -> tuple[Tensor, Tensor]:
    """Stack rows of different length: ids and labels, both [rows, longest] int64, padded on the right."""
    ids = pad_sequence([torch.tensor(row.ids) for row in rows], batch_first=True, padding_value=pad)
    return ids, pad_sequence([torch.tensor(row.labels) for row in rows], batch_first=True, padding_value=IGNORED)
