"""Stage 4: the adapter's first part. Its rows are drawn to the embeddings of the words spoken there, which the frozen language model can read.

What the adapter gives for each 160 ms is then near the token that text-only training put there (`place_words`). This is
cheap, and most of what there is to learn; `models train` goes on from here by distillation. The encoder is trained along.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import ProjectorConfig
from models.decoder import LanguageModel
from models.demo.encoder import AUDIO, Batch, Listener, collate, draw_batch
from models.demo.language import TEXT
from models.demo.pool import FRAME, Sample, stop_after
from models.demo.tokens import IGNORED, Chat, place_words
from models.demo.training import Run, attention, mixed, train
from models.demo.utterances import FIXED, draw_break
from models.ultravox import Projector

PROJECTOR = ProjectorConfig(audio_width=AUDIO.width, text_width=TEXT.width, hidden=640, norm_mid=True)
SLOT = PROJECTOR.stack * FRAME  # seconds per row
STEPS = 13_600
BATCH = 48  # clips
STOPPED = 0.25  # share of clips that are ended in one of their pauses
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


def place_sample(sample: Sample, chat: Chat) -> list[int]:
    """Give the token that each row of a clip is drawn to: [slots]."""
    kind, words = sample.utterance.kind, sample.utterance.words.split()
    if words:
        tokens = [chat.word(word) for word in words]
    else:  # a sound, or words of a language that the model does not know
        tokens = [chat.noise if kind == "noise" else chat.unknown_word] * len(sample.ends)
    return place_words(tokens, [end / SLOT for end in sample.ends], slots(sample), chat.pause)


def align_loss(rows: Tensor, batch: Batch, table: Tensor, chat: Chat) -> dict[str, Tensor]:
    """Draw rows to the embeddings of the words that end in their slots, by direction and by distance."""
    targets = torch.full(rows.shape[:2], IGNORED)
    for index, sample in enumerate(batch.samples):
        placed = place_sample(sample, chat)
        targets[index, : len(placed)] = torch.tensor(placed)
    inside = targets != IGNORED
    rows, targets = rows[inside].float(), targets[inside].to(rows.device)
    weight = 1 - (1 - SILENT_WEIGHT) * (targets == chat.pause).float()
    cosines = F.normalize(rows, dim=-1) @ F.normalize(table, dim=-1).T
    named = F.cross_entropy(SHARPNESS * cosines, targets, reduction="none")
    near = (rows - table[targets]).square().mean(-1) / table.var()
    return {"word": (named * weight).sum() / weight.sum(), "distance": (near * weight).sum() / weight.sum()}


def draw_clips(pool: Sequence[Sample], step: int) -> Batch:
    """Draw one step's clips, disturbed, some of them ended in one of their pauses."""
    rng = Random(f"align {step}")
    drawn = draw_batch(pool, step, BATCH, "align")
    samples = [stopped(sample, rng) if rng.random() < STOPPED else sample for sample in drawn]
    return collate(samples, torch.Generator().manual_seed(step))


def stopped(sample: Sample, rng: Random) -> Sample:
    """End a clip in one of its pauses, where it has more than one word."""
    return (
        stop_after(sample, draw_break(sample.utterance, rng), rng)
        if len(sample.utterance.words.split()) > 1
        else sample
    )


def train_adapter(
    folder: Path, pool: Sequence[Sample], listener: Listener, model: LanguageModel, chat: Chat
) -> Hearing:
    """Run the stage in a build folder; gives encoder and projector."""
    torch.manual_seed(2)
    rare = [sample for sample in pool if sample.utterance.kind in FIXED]  # their words come in few other kinds
    pool = [*pool, *rare]
    table = model.model.embed_tokens.weight.detach()
    hearing = Hearing(listener, float(table.std()))

    def loss(step: int) -> dict[str, Tensor]:
        batch = draw_clips(pool, step)
        with mixed(), attention(batch.labels.shape[1]):
            encoded, rows = hearing(batch)
            return align_loss(rows, batch, table, chat) | listener.loss(encoded, batch)

    train(Run(folder / "align.pt", STEPS, muon=0.015, adamw=1e-3), hearing, loss)
    return hearing.eval()
