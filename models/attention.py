"""Attention over keys that are held or new: who sees whom, and what each query makes of it.

On a CPU it is computed in float32, in which its kernels for few queries are two to three times as fast as in bfloat16.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def kept_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """Say in what queries, keys and values are computed and kept, for a model of that dtype."""
    return torch.float32 if device.type == "cpu" else dtype


def attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Mix values: queries [batch, heads, n, head size], keys and values [batch, kv heads, m, head size] -> as the queries.

    Without a mask a single query sees every key, several are plainly causal. Else the queries that share a key stand
    under one another as further positions: no kernel then copies the keys for them, which costs most of the time on a CPU.
    """
    batch, heads, count, size = query.shape
    if mask is None and count > 1:
        return F.scaled_dot_product_attention(query, keys, values, is_causal=True, enable_gqa=True)
    shared = heads // keys.shape[1]
    if mask is not None and count > 1:
        mask = mask.repeat(*[1] * (mask.ndim - 2), shared, 1)
    grouped = query.reshape(batch, keys.shape[1], shared * count, size)
    return F.scaled_dot_product_attention(grouped, keys, values, mask).view(batch, heads, count, size)


def causal(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor | None:
    """Say which keys each query sees ([queries, keys] bool, the queries being the last positions); None is the default.

    The default: one query that sees all, or as many queries as keys and no window.
    """
    windowed = window is not None and keys > window
    if not windowed and queries in (1, keys):
        return None
    distance = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
    return (distance >= 0) & (distance < window) if windowed else distance >= 0  # type: ignore[operator]


def additive(seen: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Turn what may be seen into what is added to the scores."""
    if seen is None:
        return None
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))
