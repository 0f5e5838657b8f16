"""The language model: Llama 3.x, Mistral (Nemo) and Qwen 3, which are one decoder with small switches.

Takes rows of input embeddings [batch, positions, width], so that audio can stand among text; gives hidden rows, and
logits from those. Parameter names are those of the published checkpoints, below `language_model.`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.cache import Cache
from models.config import RopeConfig, TextConfig


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
        self.lm_head = None if config.tied else nn.Linear(config.width, config.vocabulary, bias=False)

    def embed(self, ids: Tensor) -> Tensor:
        """Look up input embeddings: [...] int64 on any device -> [..., width]."""
        rows: Tensor = self.model.embed_tokens(ids.to(self.model.embed_tokens.weight.device))
        return rows

    def forward(self, rows: Tensor, cache: Cache | None = None) -> Tensor:
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


class Decoder(nn.Module):
    """The layers between embedding and head."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.width)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.layers))
        self.norm = RMSNorm(config.width, config.eps)
        self.rope = Rope(config.rope, config.head_size)

    def forward(self, rows: Tensor, cache: Cache | None) -> Tensor:
        start, count = (cache.length if cache else 0), rows.shape[1]
        rotation = self.rope(torch.arange(start, start + count, device=rows.device), rows.dtype)
        for layer in self.layers:
            rows = layer(rows, rotation, cache)
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

    def forward(self, rows: Tensor, rotation: tuple[Tensor, Tensor], cache: Cache | None) -> Tensor:
        rows = rows + self.self_attn(self.input_layernorm(rows), rotation, cache)
        out: Tensor = rows + self.mlp(self.post_attention_layernorm(rows))
        return out


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.feedforward, bias=config.mlp_bias)
        self.up_proj = nn.Linear(config.width, config.feedforward, bias=config.mlp_bias)
        self.down_proj = nn.Linear(config.feedforward, config.width, bias=config.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


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
        self.o_proj = nn.Linear(queries, config.width, bias=config.attention_bias)
        if config.head_norm:
            self.q_norm: nn.Module = RMSNorm(config.head_size, config.eps)
            self.k_norm: nn.Module = RMSNorm(config.head_size, config.eps)
        else:
            self.q_norm = self.k_norm = nn.Identity()

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: Cache | None) -> Tensor:
        split = (*x.shape[:2], -1, self.head_size)
        query = rotate(self.q_norm(self.q_proj(x).view(split)).transpose(1, 2), rotation)
        key = rotate(self.k_norm(self.k_proj(x).view(split)).transpose(1, 2), rotation)
        value = self.v_proj(x).view(split).transpose(1, 2)
        if cache is not None:
            key, value = cache.append(self.index, key, value)
        mask = causal_mask(query.shape[2], key.shape[2], self.window, x.device)
        whole = mask is None and query.shape[2] > 1  # nothing precedes the queries: plain causal attention
        mixed = F.scaled_dot_product_attention(query, key, value, mask, is_causal=whole, enable_gqa=True)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out


def causal_mask(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor | None:
    """Say which keys each query sees ([queries, keys] bool, the queries being the last positions); None is the default.

    The default: one query that sees all, or as many queries as keys and no window.
    """
    windowed = window is not None and keys > window
    if not windowed and queries in (1, keys):
        return None
    distance = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
    return (distance >= 0) & (distance < window) if windowed else distance >= 0  # type: ignore[operator]


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Apply rotary positions to [batch, heads, positions, head size]; the halves of a head are the pairs."""
    cosine, sine = rotation
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat((-second, first), -1) * sine


class Rope:
    """Rotary position embedding (Su et al. 2021) with the frequencies that the config asks for."""

    def __init__(self, config: RopeConfig, head_size: int) -> None:
        self.frequencies = frequencies(config, head_size)
        self.scale = attention_scale(config)

    def __call__(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Give cosine and sine [positions, head size] of each position's angles."""
        if self.frequencies.device != positions.device:
            self.frequencies = self.frequencies.to(positions.device)
        angles = torch.outer(positions.float(), self.frequencies).repeat(1, 2)
        return (angles.cos() * self.scale).to(dtype), (angles.sin() * self.scale).to(dtype)


def frequencies(config: RopeConfig, head_size: int) -> Tensor:
    """Compute the angle per position of each pair: [head size / 2], float32, on the CPU."""
    steps = torch.arange(0, head_size, 2, dtype=torch.int64, device="cpu").float() / head_size
    plain = 1.0 / (config.theta**steps)
    match config.kind:
        case "default":
            return plain
        case "linear":
            return plain / config.factor
        case "llama3":
            return _llama3(plain, config)
        case "yarn":
            return _yarn(plain, config, head_size)


def _llama3(plain: Tensor, config: RopeConfig) -> Tensor:
    """Llama 3.1's scaling: slow pairs are stretched by the factor, fast ones kept, those between blended."""
    turns = config.original_positions * plain / (2 * math.pi)  # turns of each pair over the original context
    low, high = config.low_frequency_factor, config.high_frequency_factor
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 - keep) * plain / config.factor + keep * plain


def _yarn(plain: Tensor, config: RopeConfig, head_size: int) -> Tensor:
    """YaRN (Peng et al. 2023), section 3.2: as Llama 3.1's, with the blend linear over the pair's index."""

    def pair(turns: float) -> float:
        positions = config.original_positions / (turns * 2 * math.pi)
        return head_size * math.log(positions) / (2 * math.log(config.theta))

    low, high = pair(config.beta_fast), pair(config.beta_slow)
    if config.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_size - 1)
    stretch = ((torch.arange(head_size // 2, device="cpu") - low) / max(high - low, 0.001)).clamp(0, 1)
    return stretch * plain / config.factor + (1 - stretch) * plain


def attention_scale(config: RopeConfig) -> float:
    """YaRN's sharpening of the attention, as a factor on queries and keys (section 3.4); 1 for the others."""
    if config.kind != "yarn":
        return 1.0
    if config.attention_factor is not None:
        return config.attention_factor
    return 0.1 * math.log(config.factor) + 1.0 if config.factor > 1 else 1.0
