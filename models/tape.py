"""What each conversation's cache holds, so that a request, which carries its whole conversation, computes only what is new.

A tape is a slot of the pool with a key for each position: a token's id, or for a row of audio the audio's content and the
row's place in it. A request continues the tape that begins as it does, rewound to where they part. Truncated answers,
withdrawn speculation, edited instructions and evicted conversations are all this one operation.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from models.cache import Cache, Pool
from models.config import TextConfig
from models.hearing import Hearing
from models.inputs import Plan

Key = int | tuple[bytes, int, int]


def keys_of(plan: Plan, audios: Sequence[Any]) -> list[Key]:
    """Give the key of each position: equal keys up to a position mean equal keys and values there."""
    keys: list[Key] = [*plan.ids]
    contents = [_content(audio) for audio in audios]
    for window in plan.windows:
        rows = [(contents[window.audio], window.number, row) for row in range(window.count)]
        keys[window.start : window.start + window.count] = rows
    return keys


def _content(audio: Any) -> bytes:
    samples = np.ascontiguousarray(audio)
    return hashlib.blake2b(samples.data, digest_size=16, person=samples.dtype.str.encode()).digest()


def common(a: Sequence[Key], b: Sequence[Key]) -> int:
    """Count the positions up to which two are equal."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


@dataclass(eq=False)
class Tape:
    """One slot and what it holds."""

    slot: int
    cache: Cache
    keys: list[Key] = field(default_factory=list)
    hearing: Hearing = field(default_factory=Hearing)  # of its newest audio
    settled: int = 0  # positions that a later request of the same conversation will still begin with
    used: int = 0  # when it was last taken; 0 is never
    busy: bool = False

    def rewind(self, length: int) -> None:
        """Forget every position from `length` on."""
        self.cache.rewind(length)
        del self.keys[length:]


class Tapes:
    """All slots of one pool."""

    def __init__(self, config: TextConfig, slots: int, capacity: int, dtype: torch.dtype, device: torch.device) -> None:
        self.pool = Pool(config, slots, capacity, dtype, device)
        self._tapes = [Tape(slot, self.pool.slot(slot)) for slot in range(slots)]
        self._uses = 0

    def take(self, keys: Sequence[Key], most: int, *, inherit: bool = True) -> Tape | None:
        """Give an idle tape that holds the longest beginning of `keys` that there is, at most `most` of it; None if all are busy.

        The tape is the conversation's own where there is one: an idle one that is equal for as far as it is settled, whose
        later positions are lost. Else, and without `inherit`, it is the one that was idle longest, beginning as a copy.
        """
        held = {tape: min(common(tape.keys, keys), most) for tape in self._tapes}
        idle = [tape for tape in self._tapes if not tape.busy]
        if not idle:
            return None
        own = [tape for tape in idle if inherit and held[tape] >= tape.settled > 0]
        tape = max(own, key=held.__getitem__) if own else min(idle, key=lambda tape: tape.used)
        best = max(self._tapes, key=held.__getitem__)
        if held[tape] < held[best]:
            self.pool.copy(best.slot, tape.slot, held[best])
            tape.cache.length, tape.keys = held[best], best.keys[: held[best]]
        tape.rewind(max(held[tape], held[best]))
        self._uses += 1
        tape.used, tape.busy, tape.settled = self._uses, True, 0
        return tape

    def wipe(self, tape: Tape) -> None:
        """Make a tape new whose numbers may be broken."""
        tape.rewind(0)
        tape.hearing, tape.settled = Hearing(), 0
        self.pool.clear(tape.slot)
