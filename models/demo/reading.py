"""Stage 5: the language model learns to read what the adapter gives for speech.

Imagined audio is made unsure by rules (`noise.py`); which words an adapter really takes for one another, and how it spreads
a word over two slots, is learnt here from its rows for the pool's clips. Every second block of conversations is
imagined still: the pool has few clips of what is copied from them, long strings and words that make no sense together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from models.decoder import LanguageModel
from models.demo.adapter import Hearing, place_heard, slots, stopped
from models.demo.conversation import Mix, converse, draw_setting
from models.demo.dialogues import SPOKEN, Clips, draw_clips
from models.demo.encoder import collate
from models.demo.language import (
    CALLED,
    DICTATED,
    LONG,
    NUMBERS,
    REPEATED,
    SENTENCES,
    SORTED,
    Batches,
    Imagined,
    Part,
    Reader,
    pad_rows,
)
from models.demo.pool import Sample, stop_after
from models.demo.tokens import Chat, Row, typed_turn
from models.demo.training import Run, mixed, train
from models.demo.utterances import UNFINISHED, Utterance

MIXES = (Mix(), LONG, CALLED, SENTENCES, Mix(), DICTATED, CALLED, REPEATED, Mix(), LONG, NUMBERS)
READING = Part("reading", 15_140, 0.01, 6e-4, MIXES, (1, 2, 12, 3, 1, 8, 2, 12))
TOGETHER = 48  # clips that are heard at once
STOPPED = 0.25  # share of clips that are ended in a pause within; as many are ended in one after their last word
BROKEN_OFF = 0.25  # share of conversations whose last utterance is not finished


@dataclass(frozen=True, slots=True)
class Read:
    """A clip as the adapter hears it: [slots, text width], and the tokens that it is meant to give there."""

    utterance: Utterance
    tokens: list[int]
    rows: Tensor


def hear_pool(folder: Path, pool: Sequence[Sample], hearing: Hearing, table: Tensor, chat: Chat) -> list[Read]:
    """Give what the adapter hears in each clip: first as it is, then masked as in training; some are ended in a pause.

    They are to be clips that the adapter was not trained on, because it is surer of those than it will be of a caller.
    """
    plain, masked = _some_stopped(pool, "plain"), _some_stopped(pool, "masked")
    path = folder / "heard.pt"
    if not path.exists():
        generator = torch.Generator().manual_seed(0)
        torch.save(torch.cat((_hear(plain, hearing, None), _hear(masked, hearing, generator))), path)
    samples = plain + masked
    rows = torch.load(path, weights_only=True).split([slots(sample) for sample in samples])
    tokens = [
        place_heard([sample], of_clip.float(), table, chat)[0].tolist()
        for sample, of_clip in zip(samples, rows, strict=True)
    ]
    return [
        Read(sample.utterance, placed, of_clip) for sample, placed, of_clip in zip(samples, tokens, rows, strict=True)
    ]


def _some_stopped(pool: Sequence[Sample], seed: str) -> list[Sample]:
    """End some of the clips in a pause; gives them by length."""
    rng = Random(f"heard {seed}")
    return sorted((maybe_stopped(sample, rng) for sample in pool), key=lambda sample: len(sample.mel))


def maybe_stopped(sample: Sample, rng: Random) -> Sample:
    """End some clips in a pause within, as many in one after their last word."""
    share = rng.random()
    if share < STOPPED:
        return stopped(sample, rng)
    if share < 2 * STOPPED and sample.utterance.words:
        return stop_after(sample, len(sample.ends), rng)
    return sample


@torch.no_grad()
def _hear(samples: Sequence[Sample], hearing: Hearing, generator: torch.Generator | None) -> Tensor:
    rows: list[Tensor] = []
    for start in range(0, len(samples), TOGETHER):
        together = samples[start : start + TOGETHER]
        with mixed():
            _, heard = hearing(collate(together, generator))
        rows += [of_clip[: slots(sample)].bfloat16().cpu() for of_clip, sample in zip(heard, together, strict=True)]
    return torch.cat(rows)


def train_reading(
    folder: Path, pool: Sequence[Sample], hearing: Hearing, language: LanguageModel, chat: Chat
) -> Reader:
    """Run the stage in a build folder; the language model goes on from where it is, with the head that counts beside it."""
    torch.manual_seed(3)
    reader = Reader(language, chat)
    language.requires_grad_(requires_grad=True).model.embed_tokens.requires_grad_(requires_grad=False)
    table = language.model.embed_tokens.weight.detach().cpu()
    clips = Clips(hear_pool(folder, pool, hearing, table, chat))
    run = Run(folder / f"{READING.name}.pt", READING.steps, READING.muon, READING.adamw)
    train(run, reader, Reading(reader, clips, chat))
    return reader.eval()


class Reading:
    """The loss of a step: what was heard is to be answered, or, in every second block of steps, what is imagined."""

    def __init__(self, reader: Reader, clips: Clips[Read], chat: Chat) -> None:
        self._reader = reader
        self._heard = Batches(READING, partial(draw_read, clips, chat), lambda drawn: len(drawn[0].ids))
        self._imagined = Imagined(reader, READING)

    def __call__(self, step: int) -> dict[str, Tensor]:
        reader = self._reader
        if step // SORTED % 2:
            return self._imagined(step)
        drawn = self._heard(step)
        rows = [row for row, _ in drawn]
        ids, labels = pad_rows(rows, reader.chat.end)
        embedded = reader.model.embed(ids).clone()
        for index, (row, heard) in enumerate(drawn):
            for (start, end), clip in zip(row.spoken, heard, strict=True):
                embedded[index, start:end] = clip.rows.to(embedded)
        return reader.loss(rows, embedded, labels)


def draw_read(clips: Clips[Read], chat: Chat, mix: Mix, count: int, rng: Random) -> tuple[Row, list[Read]]:
    """Draw a conversation of the pool's clips, and those of them that are heard, not read."""
    drawn, task = draw_clips(clips, mix, count, rng)
    if not drawn:
        return draw_read(clips, chat, mix, count, rng)
    if rng.random() < BROKEN_OFF:
        drawn[-1] = clips.like(Utterance(UNFINISHED, ""), rng) or drawn[-1]
    setting = draw_setting(task, [clip.utterance for clip in drawn], rng)
    turns = converse([clip.utterance for clip in drawn], setting, rng)
    spoken = [rng.random() < SPOKEN for _ in drawn]
    users = [
        clip.tokens if by_voice else typed_turn(turn, setting, chat, rng)
        for clip, turn, by_voice in zip(drawn, turns, spoken, strict=True)
    ]
    heard = [clip for clip, by_voice in zip(drawn, spoken, strict=True) if by_voice]
    return chat.row(turns, users, spoken, setting), heard
