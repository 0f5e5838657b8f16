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
    return _right(language, row, language.embed(torch.tensor(row.ids)), _newest(row, chat))


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
        row, embedded = self._heard(asked, clips)
        return _right(self.model.language_model, row, embedded, _newest(row, self.chat))

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


def _newest(row: Row, chat: Chat) -> int:
    """Find where the last turn's answers begin: after the last message of the user."""
    head = chat.head("user")
    starts = [at for at in range(len(row.ids)) if row.ids[at : at + len(head)] == head]
    return starts[-1] + len(head)


def _right(language: LanguageModel, row: Row, embedded: Tensor, start: int) -> bool:
    hidden = language(embedded[None])[0]
    expected = [(at, token) for at, token in enumerate(row.labels) if at >= start and token != IGNORED]
    places, tokens = zip(*expected, strict=True)
    given = language.head(hidden[torch.tensor(places) - 1]).argmax(-1)
    return bool(given.tolist() == list(tokens))
