"""Blocking work as an async generator: order, failures, closing at every moment."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent.threads import iterate, stream


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


class Source:
    """A blocking iterator under the test's control: gives a number for every permit."""

    def __init__(self, permits: int = 0) -> None:
        self.permits = threading.Semaphore(permits)
        self.begun = threading.Event()
        self.asked = threading.Semaphore(0)  # one for every item asked for
        self.closed = threading.Event()
        self.given: list[int] = []
        self.threads: set[int] = set()

    def __call__(self) -> Iterator[int]:
        self.begun.set()
        try:
            while len(self.given) < 1000:
                self.asked.release()
                self.permits.acquire()
                self.threads.add(threading.get_ident())
                self.given.append(len(self.given))
                yield self.given[-1]
        finally:
            self.threads.add(threading.get_ident())
            self.closed.set()


async def idle(executor: ThreadPoolExecutor) -> None:
    """Wait until the executor's only thread has nothing left to do."""
    await asyncio.get_running_loop().run_in_executor(executor, lambda: None)


async def test_items_arrive_in_order(executor: ThreadPoolExecutor) -> None:
    assert [item async for item in iterate(executor, lambda: iter(range(1000)))] == list(range(1000))


async def test_the_producer_never_waits_for_the_consumer(executor: ThreadPoolExecutor) -> None:
    source = Source(permits=1000)
    stream = iterate(executor, source)
    assert await anext(stream) == 0
    await idle(executor)
    assert len(source.given) == 1000
    assert [item async for item in stream] == list(range(1, 1000))


async def test_closing_stops_the_producer_and_closes_it_on_its_own_thread(executor: ThreadPoolExecutor) -> None:
    source = Source(permits=1)
    stream = iterate(executor, source)
    assert await anext(stream) == 0
    await asyncio.to_thread(lambda: [source.asked.acquire() for _ in range(2)])
    await stream.aclose()  # does not wait: the source is still blocked
    assert not source.closed.is_set()
    source.permits.release(10)
    await idle(executor)
    assert source.closed.is_set()
    assert len(source.given) == 2  # the item it was working on was the last
    assert len(source.threads) == 1
    assert threading.get_ident() not in source.threads


async def test_cancelling_the_consumer_stops_the_producer(executor: ThreadPoolExecutor) -> None:
    source = Source(permits=0)

    async def consume() -> None:
        async for _ in iterate(executor, source):
            pass

    async with asyncio.TaskGroup() as group:
        consumer = group.create_task(consume())
        await asyncio.to_thread(source.begun.wait)
        consumer.cancel()
    source.permits.release()
    await idle(executor)
    assert source.closed.is_set()


async def test_a_job_that_has_not_begun_never_begins(executor: ThreadPoolExecutor) -> None:
    busy, queued = Source(), Source(permits=1)
    first, second = iterate(executor, busy), iterate(executor, queued)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(anext(first))  # type: ignore[arg-type]  # an awaitable is enough
        await asyncio.to_thread(busy.begun.wait)
        blocked = group.create_task(anext(second))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        blocked.cancel()
        await asyncio.sleep(0)
        busy.permits.release()
        assert await waiting == 0
    await first.aclose()
    busy.permits.release()
    await idle(executor)
    assert not queued.begun.is_set()


async def test_a_generator_closed_before_its_first_item_is_asked_for_submits_nothing(
    executor: ThreadPoolExecutor,
) -> None:
    source = Source()
    await iterate(executor, source).aclose()
    await idle(executor)
    assert not source.begun.is_set()


async def test_failures_come_out_after_the_items_before_them(executor: ThreadPoolExecutor) -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    stream = iterate(executor, failing)
    assert await anext(stream) == 1
    with pytest.raises(ZeroDivisionError):
        await anext(stream)

    def broken() -> Iterator[int]:
        raise LookupError("no such voice")

    with pytest.raises(LookupError, match="no such voice"):
        await anext(iterate(executor, broken))


async def test_a_failure_that_nobody_hears_is_logged(
    executor: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    working, permit = threading.Event(), threading.Event()

    def failing() -> Iterator[int]:
        yield 1
        working.set()
        permit.wait()
        raise ZeroDivisionError

    items = iterate(executor, failing)
    await anext(items)
    await asyncio.to_thread(working.wait)
    await items.aclose()
    with caplog.at_level(logging.ERROR):
        permit.set()
        await idle(executor)
    assert caplog.records[0].exc_info
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


async def test_a_job_emits_and_learns_that_nobody_listens(executor: ThreadPoolExecutor) -> None:
    working, permit = threading.Event(), threading.Event()
    answers = []

    def job(emit: Callable[[str], bool]) -> None:
        answers.append(emit("a"))
        answers.append(emit("b"))
        working.set()
        permit.wait()
        answers.append(emit("c"))

    items = stream(executor, job)
    assert [await anext(items), await anext(items)] == ["a", "b"]
    await asyncio.to_thread(working.wait)
    await items.aclose()
    permit.set()
    await idle(executor)
    assert answers == [True, True, False]


async def test_iterators_without_close_are_fine(executor: ThreadPoolExecutor) -> None:
    stream = iterate(executor, lambda: iter([1, 2, 3]))
    assert await anext(stream) == 1
    await stream.aclose()


def test_a_loop_that_is_gone_stops_the_producer(executor: ThreadPoolExecutor) -> None:
    source = Source(permits=1)
    streams = []  # kept, so that nothing but the closed loop can stop the producer

    async def leave() -> None:
        stream = iterate(executor, source)
        streams.append(stream)
        await anext(stream)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    source.permits.release(10)
    executor.submit(lambda: None).result()
    assert source.closed.is_set()
    assert len(source.given) <= 3
    with pytest.raises(StopIteration):  # finish the generator by hand: its loop can no longer do it
        streams[0].aclose().send(None)


async def test_an_executor_that_is_shut_down_is_an_error_at_the_first_item() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        await anext(iterate(executor, lambda: iter([1])))
