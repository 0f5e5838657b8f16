"""Stage 4: the adapter, which makes the language model hear.

First the projector's rows are drawn to the embeddings of the words spoken there (`place_words`), which the language
model knows how to read. Then conversations with audio are distilled: the model that hears must predict what the same,
frozen language model predicts from the text (KL divergence at temperature 2, as Ultravox is trained), and whether the
caller has finished. The encoder is trained along in both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import ProjectorConfig
from models.decoder import LanguageModel
from models.demo.conversation import UNFINISHED, converse, draw_opening, draw_utterance, typed
from models.demo.encoder import AUDIO, Batch, Listener, collate, draw_batch
from models.demo.language import TEXT, over_loss, pad_rows
from models.demo.pool import FRAME, Sample, stop_after
from models.demo.tokens import IGNORED, Chat, Row, place_words
from models.demo.training import Run, train
from models.ultravox import Projector

PROJECTOR = ProjectorConfig(audio_width=AUDIO.width, text_width=TEXT.width, hidden=768, norm_mid=True)
SLOT = PROJECTOR.stack * FRAME  # seconds per row


@dataclass(frozen=True, slots=True)
class Round:
    """A part of the stage: words alone, or with `distils` what the language model makes of them."""

    name: str
    steps: int
    distils: bool
    muon: float
    adamw: float


ROUNDS = (
    Round("align", 3000, distils=False, muon=0.015, adamw=1e-3),
    Round("distil", 1000, distils=True, muon=0.006, adamw=3e-4),
)
BATCH = 48  # clips
TURNS = 3  # the longest conversation
STOPPED = 0.25  # share of clips that are ended in one of their pauses
TEMPERATURE = 2.0
SHARPNESS = 20.0  # of the softmax over cosines between rows and embeddings
SILENT_WEIGHT = 0.3  # of slots in which no word ends, which are the most


class Hearing(nn.Module):
    """What this stage trains: the encoder with its heads, and the projector."""

    def __init__(self, listener: Listener, spread: float) -> None:
        """Begin with rows whose values are as spread as the embeddings'."""
        super().__init__()
        self.listener = listener
        self.multi_modal_projector = Projector(PROJECTOR)
        nn.init.normal_(self.multi_modal_projector.linear_2.weight, std=spread / PROJECTOR.inner**0.5)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Give encoder frames, and rows [clips, slots, text width]."""
        encoded = self.listener.encode(batch)
        return encoded, self.multi_modal_projector(encoded)


def slots(sample: Sample) -> int:
    """Count the rows of a clip: one per 16 mel frames, the last whole."""
    return -(-len(sample.mel) // (2 * PROJECTOR.stack))


def align_loss(rows: Tensor, batch: Batch, table: Tensor, chat: Chat) -> dict[str, Tensor]:
    """Draw rows to the embeddings of the words that end in their slots, by direction and by distance."""
    targets = torch.full(rows.shape[:2], IGNORED)
    for index, sample in enumerate(batch.samples):
        tokens = [chat.word(word) for word in sample.utterance.words.split()]
        placed = place_words(tokens, [end / SLOT for end in sample.ends], slots(sample), chat.pause)
        targets[index, : len(placed)] = torch.tensor(placed)
    inside = targets != IGNORED
    rows, targets = rows[inside].float(), targets[inside]
    weight = 1 - (1 - SILENT_WEIGHT) * (targets == chat.pause).float()
    cosines = F.normalize(rows, dim=-1) @ F.normalize(table, dim=-1).T
    named = F.cross_entropy(SHARPNESS * cosines, targets, reduction="none")
    near = (rows - table[targets]).square().mean(-1) / table.var()
    return {"word": (named * weight).sum() / weight.sum(), "distance": (near * weight).sum() / weight.sum()}


def draw_clips(pool: Sequence[Sample], step: int, name: str) -> Batch:
    """Draw one step's clips, disturbed, some of them ended in one of their pauses."""
    rng = Random(f"{name} {step}")
    drawn = draw_batch(pool, step, BATCH, name)
    samples = [_stopped(sample, rng) if rng.random() < STOPPED else sample for sample in drawn]
    return collate(samples, torch.Generator().manual_seed(step))


