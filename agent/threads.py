"""A blocking iterator as an async one, so that torch, ONNX and the voices never hold up the event loop.

The thread belongs to whoever owns the executor, usually the server, and outlives the call. Items are handed over without
bound: the thread never waits for its consumer, because a slow listener must not hold an engine's slot.
"""

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)


async def iterate(executor: Executor, make: Callable[[], Iterator[T]]) -> AsyncGenerator[T]:
    """Run `make()` and its iterator as one job of the executor and yield its items; its exception comes out here.

    Closing this generator stops the job after the item it is working on, closes the iterator on its own thread, and does not
    wait for either: the next job of a single thread queues behind. A job that has not begun never begins.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[tuple[T] | None] = asyncio.Queue()  # None: the job is over
    stopped = threading.Event()

    def hand_over(item: tuple[T] | None) -> None:
        try:
            loop.call_soon_threadsafe(items.put_nowait, item)
        except RuntimeError:  # the loop was closed, so nobody listens any more
            stopped.set()

    def done(job: Future[None]) -> None:
        if stopped.is_set() and not job.cancelled() and (error := job.exception()):
            logger.error("a job failed after its consumer had left", exc_info=error)
        hand_over(None)

    job = executor.submit(contextvars.copy_context().run, _produce, make, hand_over, stopped)
    job.add_done_callback(done)
    try:
        while (item := await items.get()) is not None:
            yield item[0]
        job.result()
    finally:
        stopped.set()
        job.cancel()


def _produce(make: Callable[[], Iterator[T]], hand_over: Callable[[tuple[T]], None], stopped: threading.Event) -> None:
    """The job: runs on the executor's thread from the first item to the iterator's clean-up."""
    if stopped.is_set():
        return
    iterator = make()
    try:
        for item in iterator:
            if stopped.is_set():
                return
            hand_over((item,))
    finally:
        close = getattr(iterator, "close", None)  # generators have one, plain iterators need not
        if close is not None:
            close()
