"""The language model: Llama 3.x, Mistral (Nemo) and Qwen 3, which are one decoder with small switches.

Takes rows of input embeddings [batch, positions, width], so that audio can stand among text; gives hidden rows, and
logits from those. Parameter names are those of the published checkpoints, below `language_model.`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import additive, attend, causal, kept_dtype
from models.cache import KeyValues, Masks
from models.config import TextConfig
from models.linear import Linear, joined, pack
from models.rope import Rope, neighbours, rotate


class RMSNorm(nn.Module):
    """Root mean square norm (Zhang & Sennrich 2019), computed in float32 and scaled in the dtype of its input."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        # A CPU has a kernel for layer norm only. Beside its negative a row's mean is 0, and what is left is this norm.
        both = torch.cat((x, -x), -1)
        return self.weight * F.layer_norm(both, both.shape[-1:], eps=self.eps)[..., : x.shape[-1]]


class LanguageModel(nn.Module):
    """Embedding, decoder layers and head."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head: Linear | None = None if config.tied else nn.Linear(config.width, config.vocabulary, bias=False)

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

        For inference only; afterwards the parameters have no published names any more. Layers in int4 stay as they are.
        """
        for layer in self.model.layers:
            assert isinstance(layer, Layer)
            layer.self_attn.fuse()
            layer.mlp.fuse()
        head = self.lm_head or joined([self.model.embed_tokens])
        assert head is not None  # only layers are quantised
        if (packed := pack(head)) is not head:
            del self.lm_head
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
        rotation = self.rope(cache.positions(count, device) if cache else torch.arange(count, device=device))
        masks: dict[int | None, Masks] = {}  # one per kind of layer
        for layer in self.layers:
            assert isinstance(layer, Layer)
            window = layer.self_attn.window
            if window not in masks:
                seen = cache.masks(count, window, device) if cache else [causal(count, count, window, device)]
                masks[window] = [additive(mask, kept_dtype(rows.dtype, device)) for mask in seen]
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

    def forward(self, rows: Tensor, rotation: Tensor, masks: Masks, cache: KeyValues | None) -> Tensor:
        rows = rows + self.self_attn(self.input_layernorm(rows), rotation, masks, cache)
        out: Tensor = rows + self.mlp(self.post_attention_layernorm(rows))
        return out


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.feedforward, bias=config.mlp_bias)
        self.up_proj = nn.Linear(config.width, config.feedforward, bias=config.mlp_bias)
        self.down_proj: Linear = nn.Linear(config.feedforward, config.width, bias=config.mlp_bias)
        self.gate_up_proj: Linear | None = None

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, -1) if self.gate_up_proj else (self.gate_proj(x), self.up_proj(x))
        return self.down_proj(F.silu(gate) * up)

    def fuse(self) -> None:
        """Join gate and up, as `LanguageModel.fuse` says."""
        if self.gate_up_proj is None and (fused := joined([self.gate_proj, self.up_proj])):
            self.gate_up_proj = pack(fused)
            del self.gate_proj, self.up_proj
        packed = pack(self.down_proj)
        del self.down_proj
        self.down_proj = packed


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
        self.o_proj: Linear = nn.Linear(queries, config.width, bias=config.attention_bias)
        self.qkv_proj: Linear | None = None
        self._heads, self._kv_heads = config.heads, config.kv_heads
        if config.head_norm:
            self.q_norm = RMSNorm(config.head_size, config.eps)
            self.k_norm = RMSNorm(config.head_size, config.eps)
        self._head_norm = config.head_norm

    def forward(self, x: Tensor, rotation: Tensor, masks: Masks, cache: KeyValues | None) -> Tensor:
        turning, value = self._project(x)
        kept = kept_dtype(x.dtype, x.device)
        turned = rotate(turning, rotation).to(kept).transpose(1, 2)
        query, key, value = turned[:, : self._heads], turned[:, self._heads :], value.to(kept).transpose(1, 2)
        mixed = cache.attend(self.index, query, key, value, masks) if cache else attend(query, key, value, masks[0])
        return self.o_proj(mixed.transpose(1, 2).flatten(2).to(x.dtype))

    def fuse(self) -> None:
        """Join queries, keys and values, as `LanguageModel.fuse` says; what turns as a pair then comes out side by side."""
        if self.qkv_proj is None and (fused := joined([self.q_proj, self.k_proj, self.v_proj])):
            end = (self._heads + self._kv_heads) * self.head_size
            for tensor in (*fused.parameters(), *fused.buffers()):
                by_head = tensor.data[:end].view(-1, self.head_size, *tensor.shape[1:])
                tensor.data[:end] = neighbours(by_head, 1).flatten(0, 1)
            if self._head_norm:
                for norm in (self.q_norm, self.k_norm):
                    norm.weight.data = neighbours(norm.weight.data)
            self.qkv_proj = pack(fused)
            del self.q_proj, self.k_proj, self.v_proj
        packed = pack(self.o_proj)
        del self.o_proj
        self.o_proj = packed

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give queries with keys, in neighbouring pairs, and values: [batch, positions, heads, head size]."""
        split = (*x.shape[:2], -1, self.head_size)
        if self.qkv_proj is None:
            query, key, value = (project(x).view(split) for project in (self.q_proj, self.k_proj, self.v_proj))
            if self._head_norm:
                query, key = self.q_norm(query), self.k_norm(key)
            return neighbours(torch.cat((query, key), 2)), value
        heads, turning = self.qkv_proj(x).view(split), self._heads + self._kv_heads
        if not self._head_norm:
            return heads[:, :, :turning], heads[:, :, turning:]
        query, key = self.q_norm(heads[:, :, : self._heads]), self.k_norm(heads[:, :, self._heads : turning])
        return torch.cat((query, key), 2), heads[:, :, turning:]
