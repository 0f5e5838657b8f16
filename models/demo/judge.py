"""Asks a model and tells whether its answers are right: to the letter, each the likeliest token after what came before.

An answer is given greedily, so it is the expected one exactly when each of its tokens is the likeliest after those before
it. So one pass over a conversation with the expected answer tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from models.decoder import LanguageModel
from models.demo.adapter import slots
from models.demo.conversation import Setting, Turn
from models.demo.pool import Sample, to_mel
from models.demo.tokens import IGNORED, Chat, Row, text_row
from models.ultravox import Ultravox


@dataclass(frozen=True, slots=True)
class Asked:
    """A conversation whose last turn is judged."""

    turns: Sequence[Turn]
    setting: Setting


@torch.inference_mode()
def reads(language: LanguageModel, chat: Chat, asked: Asked, rng: Random, spoken: float) -> bool:
    """Ask a language model in text: laid out as audio with probability `spoken`, else typed."""
    row = text_row(asked.turns, asked.setting, chat, rng, spoken)
    return _judged(language, row, language.embed(torch.tensor(row.ids)), chat)[-1][1]


class Judge:
    """Asks a model that hears."""

    def __init__(self, model: Ultravox, chat: Chat) -> None:
        self.model, self.chat = model, chat

    @torch.inference_mode()
    def rows(self, sample: Sample) -> Tensor:
        """Encode one clip: [slots, text width]."""
        encoded = self.model.audio_tower(to_mel(sample).T[None])
        rows: Tensor = self.model.multi_modal_projector(encoded)[0]
        return rows

    @torch.inference_mode()
    def hears(self, asked: Asked, clips: Sequence[Sample]) -> bool:
        """Ask by voice, each turn by its clip."""
        return self.hears_all(asked, clips)[-1][1]

    @torch.inference_mode()
    def hears_all(self, asked: Asked, clips: Sequence[Sample]) -> list[tuple[int, bool]]:
        """Judge every turn of a conversation by voice; says how many tokens of conversation stood before its answer, and whether that is right."""
        row, embedded = self._heard(asked, clips)
        return _judged(self.model.language_model, row, embedded, self.chat)

    @torch.inference_mode()
    def over(self, asked: Asked, clips: Sequence[Sample]) -> float:
        """Give the probability of the end-of-turn token after the last clip."""
        row, embedded = self._heard(asked, clips)
        hidden = self.model.language_model(embedded[None, : row.spoken[-1][1]])
        return float(self.model.language_model.head(hidden[0, -1]).softmax(-1)[self.chat.end])

    def _heard(self, asked: Asked, clips: Sequence[Sample]) -> tuple[Row, Tensor]:
        users = [[self.chat.audio] * slots(clip) for clip in clips]
        row = self.chat.row(asked.turns, users, [True] * len(clips), asked.setting)
        embedded = self.model.language_model.embed(torch.tensor(row.ids)).clone()
        for (start, end), clip in zip(row.spoken, clips, strict=True):
            embedded[start:end] = self.rows(clip)
        return row, embedded


def _judged(language: LanguageModel, row: Row, embedded: Tensor, chat: Chat) -> list[tuple[int, bool]]:
    """Tell of each turn with an answer how many tokens stood before that, from the first message of the user, and whether it is right."""
    given = language.head(language(embedded[None])[0]).argmax(-1).tolist()
    head = chat.head("user")
    starts = [at for at in range(len(row.ids)) if row.ids[at : at + len(head)] == head]
    judged = []
    for start, end in zip(starts, [*starts[1:], len(row.ids)], strict=True):
        if expected := [at for at in range(start, end) if row.labels[at] != IGNORED]:
            right = all(given[at - 1] == row.labels[at] for at in expected)
            judged.append((expected[0] - starts[0], right))
    return judged
