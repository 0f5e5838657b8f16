"""Shows a head of attention where what an answer copies comes from.

From answers alone a model this small learns slowly to copy: it has to find out what to count and where to look before
either helps. Where it should look is known here, so one head is taught that directly, as guided attention does
for speech synthesis (Tachibana et al. 2018); what to look for, and what to make of what it sees there, it learns itself.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from models.decoder import LanguageModel, Layer
from models.demo.tokens import IGNORED, Row
from models.rope import neighbours, rotate


class Pointer:
    """The first head of a layer of a language model in training."""

    def __init__(self, model: LanguageModel, layer: int) -> None:
        looking = model.model.layers[layer]
        assert isinstance(looking, Layer)
        self._attention, self._head_size = looking.self_attn, model.config.head_size
        self._attention.register_forward_pre_hook(self._keep)
        self._scores: Tensor | None = None

    def _keep(self, _module: nn.Module, inputs: tuple[Tensor, Tensor, object, object]) -> None:
        """Keep how each position scores every other: [rows, queries, keys]."""
        hidden, rotation, *_ = inputs
        projections = self._attention.q_proj, self._attention.k_proj
        query, key = (F.linear(hidden, projection.weight[: self._head_size]) for projection in projections)
        turned = rotate(neighbours(torch.stack((query, key), 2)), rotation)
        self._scores = turned[:, :, 0] @ turned[:, :, 1].mT / self._head_size**0.5

    def loss(self, rows: Sequence[Row]) -> Tensor | None:
        """Tell how far the head looked elsewhere in the last pass, which was over these rows; None where nothing is copied."""
        sources = pad_sequence([torch.tensor(row.sources) for row in rows], batch_first=True, padding_value=IGNORED)
        of, at = (sources != IGNORED).nonzero(as_tuple=True)
        if not len(of):
            return None
        assert self._scores is not None
        scores = self._scores[of, at].float()
        later = torch.arange(scores.shape[1]) > at[:, None]
        scores = scores.masked_fill(later.to(scores.device), float("-inf"))
        return F.cross_entropy(scores, sources[of, at].to(scores.device))
