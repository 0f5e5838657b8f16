"""Stage 5: the language model, taught to read the adapter's rows as they are.

What the encoder is unsure of comes out as something between two words. The language model learns here, from the right
answers, to read such rows; encoder and projector are frozen. Every second step is text alone, so that typing still works.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from models.decoder import LanguageModel
from models.demo.adapter import Hearing, draw_clips, group, insert, slots
from models.demo.conversation import converse, draw_opening
from models.demo.language import LONG, loss, over_loss, pad_rows
from models.demo.pool import Sample
from models.demo.tokens import IGNORED, Chat, Row
from models.demo.training import Run, train

STEPS = 800


def train_reading(folder: Path, pool: Sequence[Sample], hearing: Hearing, model: LanguageModel, chat: Chat) -> None:
    """Run the stage in a build folder; changes the language model."""
    model.requires_grad_(requires_grad=True)
    model.model.embed_tokens.requires_grad_(requires_grad=False)

    def answers(step: int) -> dict[str, Tensor]:
        if step % 2:
            return loss(model, chat, LONG, step)
        return _heard(pool, hearing, model, chat, step)

    train(Run(folder / "reading.pt", STEPS, muon=0.004, adamw=3e-4), model, answers)
    model.eval()


def _heard(pool: Sequence[Sample], hearing: Hearing, model: LanguageModel, chat: Chat, step: int) -> dict[str, Tensor]:
    """Predict the answers of conversations made of one batch of clips."""
    batch, rng = draw_clips(pool, step // 2, "reading"), Random(f"reading {step}")
    chosen = group(batch.samples, rng)
    heard = [_conversation([batch.samples[index] for index in clips], chat, rng) for clips in chosen]
    ids, labels = pad_rows(heard, chat.end)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            rows = hearing(batch)[1]
        hidden = model(insert(model.embed(ids), heard, chosen, rows))
        logits = model.head(hidden[:, :-1][labels[:, 1:] != IGNORED])
        over = over_loss(hidden, heard, model, chat)
    return {"heard": F.cross_entropy(logits.float(), labels[:, 1:][labels[:, 1:] != IGNORED]), "heard over": over}


def _conversation(samples: Sequence[Sample], chat: Chat, rng: Random) -> Row:
    turns = converse([sample.utterance for sample in samples], rng)
    audio = [[chat.audio] * slots(sample) for sample in samples]
    return chat.row(turns, audio, [True] * len(turns), draw_opening(turns, rng))
