"""The language model: Llama 3.x, Mistral (Nemo) and Qwen 3, which are one decoder with small switches.

Takes rows of input embeddings [batch, positions, width], so that audio can stand among text; gives hidden rows, and
logits from those. Parameter names are those of the published checkpoints, below `language_model.`.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.cache import KeyValues, causal_mask
from models.config import TextConfig
from models.linear import joined, pack
from models.rope import Rope, rotate

Rotation = tuple[Tensor, Tensor]


class RMSNorm(nn.Module):
    """Root mean square norm (Zhang & Sennrich 2019), computed in float32 and scaled in the dtype of its input."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class LanguageModel(nn.Module):
    """Embedding, decoder layers and head."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head: nn.Module | None = None if config.tied else nn.Linear(config.width, config.vocabulary, bias=False)

    def embed(self, ids: Tensor) -> Tensor:
        """Look up input embeddings: [...] int64 on any device -> [..., width]."""
        rows: Tensor = self.model.embed_tokens(ids.to(self.model.embed_tokens.weight.device))
        return rows

    def forward(self, rows: Tensor, cache: KeyValues | None = None) -> Tensor:
        """Run the layers and the last norm: [batch, positions, width] -> the same shape.

        Attention is causal. With a cache the rows follow what it holds, and are added to it.
        """
        hidden: Tensor = self.model(rows, cache)
        return hidden

    def head(self, hidden: Tensor) -> Tensor:
        """Give logits: [..., width] -> [..., vocabulary]."""
        if self.lm_head is None:
            return F.linear(hidden, self.model.embed_tokens.weight)
        logits: Tensor = self.lm_head(hidden)
        return logits

    def fuse(self) -> None:
        """Join the projections that share an input, and lay weights out for the processor: the same numbers, faster.

        For inference only; afterwards the parameters have no published names any more. Quantised layers stay as they are.
        """
        for layer in self.model.layers:
            assert isinstance(layer, Layer)
            layer.self_attn.fuse()
            layer.mlp.fuse()
        head = self.lm_head or joined([self.model.embed_tokens])
        assert head is not None  # only layers are quantised
        if (packed := pack(head)) is not head:
            self.lm_head = packed


class Decoder(nn.Module):
    """The layers between embedding and head."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.layers))
        self.norm = RMSNorm(config.width, config.eps)
        self.rope = Rope(config.rope, config.head_size)

    def forward(self, rows: Tensor, cache: KeyValues | None) -> Tensor:
        count, device = rows.shape[1], rows.device
        positions = cache.positions(count, device) if cache else torch.arange(count, device=device)
        cosine, sine = self.rope(positions, rows.dtype)
        rotation = cosine.unsqueeze(-3), sine.unsqueeze(-3)  # for every head
        masks: dict[int | None, Tensor | None] = {}  # one per kind of layer
        for layer in self.layers:
            assert isinstance(layer, Layer)
            window = layer.self_attn.window
            if window not in masks:
                mask = cache.mask(count, window, device) if cache else causal_mask(count, count, window, device)
                masks[window] = None if mask is None else additive(mask, rows.dtype)
            rows = layer(rows, rotation, masks[window], cache)
        if cache is not None:
            cache.advance(count)
        hidden: Tensor = self.norm(rows)
        return hidden


