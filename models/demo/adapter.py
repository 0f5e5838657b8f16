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
from models.demo.tokens import Chat, place_words
from models.demo.training import Run, mixed, train
from models.demo.utterances import FIXED, draw_break
from models.ultravox import Projector

PROJECTOR = ProjectorConfig(audio_width=AUDIO.width, text_width=TEXT.width, hidden=640, norm_mid=True)
SLOT = PROJECTOR.stack * FRAME  # seconds per row
STEPS = 18_800
BATCH = 48  # clips
STOPPED = 0.25  # share of clips that are ended in one of their pauses
NEAR = 0.3  # of a slot: a word that ends no farther from its border may as well be in the slot across it
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


def borderline(sample: Sample, placed: Sequence[int], pause: int) -> list[tuple[int, int]]:
    """List the words that end near the border of their slot: where each is placed, and the empty slot across the border."""
    empty = {slot for slot, token in enumerate(placed) if token == pause}
    found = dict[int, int]()
    for end in sample.ends:
        slot, part = int(end / SLOT), end / SLOT % 1
        across = slot + 1 if part > 1 - NEAR else slot - 1 if part < NEAR else slot
        if slot < len(placed) and slot not in found and across in empty and slot not in empty:
            empty.remove(across)
            found[slot] = across
    return list(found.items())


def settle(tokens: Tensor, pairs: Tensor, names: Tensor, pause: int) -> Tensor:
    """Move words across the border of their slot where the rows rather name them there.

    `tokens` [rows] are the words' places, `pairs` [words, 2] are the two slots of a word that may move, `names` [rows,
    vocabulary] are log-probabilities. A row that cannot know on which side a word ends would name it half in both: then
    nobody can tell one word from two that are the same.
    """
    here, across = pairs.T
    word = tokens[here]
    stays = names[here, word] + SILENT_WEIGHT * names[across, pause]
    moves = names[across, word] + SILENT_WEIGHT * names[here, pause]
    moved = moves > stays
    settled = tokens.clone()
    settled[here[moved]], settled[across[moved]] = pause, word[moved]
    return settled


def place_heard(samples: Sequence[Sample], rows: Tensor, table: Tensor, chat: Chat) -> tuple[Tensor, Tensor]:
    """Give the tokens that rows are drawn to, each word in the slot that they prefer, and the rows' log-probabilities.

    `rows` [all slots of all clips, text width] gives tokens [slots] and probabilities [slots, vocabulary].
    """
    tokens, pairs = list[int](), list[tuple[int, int]]()
    for sample in samples:
        placed = place_sample(sample, chat)
        pairs += [(len(tokens) + here, len(tokens) + across) for here, across in borderline(sample, placed, chat.pause)]
        tokens += placed
    names = (SHARPNESS * F.normalize(rows, dim=-1) @ F.normalize(table, dim=-1).T).log_softmax(-1)
    either = torch.tensor(pairs, dtype=torch.long, device=rows.device).reshape(-1, 2)
    return settle(torch.tensor(tokens, device=rows.device), either, names.detach(), chat.pause), names


def align_loss(rows: Tensor, batch: Batch, table: Tensor, chat: Chat) -> tuple[dict[str, Tensor], Tensor]:
    """Draw rows [clips, slots, text width] to the embeddings of the words that end in their slots, by direction and by distance.

    Gives the terms, and the tokens that the rows were drawn to: [all slots of all clips].
    """
    heard = torch.cat([of_clip[: slots(sample)] for of_clip, sample in zip(rows, batch.samples, strict=True)]).float()
    targets, names = place_heard(batch.samples, heard, table, chat)
    weight = 1 - (1 - SILENT_WEIGHT) * (targets == chat.pause).float()
    named = F.nll_loss(names, targets, reduction="none")
    near = (heard - table[targets]).square().mean(-1) / table.var()
    terms = {"word": (named * weight).sum() / weight.sum(), "distance": (near * weight).sum() / weight.sum()}
    return terms, targets


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
        with mixed():
            encoded, rows = hearing(batch)
            return align_loss(rows, batch, table, chat)[0] | listener.loss(encoded, batch)

    train(Run(folder / "align.pt", STEPS, muon=0.015, adamw=1e-3), hearing, loss)
    return hearing.eval()
