"""Logits -> tokens, on the device, for several answers at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer's tokens are chosen; the default is always the likeliest."""

    temperature: float = 0.0  # 0: the likeliest; else logits are divided by it
    top_p: float = 1.0  # of the likeliest tokens that together have this probability (Holtzman et al. 2020)
    repetition_penalty: float = 1.0  # divides the logits of what was said or asked (Keskar et al. 2019)


GREEDY = Sampling()


def choose(logits: Tensor, how: Sequence[Sampling]) -> list[int]:
    """Pick a token for each row of [batch, vocabulary]; -1 where the row is not finite."""
    highest, tokens = logits.max(-1)
    drawn = [row for row, sampling in enumerate(how) if sampling.temperature > 0]
    if drawn:
        tokens[drawn] = _draw(logits[drawn].float().nan_to_num(), [how[row] for row in drawn])
    told = torch.stack((highest.double(), tokens.double())).tolist()  # the only wait for the device
    return [int(token) if math.isfinite(value) else -1 for value, token in zip(*told, strict=True)]


def _draw(logits: Tensor, how: Sequence[Sampling]) -> Tensor:
    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=logits.device)[:, None]

    probabilities, order = (
        (logits / column([sampling.temperature for sampling in how])).softmax(-1).sort(-1, descending=True)
    )
    before = probabilities.cumsum(-1) - probabilities  # what the likelier ones have together
    kept = probabilities.masked_fill(before >= column([sampling.top_p for sampling in how]), 0)
    return order.gather(1, torch.multinomial(kept, 1))[:, 0]


def penalise(logits: Tensor, seen: Tensor, sampling: Sampling) -> Tensor:
    """Make the tokens that were seen less likely: [vocabulary], and ids [n]."""
    values, penalty = logits[seen], sampling.repetition_penalty
    return logits.index_copy(0, seen, torch.where(values > 0, values / penalty, values * penalty))
