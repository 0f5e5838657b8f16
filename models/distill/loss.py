"""The losses of distillation, on logits [labels of all examples, vocabulary], example after example."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Loss:
    """What is minimised, and the loss of each label by itself: [labels]."""

    total: Tensor
    each: Tensor


def predicting(labels: Tensor, positions: Literal["shifted", "unshifted"]) -> Tensor:
    """Mark the positions whose logits are compared: just before each label (v0.6), or at each label (up to v0.5)."""
    return labels.roll(-1, 1) if positions == "shifted" else labels  # a label is never first


def divergence(student: Tensor, teacher: Tensor, counts: Tensor, temperature: float, end_weight: float) -> Loss:
    """KL(teacher || student), softened by the temperature and not scaled by its square, as mean over all labels.

    `counts` [examples] says how many labels each example has. The mean over the last one of each, where a turn
    ends, is added with `end_weight`.
    """
    told = (student.float() / temperature).log_softmax(-1)
    known = (teacher.float() / temperature).log_softmax(-1)
    each = F.kl_div(told, known, log_target=True, reduction="none").sum(-1)
    return Loss(_mean(each) + end_weight * _mean(each[(counts.cumsum(0) - 1)[counts > 0]]), each)


def cross_entropy(student: Tensor, labels: Tensor) -> Loss:
    """The answers themselves as targets: mean over all labels."""
    each = F.cross_entropy(student.float(), labels, reduction="none")
    return Loss(_mean(each), each)


def turns(logits: Tensor, over: Tensor, end: int) -> Tensor:
    """How badly the `end` of the turn is foretold where sounds end: cross-entropy of logits [sounds, vocabulary] with `over` [sounds] bool."""
    ends = logits.float().log_softmax(-1)[:, end]
    goes_on = torch.log1p(-ends.exp().clamp(max=1 - 1e-6))
    return _mean(-torch.where(over, ends, goes_on))


def _mean(values: Tensor) -> Tensor:
    """The mean; 0 of nothing."""
    return values.sum() / max(1, values.numel())


def broken(each: Tensor, counts: Tensor) -> Tensor:
    """Tell which examples have a loss that is no number: [examples] bool."""
    example = torch.arange(len(counts), device=each.device).repeat_interleave(counts)
    flawed = (~each.detach().isfinite()).float()
    return torch.zeros(len(counts), device=each.device).index_add_(0, example, flawed) > 0
