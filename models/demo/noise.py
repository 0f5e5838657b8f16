"""Imagined audio made as unsure as the adapter's rows will be, so that the frozen language model can read those.

What the adapter gives for a word lies between the embeddings of words that sound alike, is smeared over two slots when
the word ends near the border of one, is shorter where the encoder is unsure, and is never exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NEIGHBOURS = 6  # words that a word may be mistaken for
_SHARPNESS = 8.0  # how fast the chance of that falls with the distance of their phones


@dataclass(frozen=True, slots=True)
class Confusions:
    """Of each token the tokens that sound most alike, and how likely each is: both [vocabulary, NEIGHBOURS].

    Tokens that are no spoken word have themselves.
    """

    tokens: Tensor
    shares: Tensor


def find_confusions(words: Sequence[int], phones: Sequence[Sequence[int]], vocabulary: int) -> Confusions:
    """Compare the phones of words, given by their tokens, by edit distance relative to the longer word."""
    tokens = torch.arange(vocabulary)[:, None].repeat(1, NEIGHBOURS)
    shares = torch.full((vocabulary, NEIGHBOURS), 1 / NEIGHBOURS)
    table, lengths = _table(phones)
    for index, token in enumerate(words):
        distance = torch.from_numpy(_distances(phones[index], table, lengths))
        distance[index] = torch.inf
        nearest = distance.topk(NEIGHBOURS, largest=False)
        tokens[token] = torch.tensor(words)[nearest.indices]
        shares[token] = (-_SHARPNESS * nearest.values).softmax(0).to(shares.dtype)
    return Confusions(tokens, shares)


def _table(phones: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    lengths = np.array([len(of_word) for of_word in phones])
    table = np.full((len(phones), int(lengths.max())), -1)
    for row, of_word in zip(table, phones, strict=True):
        row[: len(of_word)] = of_word
    return table, lengths


def _distances(word: Sequence[int], table: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the edit distance (Levenshtein 1966) of one word from all, divided by the length of the longer: [words]."""
    before = np.tile(np.arange(table.shape[1] + 1), (len(table), 1))
    for count, phone in enumerate(word, 1):
        row = np.full_like(before, count)
        for at in range(table.shape[1]):
            replaced = before[:, at] + (table[:, at] != phone)
            row[:, at + 1] = np.minimum(replaced, np.minimum(before[:, at + 1], row[:, at]) + 1)
        before = row
    distances: NDArray[np.float64] = before[np.arange(len(table)), lengths] / np.maximum(lengths, len(word))
    return distances


@dataclass(frozen=True, slots=True)
class Unsure:
    """Disturbs embedded rows; `table` holds the embeddings, `pause` is the token of slots in which no word ends."""

    confusions: Confusions
    table: Tensor
    pause: int

    def __call__(self, embedded: Tensor, ids: Tensor, most: Tensor, generator: torch.Generator) -> Tensor:
        """Disturb embedded ids [rows, positions], each row up to a level that is drawn for it.

        `most` [rows, positions] bounds the level, 0 to 1: 0 where there is no audio. What is drawn is drawn on the CPU;
        `embedded` may be elsewhere.
        """
        draw = _Draw(generator)
        levels = draw(len(ids), 1).square() * most
        word = (most > 0) & (ids != self.pause)
        rows = self._mixed(embedded, ids, levels * word, draw)
        rows = self._smeared(rows, ids, levels * word, draw)
        rows = rows * (1 - 0.3 * levels * draw(*ids.shape))[..., None].to(rows.device)
        blur = torch.randn(rows.shape, generator=generator) * 0.5 * levels[..., None]
        return rows + self.table.detach().std() * blur.to(rows.device)

    def _mixed(self, rows: Tensor, ids: Tensor, levels: Tensor, draw: "_Draw") -> Tensor:
        """Bring some words nearer to one that sounds like them, or to a pause; they stay nearer to themselves."""
        tokens, shares = self.confusions.tokens[ids], self.confusions.shares[ids]
        picked = (draw(*ids.shape, 1) > shares.cumsum(-1)).sum(-1).clamp(max=NEIGHBOURS - 1)
        other = tokens.gather(-1, picked[..., None])[..., 0]
        other = torch.where(draw(*ids.shape) < 0.2, self.pause, other)
        share = (0.5 * draw(*ids.shape) * (draw(*ids.shape) < 0.6 * levels))[..., None].to(rows.device)
        return rows * (1 - share) + self.table[other] * share

    def _smeared(self, rows: Tensor, ids: Tensor, levels: Tensor, draw: "_Draw") -> Tensor:
        """Let some words lie partly in the slot after or before their own, where that is empty."""
        for step in (1, -1):
            free = (ids == self.pause).roll(-step, 1)
            share = (0.5 * draw(*ids.shape) * (free & (draw(*ids.shape) < 0.4 * levels)))[..., None]
            moved = (rows - self.table[self.pause]) * share.to(rows.device)
            rows = rows - moved + moved.roll(step, 1)
        return rows


@dataclass(frozen=True, slots=True)
class _Draw:
    generator: torch.Generator

    def __call__(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator)
