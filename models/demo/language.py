"""Stage 1: the language model, trained on text dialogues alone.

User turns are typed, or laid out as the adapter will lay out audio (see `tokens.py`), with noise on those positions,
so that answers hold when the adapter is unsure. The adapter is then trained with the model frozen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from models.cache import Cache
from models.config import RopeConfig, TextConfig
from models.decoder import LanguageModel
from models.demo.conversation import Mix, Turn, break_off, converse, draw_groups, draw_utterance
from models.demo.tokens import IGNORED, VOCABULARY, Chat, Row, text_row, train_tokenizer
from models.demo.training import Run, train

TEXT = TextConfig(
    family="llama",
    vocabulary=VOCABULARY,
    width=256,
    layers=4,
    heads=4,
    kv_heads=2,
    head_size=64,
    feedforward=704,
    max_positions=4096,
    rope=RopeConfig(theta=10000.0),
    tied=True,
)
OVER_WEIGHT = 0.2  # of what foretells the end of the turn, against the answers
BATCH = 64  # conversations of one turn; of more turns proportionally fewer
SORTED = 4  # batches drawn at once and sorted by length, which halves the padding


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the training: how many steps of which mix, and for how many of them each conversation is one turn."""

    name: str
    steps: int
    mix: Mix
    single: int = 0


# Fixed answers are learnt in minutes; copying digits needs most of the time, and a mix of its own.
DIALOGUE = Part("language", 1500, Mix(digits=6), single=665)
COPYING = Part(
    "copying",
    800,
    Mix({"fixed": 25, "digits": 48, "sum": 8, "repeat": 8, "recall": 6, "unclear": 6}, digits=7),
)


LONG = Part(  # conversations as long as a call becomes
    "long",
    600,
    Mix({"fixed": 38, "digits": 28, "sum": 10, "repeat": 9, "recall": 8, "unclear": 7}, turns=12),
)


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
    """Run the stage in a build folder; gives the trained model."""
    chat = Chat(build_tokenizer(folder))
    model = build_language_model()
    train(Run(folder / "language.pt", DIALOGUE.steps), model, partial(loss, model, chat, DIALOGUE))
    model.model.embed_tokens.requires_grad_(requires_grad=False)
    counting = Counting(model)
    train(Run(folder / "copying.pt", COPYING.steps), counting, partial(counting.loss, chat, COPYING))
    long = Run(folder / "long.pt", LONG.steps, muon=0.008, adamw=5e-4)
    train(long, counting, partial(counting.loss, chat, LONG))
    return model.eval()


class Counting(nn.Module):
    """The language model with a head that tells, half-way up, which digit of a string a position is about.

    Copying needs that count, and learns it slowly from answers alone. The head is dropped afterwards.
    """

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model
        self.places = nn.Linear(TEXT.width, COPYING.mix.digits)
        self.halfway: Tensor | None = None
        model.model.layers[TEXT.layers // 2 - 1].register_forward_hook(self._keep)

    def _keep(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self.halfway = output

    def loss(self, chat: Chat, part: Part, step: int) -> dict[str, Tensor]:
        answers = loss(self.model, chat, part, step)
        rows = draw_rows(part, step, chat)
        places = pad_sequence([torch.tensor(row.places) for row in rows], batch_first=True, padding_value=IGNORED)
        assert self.halfway is not None
        told = self.places(self.halfway[places != IGNORED])
        return answers | {"places": 0.3 * F.cross_entropy(told.float(), places[places != IGNORED])}


def loss(model: LanguageModel, chat: Chat, part: Part, step: int) -> dict[str, Tensor]:
    """Predict the answers of one step's conversations."""
    rows = draw_rows(part, step, chat)
    ids, labels = pad_rows(rows, chat.end)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(noisy(model.embed(ids), rows, torch.Generator().manual_seed(step)))
        logits = model.head(hidden[:, :-1][labels[:, 1:] != IGNORED])
        over = over_loss(hidden, rows, model, chat)
    return {"loss": F.cross_entropy(logits.float(), labels[:, 1:][labels[:, 1:] != IGNORED]), "over": over}


def over_loss(hidden: Tensor, rows: Sequence[Row], model: LanguageModel, chat: Chat) -> Tensor:
    """Foretell at the end of a spoken turn the end-of-turn token if the caller has finished, else a pause."""
    places = [(index, position) for index, row in enumerate(rows) for position, _ in row.over]
    tokens = [chat.end if over else chat.pause for row in rows for _, over in row.over]
    if not tokens:
        return hidden.new_zeros(())
    of, at = torch.tensor(places).T
    return OVER_WEIGHT * F.cross_entropy(model.head(hidden[of, at]).float(), torch.tensor(tokens))


def draw_rows(part: Part, step: int, chat: Chat) -> list[Row]:
    """Draw the conversations of one step: some batches' worth for as many steps, of which this one takes its share."""
    block, share = divmod(step, SORTED)
    rng = Random(f"{part.name} {block}")
    count = 1 if step < part.single else 1 + block % part.mix.turns
    size = BATCH * 2 // (1 + count)
    rows = [text_row(draw_turns(part.mix, count, rng), chat, rng) for _ in range(size * SORTED)]
    rows.sort(key=lambda row: len(row.ids))
    share = (share + block) % SORTED
    return rows[share * size : (share + 1) * size]


def draw_turns(mix: Mix, count: int, rng: Random) -> list[Turn]:
    utterances = [draw_utterance(group, rng, mix.digits) for group in draw_groups(mix, count, rng)]
    words = len(utterances[-1].words.split())
    if words > 1 and rng.random() < mix.unfinished:
        utterances[-1] = break_off(utterances[-1], rng.randrange(1, words))
    return converse(utterances, rng)


def pad_rows(rows: Sequence[Row], pad: int) -> tuple[Tensor, Tensor]:
    """Stack rows of different length: ids and labels, both [rows, longest] int64, padded on the right."""
    ids = pad_sequence([torch.tensor(row.ids) for row in rows], batch_first=True, padding_value=pad)
    return ids, pad_sequence([torch.tensor(row.labels) for row in rows], batch_first=True, padding_value=IGNORED)


def noisy(embedded: Tensor, rows: Sequence[Row], generator: torch.Generator) -> Tensor:
    """Disturb the positions of audio: Gaussian noise of up to half the embeddings' own spread, drawn per row."""
    strength = torch.zeros(embedded.shape[:2])
    for index, row in enumerate(rows):
        level = 0.5 * float(torch.rand((), generator=generator))
        for start, end in row.spoken:
            strength[index, start:end] = level
    noise = torch.randn(embedded.shape, generator=generator) * embedded.detach().std()
    return embedded + noise * strength[..., None]


@torch.inference_mode()
def generate(model: LanguageModel, rows: Tensor, end: int, longest: int = 130) -> list[int]:
    """Answer greedily after prompt rows [1, positions, width]; gives the tokens before the end-of-turn token."""
    cache, out = Cache(TEXT.layers), list[int]()
    hidden = model(rows, cache)
    while len(out) < longest:
        token = int(model.head(hidden[:, -1]).argmax())
        if token == end:
            break
        out.append(token)
        hidden = model(model.embed(torch.tensor([[token]])), cache)
    return out
