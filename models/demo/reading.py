"""Stage 5: the language model, taught to read the adapter's rows as they are.

What the encoder is unsure of comes out as something between two words. First the language model learns, from the right
answers, to read such rows; then encoder and projector learn along with it. Every so many steps a step is text alone, so
that typing still works.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.decoder import LanguageModel
from models.demo.adapter import Hearing, align_loss, draw_clips, group, insert, slots
from models.demo.conversation import converse, draw_opening
from models.demo.language import LONG, loss, over_loss, pad_rows
from models.demo.pool import Sample
from models.demo.tokens import IGNORED, Chat, Row
from models.demo.training import Run, train

READING, READING_TEXT = 800, 2  # steps, and which of them are text alone: every second
TOGETHER, TOGETHER_TEXT = 1700, 5
WORDS_WEIGHT = 0.2  # of naming words and phones, against the answers


def train_reading(folder: Path, pool: Sequence[Sample], hearing: Hearing, model: LanguageModel, chat: Chat) -> None:
    """Run the stage in a build folder; changes the language model, then all."""
    model.requires_grad_(requires_grad=True)
    model.model.embed_tokens.requires_grad_(requires_grad=False)
    hearing.requires_grad_(requires_grad=False)

    def read(step: int) -> dict[str, Tensor]:
        if step % READING_TEXT:
            return loss(model, chat, LONG, step)
        return _heard(pool, hearing, model, chat, f"reading {step // READING_TEXT}")

    def hear(step: int) -> dict[str, Tensor]:
        if step % TOGETHER_TEXT == 0:
            return loss(model, chat, LONG, READING + step)
        return _heard(pool, hearing, model, chat, f"together {step}")

    train(Run(folder / "reading.pt", READING, muon=0.004, adamw=3e-4), model, read)
    hearing.requires_grad_(requires_grad=True)
    hearing.listener.audio_tower.embed_positions.requires_grad_(requires_grad=False)
    train(Run(folder / "together.pt", TOGETHER, muon=0.004, adamw=2e-4), nn.ModuleList((model, hearing)), hear)
    model.eval()
    hearing.eval()


def _heard(pool: Sequence[Sample], hearing: Hearing, model: LanguageModel, chat: Chat, seed: str) -> dict[str, Tensor]:
    """Predict the answers of conversations made of one batch of clips."""
    name, step = seed.split()
    batch, rng = draw_clips(pool, int(step), name), Random(seed)
    chosen = group(batch.samples, rng)
    heard = [_conversation([batch.samples[index] for index in clips], chat, rng) for clips in chosen]
    ids, labels = pad_rows(heard, chat.end)
    with torch.autocast("cpu", torch.bfloat16):
        encoded, rows = hearing(batch)
        hidden = model(insert(model.embed(ids), heard, chosen, rows))
        logits = model.head(hidden[:, :-1][labels[:, 1:] != IGNORED])
        over = over_loss(hidden, heard, model, chat)
        words = align_loss(rows, batch, model.model.embed_tokens.weight, chat) | hearing.listener.loss(encoded, batch)
    answers = F.cross_entropy(logits.float(), labels[:, 1:][labels[:, 1:] != IGNORED])
    return {"heard": answers, "heard over": over} | {name: WORDS_WEIGHT * value for name, value in words.items()}


def _conversation(samples: Sequence[Sample], chat: Chat, rng: Random) -> Row:
    turns = converse([sample.utterance for sample in samples], rng)
    audio = [[chat.audio] * slots(sample) for sample in samples]
    return chat.row(turns, audio, [True] * len(turns), draw_opening(turns, rng))