class Layer(nn.Module):
    """Attention and feed-forward, each after a norm and added to its input."""

    def __init__(self, config: TextConfig, index: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.width, config.eps)
        self.self_attn = Attention(config, index)
        self.post_attention_layernorm = RMSNorm(config.width, config.eps)
        self.mlp = FeedForward(config)

    def forward(self, rows: Tensor, rotation: Rotation, mask: Tensor | None, cache: KeyValues | None) -> Tensor:
        rows = rows + self.self_attn(self.input_layernorm(rows), rotation, mask, cache)
        out: Tensor = rows + self.mlp(self.post_attention_layernorm(rows))
        return out


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.feedforward, bias=config.mlp_bias)
        self.up_proj = nn.Linear(config.width, config.feedforward, bias=config.mlp_bias)
        self.down_proj: nn.Module = nn.Linear(config.feedforward, config.width, bias=config.mlp_bias)
        self.gate_up_proj: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, -1) if self.gate_up_proj else (self.gate_proj(x), self.up_proj(x))
        out: Tensor = self.down_proj(F.silu(gate) * up)
        return out

    def fuse(self) -> None:
        """Join gate and up, as `LanguageModel.fuse` says."""
        if self.gate_up_proj is None and (fused := joined([self.gate_proj, self.up_proj])):
            self.gate_up_proj = pack(fused)
            del self.gate_proj, self.up_proj
        self.down_proj = pack(self.down_proj)


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions."""

    def __init__(self, config: TextConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.head_size = config.head_size
        self.window = config.windows[index] if config.windows else None
        queries, keys = config.heads * config.head_size, config.kv_heads * config.head_size
        self.q_proj = nn.Linear(config.width, queries, bias=config.attention_bias)
        self.k_proj = nn.Linear(config.width, keys, bias=config.attention_bias)
        self.v_proj = nn.Linear(config.width, keys, bias=config.attention_bias)
        self.o_proj: nn.Module = nn.Linear(queries, config.width, bias=config.attention_bias)
        self.qkv_proj: nn.Module | None = None
        self._sizes = [queries, keys, keys]
        if config.head_norm:
            self.q_norm: nn.Module = RMSNorm(config.head_size, config.eps)
            self.k_norm: nn.Module = RMSNorm(config.head_size, config.eps)
        else:
            self.q_norm = self.k_norm = nn.Identity()

    def forward(self, x: Tensor, rotation: Rotation, mask: Tensor | None, cache: KeyValues | None) -> Tensor:
        query, key, value = (part.view(*x.shape[:2], -1, self.head_size) for part in self._project(x))
        query = rotate(self.q_norm(query).transpose(1, 2), rotation)
        key = rotate(self.k_norm(key).transpose(1, 2), rotation)
        value = value.transpose(1, 2)
        if cache is not None:
            key, value = cache.append(self.index, key, value)
        out: Tensor = self.o_proj(attend(query, key, value, mask).transpose(1, 2).flatten(2))
        return out

    def fuse(self) -> None:
        """Join queries, keys and values, as `LanguageModel.fuse` says."""
        if self.qkv_proj is None and (fused := joined([self.q_proj, self.k_proj, self.v_proj])):
            self.qkv_proj = pack(fused)
            del self.q_proj, self.k_proj, self.v_proj
        self.o_proj = pack(self.o_proj)

    def _project(self, x: Tensor) -> Sequence[Tensor]:
        if self.qkv_proj is not None:
            return self.qkv_proj(x).split(self._sizes, -1)  # type: ignore[no-any-return]
        return self.q_proj(x), self.k_proj(x), self.v_proj(x)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Mix values: queries [batch, heads, n, head size], keys and values [batch, kv heads, m, head size] -> as the queries.

    Without a mask a single query sees every key, several are plainly causal. Else the queries that share a key stand
    under one another as further positions: no kernel then copies the keys for them, which costs most of the time on a CPU.
    """
    batch, heads, count, size = query.shape
    if mask is None and count > 1:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    shared = heads // key.shape[1]
    if mask is not None and count > 1:
        mask = mask.repeat(*[1] * (mask.ndim - 2), shared, 1)
    grouped = query.reshape(batch, key.shape[1], shared * count, size)
    if shared * count == 1 and query.device.type == "cpu":  # its kernel takes a third of the time for two
        return F.scaled_dot_product_attention(grouped.repeat(1, 1, 2, 1), key, value, mask)[:, :, :1]
    return F.scaled_dot_product_attention(grouped, key, value, mask).view(batch, heads, count, size)


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn what may be seen into what is added to the scores."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, float("-inf"))
