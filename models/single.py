"""The decode step of a lone conversation on a CPU, as a plain list of operations.

What modules do around their work, and what makes them fit for any batch, takes as long for one row as a small layer.
Here the weights of a fused model are gathered once, and a step is little but the operations of `decoder.py` on them.
Models whose layers norm their heads or see a window only have no such step.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.cache import Cache
from models.decoder import LanguageModel, Layer
from models.linear import Linear
from models.rope import rotate


@dataclass(frozen=True, slots=True)
class Weights:
    """One layer's."""

    first_norm: Tensor
    qkv: Linear
    out: Linear
    second_norm: Tensor
    gate_up: Linear
    down: Linear


class Single:
    """Implements the decode step for one conversation; the model is on a CPU, and fused."""

    def __init__(self, language_model: LanguageModel, layers: list[Weights], capacity: int) -> None:
        config, decoder = language_model.config, language_model.model
        self._layers = layers
        self._embed, self._head = language_model.embed, language_model.head
        self._norm, self._eps = decoder.norm.weight, config.eps
        self._heads, self._turning = config.heads, config.heads + config.kv_heads
        self._size = config.head_size
        self._rotations = decoder.rope(torch.arange(capacity))  # [positions, 1, head size / 2]

    @classmethod
    @torch.inference_mode()
    def of(cls, language_model: LanguageModel, capacity: int) -> "Single | None":
        """Gather what a step needs, for tapes of so many positions; None where the model is not fit for it."""
        config = language_model.config
        device = language_model.model.norm.weight.device
        if device.type != "cpu" or config.head_norm or any(config.windows):
            return None
        layers = [
            weights
            for layer in language_model.model.layers
            if isinstance(layer, Layer) and (weights := _weights(layer))
        ]
        return cls(language_model, layers, capacity) if len(layers) == config.layers else None

    def decode(self, token: int, cache: Cache) -> Tensor:
        """Put a token on a tape; gives the logits after it, [1, vocabulary]."""
        rotation = self._rotations[cache.length]
        rows = self._embed(torch.tensor([[token]]))[0]
        for index, layer in enumerate(self._layers):
            heads = layer.qkv(self._normed(rows, layer.first_norm)).view(-1, self._size)
            turned = rotate(heads[: self._turning], rotation)[None, :, None]
            value = heads[None, self._turning :, None]
            mixed = cache.attend(index, turned[:, : self._heads], turned[:, self._heads :], value, [None])
            rows = rows + layer.out(mixed.view(1, -1).to(rows.dtype))
            gate, up = layer.gate_up(self._normed(rows, layer.second_norm)).chunk(2, -1)
            rows = rows + layer.down(F.silu(gate) * up)
        cache.advance(1)
        logits: Tensor = self._head(self._normed(rows, self._norm))
        return logits

    def _normed(self, row: Tensor, weight: Tensor) -> Tensor:
        square = torch.linalg.vector_norm(row, dtype=torch.float32).item() ** 2
        normed: Tensor = row * (square / row.shape[1] + self._eps) ** -0.5 * weight
        return normed


def _weights(layer: Layer) -> Weights | None:
    attention, mlp = layer.self_attn, layer.mlp
    if attention.qkv_proj is None or mlp.gate_up_proj is None:
        return None
    first, second = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
    return Weights(first, attention.qkv_proj, attention.o_proj, second, mlp.gate_up_proj, mlp.down_proj)