def _stopped(sample: Sample, rng: Random) -> Sample:
    return stop_after(sample, rng.randint(1, len(sample.ends)), rng) if sample.ends else sample


def group(samples: Sequence[Sample], rng: Random) -> list[list[int]]:
    """Deal clips into conversations of up to TURNS turns; an unfinished one is the last of its conversation."""
    count, groups = rng.randint(1, TURNS), list[list[int]]([[]])
    for index in rng.sample(range(len(samples)), len(samples)):
        groups[-1].append(index)
        if len(groups[-1]) == count or samples[index].utterance.kind == UNFINISHED:
            groups.append([])
    return [chosen for chosen in groups if chosen]


def distil_loss(rows: Tensor, batch: Batch, model: LanguageModel, chat: Chat, rng: Random) -> dict[str, Tensor]:
    """Join the clips of a batch to conversations, and compare what the model predicts from audio and from text."""
    heard, read, clips = [], [], group(batch.samples, rng)
    for chosen in clips:
        turns = converse([batch.samples[index].utterance for index in chosen], rng)
        opening = draw_opening(turns, rng)
        audio = [[chat.audio] * slots(batch.samples[index]) for index in chosen]
        words = [turn.utterance.words or draw_utterance("unclear", rng).words for turn in turns]
        text = [chat.encode(typed(w, rng)) for w in words]
        heard.append(chat.row(turns, audio, [True] * len(turns), opening))
        read.append(chat.row(turns, text, [False] * len(turns), opening))
    hidden, student = _predict(heard, model, chat, lambda ids: insert(model.embed(ids), heard, clips, rows))
    with torch.no_grad():
        _, teacher = _predict(read, model, chat, model.embed)
    told = F.kl_div(student, teacher, log_target=True, reduction="batchmean")
    return {"kl": told, "over": over_loss(hidden, heard, model, chat)}


def insert(embedded: Tensor, conversations: Sequence[Row], clips: Sequence[Sequence[int]], rows: Tensor) -> Tensor:
    """Write each clip's rows over the filler positions of its turn."""
    places, sources = list[tuple[int, int]](), list[tuple[int, int]]()
    for index, (row, chosen) in enumerate(zip(conversations, clips, strict=True)):
        for (start, end), clip in zip(row.spoken, chosen, strict=True):
            places += [(index, position) for position in range(start, end)]
            sources += [(clip, slot) for slot in range(end - start)]
    to, of = torch.tensor(places).T, torch.tensor(sources).T
    return embedded.index_put((to[0], to[1]), rows[of[0], of[1]].to(embedded.dtype))


def _predict(
    conversations: Sequence[Row], model: LanguageModel, chat: Chat, embed: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Give hidden states, and log probabilities at TEMPERATURE just before each label: [labels, vocabulary]."""
    ids, labels = pad_rows(conversations, chat.end)
    hidden = model(embed(ids))
    logits = model.head(hidden[:, :-1][labels[:, 1:] != IGNORED]).float()
    return hidden, (logits / TEMPERATURE).log_softmax(-1)


def train_adapter(
    folder: Path, pool: Sequence[Sample], listener: Listener, model: LanguageModel, chat: Chat
) -> Hearing:
    """Run all rounds in a build folder; gives encoder and projector."""
    torch.manual_seed(2)
    model.requires_grad_(requires_grad=False)
    table = model.model.embed_tokens.weight
    hearing = Hearing(listener, float(table.std()))

    def loss(part: Round, step: int) -> dict[str, Tensor]:
        batch = draw_clips(pool, step, part.name)
        with torch.autocast("cpu", torch.bfloat16):
            encoded, rows = hearing(batch)
            words = align_loss(rows, batch, table, chat) | listener.loss(encoded, batch)
            if not part.distils:
                return words
            told = distil_loss(rows, batch, model, chat, Random(f"{part.name} {step}"))
        return told | {name: 0.3 * value for name, value in words.items()}

    for part in ROUNDS:
        run = Run(folder / f"{part.name}.pt", part.steps, part.muon, part.adamw)
        train(run, hearing, partial(loss, part))
    return hearing.eval()
