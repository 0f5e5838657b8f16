"""Keys and values of the positions that a language model has already computed.

Per layer [batch, kv heads, capacity, head size]. Rewinding only moves a length, so it costs nothing, and the next
append overwrites what was dropped. `Cache` holds one sequence; a `Pool` holds many, each in a slot that is a `Cache`,
and a `Batch` lets some of them advance together by one position.
"""

import math
from collections.abc import Sequence
from mmap import mmap
from typing import Protocol

import torch
from torch import Tensor

from models.config import TextConfig


class KeyValues(Protocol):
    """What attention needs of the positions before it."""

    def positions(self, count: int, device: torch.device) -> Tensor:
        """Number the next `count` positions: [count], or [batch, count] where sequences differ in length."""

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write new positions [batch, kv heads, n, head size] of one layer; give all, old and new."""

    def mask(self, count: int, window: int | None, device: torch.device) -> Tensor | None:
        """Say which keys each new position sees, as `causal_mask` does; [batch, 1, n, keys] where sequences differ."""

    def advance(self, count: int) -> None:
        """Count newly appended positions as held, once every layer has written its own."""


class Cache:
    """The keys and values of one sequence (or of several of equal length), growing by doubling unless given buffers."""

    def __init__(self, layers: int, capacity: int = 256, buffers: Sequence[tuple[Tensor, Tensor]] = ()) -> None:
        self.length = 0  # positions held
        self.capacity = capacity
        self._fixed = bool(buffers)
        self._keys: list[Tensor | None] = [keys for keys, _ in buffers] or [None] * layers
        self._values: list[Tensor | None] = [values for _, values in buffers] or [None] * layers

    def positions(self, count: int, device: torch.device) -> Tensor:
        return torch.arange(self.length, self.length + count, device=device)

    def mask(self, count: int, window: int | None, device: torch.device) -> Tensor | None:
        return causal_mask(count, self.length + count, window, device)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write new positions; raises ValueError when given buffers are full."""
        end = self.length + keys.shape[2]
        all_keys = self._keys[layer] = self._room(self._keys[layer], keys, end)
        all_values = self._values[layer] = self._room(self._values[layer], values, end)
        all_keys[:, :, self.length : end] = keys
        all_values[:, :, self.length : end] = values
        return all_keys[:, :, :end], all_values[:, :, :end]

    def advance(self, count: int) -> None:
        self.length += count

    def rewind(self, length: int) -> None:
        """Forget every position from `length` on; raises ValueError when there are fewer than that."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot rewind a cache of {self.length} positions to {length}")
        self.length = length

    def _room(self, buffer: Tensor | None, like: Tensor, end: int) -> Tensor:
        if buffer is not None and buffer.shape[2] >= end:
            return buffer
        if self._fixed:
            raise ValueError(f"a cache of {self.capacity} positions cannot hold {end}")
        while self.capacity < end:
            self.capacity *= 2
        batch, heads, _, size = like.shape
        grown = torch.empty(batch, heads, self.capacity, size, dtype=like.dtype, device=like.device)
        if buffer is not None:
            grown[:, :, : self.length] = buffer[:, :, : self.length]
        return grown


class Pool:
    """The keys and values of several sequences, each in a slot of its own: [slots, kv heads, capacity, head size] per layer."""

    def __init__(self, config: TextConfig, slots: int, capacity: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (slots, config.kv_heads, capacity, config.head_size)
        self.keys = [_zeros(shape, dtype, device) for _ in range(config.layers)]
        self.values = [_zeros(shape, dtype, device) for _ in range(config.layers)]
        self.capacity = capacity

    def slot(self, index: int) -> Cache:
        """Give one slot as a cache, empty."""
        one = slice(index, index + 1)
        buffers = [(keys[one], values[one]) for keys, values in zip(self.keys, self.values, strict=True)]
        return Cache(len(buffers), self.capacity, buffers)

    def copy(self, source: int, target: int, length: int) -> None:
        """Let a slot begin as another does, for so many positions."""
        for buffer in (*self.keys, *self.values):
            buffer[target, :, :length] = buffer[source, :, :length]

    def clear(self, slot: int) -> None:
        """Wipe a slot whose numbers may be broken."""
        for buffer in (*self.keys, *self.values):
            buffer[slot].zero_()


class Batch:
    """Some slots of a pool, each of which advances by one position; implements `KeyValues`."""

    def __init__(self, pool: Pool, slots: Sequence[int], caches: Sequence[Cache]) -> None:
        self._pool = pool
        self._caches = caches
        device = pool.keys[0].device
        self._keys_held = max(cache.length for cache in caches) + 1
        self._lengths = torch.tensor([cache.length for cache in caches], device=device)
        self._slots = torch.tensor(slots, device=device)
        neighbours = list(slots) == list(range(slots[0], slots[0] + len(slots)))
        self._run = slice(slots[0], slots[0] + len(slots)) if neighbours else None

    def positions(self, count: int, device: torch.device) -> Tensor:  # noqa: ARG002 - always one, where the pool is
        return self._lengths[:, None]

    def mask(self, count: int, window: int | None, device: torch.device) -> Tensor | None:  # noqa: ARG002
        index = torch.arange(self._keys_held, device=device)
        seen = index <= self._lengths[:, None]
        if window is not None:
            seen &= index > self._lengths[:, None] - window
        return seen[:, None, None]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        all_keys, all_values = self._pool.keys[layer], self._pool.values[layer]
        if len(self._caches) == 1 and self._run:  # several times faster on a CPU
            all_keys[self._run, :, self._keys_held - 1] = keys[:, :, 0]
            all_values[self._run, :, self._keys_held - 1] = values[:, :, 0]
        else:
            all_keys[self._slots, :, self._lengths] = keys[:, :, 0]
            all_values[self._slots, :, self._lengths] = values[:, :, 0]
        return self._take(all_keys), self._take(all_values)

    def advance(self, count: int) -> None:
        for cache in self._caches:
            cache.advance(count)

    def _take(self, buffer: Tensor) -> Tensor:
        held = buffer[:, :, : self._keys_held]
        return held[self._run] if self._run else held.index_select(0, self._slots)


def _zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Make a buffer of zeros: what a mask hides is multiplied by 0, and must not be NaN by chance.

    On a CPU they are the system's own, which take memory, and time, only where they are written.
    """
    if device.type != "cpu":
        return torch.zeros(*shape, dtype=dtype, device=device)
    return torch.frombuffer(mmap(-1, math.prod(shape) * dtype.itemsize), dtype=dtype).view(*shape)


def causal_mask(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor | None:
    """Say which keys each query sees ([queries, keys] bool, the queries being the last positions); None is the default.

    The default: one query that sees all, or as many queries as keys and no window.
    """
    windowed = window is not None and keys > window
    if not windowed and queries in (1, keys):
        return None
    distance = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
    return (distance >= 0) & (distance < window) if windowed else distance >= 0  # type: ignore[operator]
