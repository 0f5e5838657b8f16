"""Keys and values of the positions that a language model has already computed.

A buffer is [layers, 2 (keys, values), sequences, kv heads, capacity, head size]. Rewinding only moves a length, so it costs nothing, and the next
append overwrites what was dropped. `Cache` holds one sequence; a `Pool` holds many, each in a slot that is a `Cache`,
and a `Batch` lets some of them advance together by one position.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from mmap import mmap
from typing import Protocol

import torch
from torch import Tensor

from models.attention import attend, causal, kept_dtype
from models.config import TextConfig

Masks = Sequence[Tensor | None]


class KeyValues(Protocol):
    """What attention needs of the positions before it."""

    def positions(self, count: int, device: torch.device) -> Tensor:
        """Number the next `count` positions: [count], or [batch, count] where sequences differ in length."""

    def masks(self, count: int, window: int | None, device: torch.device) -> Masks:
        """Say which keys the next `count` positions see, as `causal` does: for each part of the batch that attends by itself."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, masks: Masks) -> Tensor:
        """Write new positions of one layer and let the queries see old and new: shapes as for attention's `attend`.

        The masks are those of `masks`, made additive.
        """

    def advance(self, count: int) -> None:
        """Count newly written positions as held, once every layer has its own."""


class Cache:
    """The keys and values of one sequence (or of several of equal length), growing by doubling unless given a buffer."""

    def __init__(self, layers: int, capacity: int = 256, buffer: Tensor | None = None) -> None:
        self.length = 0  # positions held
        self.capacity = capacity
        self._layers = layers
        self._fixed = buffer is not None
        self._buffer = buffer

    def positions(self, count: int, device: torch.device) -> Tensor:
        return torch.arange(self.length, self.length + count, device=device)

    def masks(self, count: int, window: int | None, device: torch.device) -> Masks:
        return [causal(count, self.length + count, window, device)]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, masks: Masks) -> Tensor:
        """Write, and mix; raises ValueError when a given buffer is full."""
        end = self.length + key.shape[2]
        keys, values = self._room(key, end)[layer, :, :, :, :end].unbind()
        keys[:, :, self.length :] = key
        values[:, :, self.length :] = value
        return attend(query, keys, values, masks[0])

    def advance(self, count: int) -> None:
        self.length += count

    def rewind(self, length: int) -> None:
        """Forget every position from `length` on; raises ValueError when there are fewer than that."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot rewind a cache of {self.length} positions to {length}")
        self.length = length

    def _room(self, like: Tensor, end: int) -> Tensor:
        if self._buffer is not None and self.capacity >= end:
            return self._buffer
        if self._fixed:
            raise ValueError(f"a cache of {self.capacity} positions cannot hold {end}")
        while self.capacity < end:
            self.capacity *= 2
        batch, heads, _, size = like.shape
        grown = like.new_empty(self._layers, 2, batch, heads, self.capacity, size)
        if self._buffer is not None:
            grown[:, :, :, :, : self.length] = self._buffer[:, :, :, :, : self.length]
        self._buffer = grown
        return grown


class Pool:
    """The keys and values of several sequences, each in a slot of its own, and a spare slot whose content does not matter."""

    def __init__(self, config: TextConfig, slots: int, capacity: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (config.layers, 2, slots + 1, config.kv_heads, capacity, config.head_size)
        self.buffer = _zeros(shape, kept_dtype(dtype, device), device)
        self.slots = slots  # the spare one's number
        self.capacity = capacity

    def slot(self, index: int) -> Cache:
        """Give one slot as a cache, empty."""
        return Cache(len(self.buffer), self.capacity, self.buffer[:, :, index : index + 1])

    def copy(self, source: int, target: int, length: int) -> None:
        """Let a slot begin as another does, for so many positions."""
        self.buffer[:, :, target, :, :length] = self.buffer[:, :, source, :, :length]

    def clear(self, slot: int) -> None:
        """Wipe a slot whose numbers may be broken."""
        self.buffer[:, :, slot].zero_()


class Run:
    """Neighbouring slots of a pool whose sequences attend together."""

    def __init__(self, pool: Pool, first: int, lengths: Tensor, held: int) -> None:
        """`lengths` [sequences] are their positions so far; `held` is that of the longest with the new one."""
        self._lengths = lengths
        self._held = held
        buffer = pool.buffer[:, :, first : first + len(lengths), :, :held]
        self._layers = [layer.unbind() for layer in buffer.unbind()]

    def attend(self, layer: int, query: Tensor, mask: Tensor | None) -> Tensor:
        keys, values = self._layers[layer]
        return attend(query, keys, values, mask)

    def mask(self, window: int | None) -> Tensor | None:
        """Hide from each sequence what is beyond its end, or its window: [sequences, 1, 1, positions]."""
        if len(self._lengths) == 1:
            return causal(1, self._held, window, self._lengths.device)
        lengths = self._lengths[:, None]
        index = torch.arange(self._held, device=lengths.device)
        seen = index <= lengths
        if window is not None:
            seen &= index > lengths - window
        return seen[:, None, None]


class Batch:
    """Some slots of a pool, in their order, each of which advances by one position; implements `KeyValues`.

    Neighbours are read where they lie, others by themselves: copying them together would take longer than attending.
    One that is alone advances faster by its own `Cache`.
    """

    def __init__(self, pool: Pool, slots: Sequence[int], caches: Sequence[Cache]) -> None:
        self._pool = pool
        self._caches = caches
        lengths, device = [cache.length for cache in caches], pool.buffer.device
        self._slots = torch.tensor(slots, device=device)
        self._lengths = torch.tensor(lengths, device=device)
        starts = [row for row in range(len(slots)) if row == 0 or slots[row] != slots[row - 1] + 1]
        self._rows = [slice(first, end) for first, end in pairwise([*starts, len(slots)])]
        self._runs = [Run(pool, slots[rows.start], self._lengths[rows], max(lengths[rows]) + 1) for rows in self._rows]

    def positions(self, count: int, device: torch.device) -> Tensor:  # noqa: ARG002 - always one, where the pool is
        return self._lengths[:, None]

    def masks(self, count: int, window: int | None, device: torch.device) -> Masks:  # noqa: ARG002
        return [run.mask(window) for run in self._runs]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, masks: Masks) -> Tensor:
        keys, values = self._pool.buffer[layer]
        keys[self._slots, :, self._lengths] = key[:, :, 0]
        values[self._slots, :, self._lengths] = value[:, :, 0]
        parts = zip(self._rows, self._runs, masks, strict=True)
        return torch.cat([run.attend(layer, query[rows], mask) for rows, run, mask in parts])

    def advance(self, count: int) -> None:
        for cache in self._caches:
            cache.advance(count)


def _zeros(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Make a buffer of zeros: what a mask hides is multiplied by 0, and must not be NaN by chance.

    On a CPU they are the system's own, which take memory, and time, only where they are written.
    """
    if device.type != "cpu":
        return torch.zeros(*shape, dtype=dtype, device=device)
    return torch.frombuffer(mmap(-1, math.prod(shape) * dtype.itemsize), dtype=dtype).view(*shape)
