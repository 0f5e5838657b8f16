"""Keys and values of the positions that a language model has already computed.

One buffer per layer, [batch, kv heads, capacity, head size], grown by doubling; rewinding only moves the length, so it
costs nothing and the next append overwrites what was dropped.
"""

import torch
from torch import Tensor


class Cache:
    """The keys and values of one sequence (or of several of equal length)."""

    def __init__(self, layers: int, capacity: int = 256) -> None:
        self.length = 0  # positions held
        self._capacity = capacity
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write new positions [batch, kv heads, n, head size] of one layer; give views of all, old and new.

        They count as held only after `advance`, once every layer has written its own.
        """
        end = self.length + keys.shape[2]
        all_keys = self._keys[layer] = self._room(self._keys[layer], keys, end)
        all_values = self._values[layer] = self._room(self._values[layer], values, end)
        all_keys[:, :, self.length : end] = keys
        all_values[:, :, self.length : end] = values
        return all_keys[:, :, :end], all_values[:, :, :end]

    def advance(self, positions: int) -> None:
        """Count newly appended positions as held."""
        self.length += positions

    def rewind(self, length: int) -> None:
        """Forget every position from `length` on; raises ValueError when there are fewer than that."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot rewind a cache of {self.length} positions to {length}")
        self.length = length

    def _room(self, buffer: Tensor | None, like: Tensor, end: int) -> Tensor:
        if buffer is not None and buffer.shape[2] >= end:
            return buffer
        while self._capacity < end:
            self._capacity *= 2
        batch, heads, _, size = like.shape
        grown = torch.empty(batch, heads, self._capacity, size, dtype=like.dtype, device=like.device)
        if buffer is not None:
            grown[:, :, : self.length] = buffer[:, :, : self.length]
        return grown
