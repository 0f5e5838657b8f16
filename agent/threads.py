"""Blocking work as an async generator, so that torch, ONNX and the voices never hold up the event loop.

The thread belongs to whoever owns the executor, usually the server, and outlives the call. Items are handed over without
bound: the thread never waits for its consumer, because a slow listener must not hold an engine's slot.
"""

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from typing import TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)


async def stream(executor: Executor, job: Callable[[Callable[[T], bool]], None]) -> AsyncGenerator[T]:
    """Run `job(emit)` on the executor and yield what it emits; its exception comes out here, after the items before it.

    `emit` tells whether anybody still listens: it returns False once this generator was closed, and the job should then return.
    Closing does not wait for that: the next job of a single thread queues behind. A job that has not begun never begins.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[tuple[T] | None] = asyncio.Queue()  # None: the job is over
    left = threading.Event()

    def hand_over(item: tuple[T] | None) -> None:
        try:
            loop.call_soon_threadsafe(items.put_nowait, item)
        except RuntimeError:  # the loop was closed, so nobody listens any more
            left.set()

    def emit(item: T) -> bool:
        if not left.is_set():
            hand_over((item,))
        return not left.is_set()

    def run() -> None:
        if not left.is_set():
            job(emit)

    def over(future: Future[None]) -> None:
        if left.is_set() and not future.cancelled() and (error := future.exception()):
            logger.error("blocking work failed after its consumer had left", exc_info=error)
        hand_over(None)

    future = executor.submit(contextvars.copy_context().run, run)
    future.add_done_callback(over)
    try:
        while (item := await items.get()) is not None:
            yield item[0]
        future.result()
    finally:
        left.set()
        future.cancel()


def iterate(executor: Executor, make: Callable[[], Iterator[T]]) -> AsyncGenerator[T]:
    """Run `make()` and its iterator on the executor and yield its items, as `stream` does.

    Closing stops it after the item that it is working on; the iterator is closed on its own thread.
    """
    return stream(executor, partial(_emit_all, make))


def _emit_all(make: Callable[[], Iterator[T]], emit: Callable[[T], bool]) -> None:
    items = make()
    try:
        for item in items:
            if not emit(item):
                return
    finally:
        close = getattr(items, "close", None)  # generators have one, plain iterators need not
        if close is not None:
            close()
