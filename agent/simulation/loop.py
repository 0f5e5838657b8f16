"""An event loop whose time is virtual: when nothing is left to run it jumps to the next timer, so idle time costs nothing.

What would hang for ever (nothing to run and no timer) raises `DeadlockError`. Sockets and threads have no place on it.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class DeadlockError(RuntimeError):
    """Every task waits for something that no timer will bring."""


class _Selector(selectors.SelectSelector):
    """Passes the time that asyncio would wait, instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise DeadlockError("nothing to run and no timer: every task waits for another")
        self.time += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Starts at time 0."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual.time


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time. Raises DeadlockError where real time would hang."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
