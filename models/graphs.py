"""Decode steps as CUDA graphs: to launch a token's kernels one by one takes longer than a fast GPU needs to run them.

A graph repeats what was captured, on the same memory. So there is one for each of some batch sizes and lengths, with
buffers that are filled before each replay; a batch is padded with rows that write into the pool's spare slot. Every graph
is compared once with the plain step. Where one cannot be captured or differs, there are none, and the log says so.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from models.attention import attend
from models.cache import Batch, Cache, Masks, Pool
from models.decoder import LanguageModel

Step = Callable[[], Tensor]
Capture = Callable[[Step], Step]
"""Makes of a step one that does the same again, on the same memory."""

_SHORTEST = 512  # positions
_DIFFERENCE = 0.05  # of the plain step's logits, that rounding explains; a wrong position or slot makes one of about 1

_logger = logging.getLogger(__name__)


def on_device(language_model: LanguageModel, pool: Pool) -> "Graphs | None":
    """Capture and check all graphs of an empty pool, where it is on a GPU; None if it is not, or they fail."""
    device = pool.buffer.device
    if device.type != "cuda":
        return None
    with torch.cuda.device(device):
        return checked(language_model, pool, partial(cuda, memory=torch.cuda.graph_pool_handle()))


def checked(language_model: LanguageModel, pool: Pool, capture: Capture) -> "Graphs | None":
    """Capture and check all graphs of an empty pool; None, and a line in the log, if that fails."""
    try:
        graphs = Graphs(language_model, pool, capture)
        if (difference := graphs.difference()) <= _DIFFERENCE:
            return graphs
        reason = f"their logits differ by {difference:.2f} of those of the plain step"
    except RuntimeError as error:  # what torch raises when capturing fails, or memory is short
        reason = str(error)
    _logger.warning("tokens are computed without CUDA graphs, which takes longer: %s", reason)
    return None


class Graphs:
    """Implements the decode step: a token for each of some sequences of a pool."""

    @torch.inference_mode()
    def __init__(self, language_model: LanguageModel, pool: Pool, capture: Capture) -> None:
        self._language_model = language_model
        self._pool = pool
        self._batches = _doubling(1, pool.slots)
        self._lengths = _doubling(min(_SHORTEST, pool.capacity), pool.capacity)
        self._rows = {(batch, held): Rows(pool, batch, held) for batch in self._batches for held in self._lengths}
        self._steps = {size: capture(partial(self._step, rows)) for size, rows in self._rows.items()}

    def decode(self, tokens: Sequence[int], slots: Sequence[int], caches: Sequence[Cache]) -> Tensor:
        """Put a token on each sequence; gives the logits after it, [sequences, vocabulary], until the next call."""
        lengths = [cache.length for cache in caches]
        batch = next(size for size in self._batches if size >= len(tokens))
        held = next(size for size in self._lengths if size > max(lengths))
        self._rows[batch, held].fill(tokens, slots, lengths)
        logits = self._steps[batch, held]()
        for cache in caches:
            cache.advance(1)
        return logits[: len(tokens)]

    @torch.inference_mode()
    def difference(self) -> float:
        """Tell how far logits are from those of the plain step, at most, as a part of these; leaves the pool as it was."""
        slots = range(min(2, self._pool.slots))
        caches = [self._pool.slot(slot) for slot in slots]
        prompts = [torch.arange(1, 4 + 6 * slot)[None] for slot in slots]  # shorter than the shortest graph
        for cache, prompt in zip(caches, prompts, strict=True):
            self._language_model(self._language_model.embed(prompt), cache)
        tokens, lengths = [3 + slot for slot in slots], [cache.length for cache in caches]
        rows = self._language_model.embed(torch.tensor(tokens)[:, None])
        plain = self._language_model.head(self._language_model(rows, Batch(self._pool, slots, caches))[:, 0]).float()
        differences = []
        for size, fixed in self._rows.items():
            fits = min(size[0], len(slots))
            fixed.fill(tokens[:fits], slots[:fits], lengths[:fits])
            made = self._steps[size]()[:fits].float()
            differences.append(float((made - plain[:fits]).norm() / plain[:fits].norm()))
        for slot in slots:
            self._pool.clear(slot)
        return max(differences)

    def _step(self, rows: "Rows") -> Tensor:
        hidden = self._language_model(self._language_model.embed(rows.tokens[:, None]), rows)
        return self._language_model.head(hidden[:, 0])


class Rows:
    """A batch of fixed size whose sequences are attended to up to a fixed length; implements `KeyValues`."""

    def __init__(self, pool: Pool, batch: int, held: int) -> None:
        self._pool = pool
        self._held = held
        self._rows = torch.zeros(3, batch, dtype=torch.int64, device=pool.buffer.device)
        self.tokens: Tensor
        self._slots: Tensor
        self._lengths: Tensor
        self.tokens, self._slots, self._lengths = self._rows
        self.fill([], [], [])

    def fill(self, tokens: Sequence[int], slots: Sequence[int], lengths: Sequence[int]) -> None:
        """Say what the next step is about; rows that are left over are of the spare slot."""
        spare = self._rows.shape[1] - len(tokens)
        rows = [[*tokens, *[0] * spare], [*slots, *[self._pool.slots] * spare], [*lengths, *[0] * spare]]
        pinned = self._rows.device.type == "cuda"  # so that the host need not wait for what the device still does
        self._rows.copy_(torch.tensor(rows, pin_memory=pinned), non_blocking=True)

    def positions(self, count: int, device: torch.device) -> Tensor:  # noqa: ARG002 - always one, where the pool is
        return self._lengths[:, None]

    def masks(self, count: int, window: int | None, device: torch.device) -> Masks:  # noqa: ARG002
        index, lengths = torch.arange(self._held, device=device), self._lengths[:, None]
        seen = index <= lengths
        if window is not None:
            seen &= index > lengths - window
        return [seen[:, None, None]]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, masks: Masks) -> Tensor:
        keys, values = self._pool.buffer[layer]
        keys[self._slots, :, self._lengths] = key[:, :, 0]
        values[self._slots, :, self._lengths] = value[:, :, 0]
        keys, values = (each[:, :, : self._held].index_select(0, self._slots) for each in (keys, values))
        return attend(query, keys, values, masks[0])

    def advance(self, count: int) -> None:
        """Nothing: `fill` is told the lengths."""


def cuda(step: Step, memory: Any) -> Step:
    """Capture a step as a CUDA graph, in a pool of memory that graphs may share since they run one after another."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(2):  # what is made on first use must not become a part of the graph
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=memory, capture_error_mode="thread_local"):
        made = step()

    def replay() -> Tensor:
        graph.replay()
        return made

    return replay


def _doubling(first: int, last: int) -> list[int]:
    sizes = [first]
    while sizes[-1] < last:
        sizes.append(min(2 * sizes[-1], last))
    return sizes
