"""Shows a head of attention where what an answer copies stands, and teaches it to say what it sees there.

From answers alone a model this small learns slowly to copy: it has to find out what to count and where to look before
either helps. Where it should look is known here, so one head is taught that directly, as guided attention does
for speech synthesis (Tachibana et al. 2018). And looking is not telling: a head's 64 numbers say little of which of
a thousand words it sees unless they are taught to, and whatever else was added drowns them. So what the head adds
is to make the right logit the highest by itself (direct logit attribution, Elhage et al. 2021).
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
        self._model, self._attention, self._first = model, looking.self_attn, slice(model.config.head_size)
        self._attention.register_forward_pre_hook(self._keep)
        model.model.norm.register_forward_pre_hook(self._keep_all)
        self._given: tuple[Tensor, Tensor] | None = None
        self._all: Tensor | None = None

    def _keep(self, _module: nn.Module, inputs: tuple[Tensor, Tensor, object, object]) -> None:
        """Keep what the layer looks at, [rows, positions, width], and how positions turn it."""
        self._given = inputs[:2]

    def _keep_all(self, _module: nn.Module, inputs: tuple[Tensor]) -> None:
        """Keep what everything together has added up to, [rows, positions, width]."""
        (self._all,) = inputs

    def losses(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Tell how far the head looked elsewhere in the last pass, which was over these rows, and took what it saw for something else.

        Gives `source` and `copy`, without what there is nothing of.
        """
        sources = pad_sequence([torch.tensor(row.sources) for row in rows], batch_first=True, padding_value=IGNORED)
        of, at = (sources != IGNORED).nonzero(as_tuple=True)
        if not len(of):
            return {}
        scores, source = self._scores()[of, at].float(), sources[of, at]
        later = torch.arange(scores.shape[1]) > at[:, None]
        scores = scores.masked_fill(later.to(scores.device), float("-inf"))
        losses = {"source": F.cross_entropy(scores, source.to(scores.device))}
        ids = pad_sequence([torch.tensor(row.ids) for row in rows], batch_first=True)
        same = ids[of, source] == ids[of, at + 1]  # not where a capital or a figure becomes another token
        if same.any():
            said = self._said(of[same], at[same], source[same])
            losses["copy"] = F.cross_entropy(said, ids[of, source][same].to(said.device))
        return losses

    def _scores(self) -> Tensor:
        """Give how each position scores every other: [rows, queries, keys]."""
        assert self._given is not None
        hidden, rotation = self._given
        projections = self._attention.q_proj, self._attention.k_proj
        query, key = (F.linear(hidden, projection.weight[self._first]) for projection in projections)
        turned = rotate(neighbours(torch.stack((query, key), 2)), rotation)
        scores: Tensor = turned[:, :, 0] @ turned[:, :, 1].mT / query.shape[-1] ** 0.5
        return scores

    def _said(self, of: Tensor, at: Tensor, source: Tensor) -> Tensor:
        """Give what the head adds to the logits at positions when it sees nothing but their sources: [positions, vocabulary]."""
        assert self._given is not None
        assert self._all is not None
        attention, norm = self._attention, self._model.model.norm
        assert isinstance(attention.o_proj, nn.Linear)
        value = F.linear(self._given[0][of, source], attention.v_proj.weight[self._first])
        added = F.linear(value, attention.o_proj.weight[:, self._first]).float()
        together = self._all[of, at].detach().float()
        scale = together.square().mean(-1, keepdim=True).add(norm.eps).rsqrt()
        said: Tensor = self._model.head(norm.weight * scale * added).float()
        return said
