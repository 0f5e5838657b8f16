"""The microphone's shell in virtual time: its queue, its timer, its end."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from agent.audio import dbfs
from agent.edge.microphone import MAX_PACKETS_PER_SECOND, MAX_QUEUED_FRAMES, Microphone
from agent.simulation.loop import VirtualLoop, run
from tests.edge.test_rtp import encode, tone


def packets(seconds: float):
    """As aiortc gives them."""
    return [
        SimpleNamespace(
            sequence_number=p.sequence, timestamp=p.timestamp, payload_type=p.payload_type, payload=p.payload
        )
        for p in encode(tone(seconds, 48_000))
    ]


async def read(microphone: Microphone) -> list:
    return [frame async for frame in microphone.frames()]


def test_frames_go_on_while_no_packet_comes_and_end_at_close():
    async def main():
        microphone = Microphone()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read(microphone))
            for packet in packets(0.2):
                await asyncio.sleep(0.02)
                microphone.add(packet)
            await asyncio.sleep(1.0)
            microphone.close()
            microphone.close()
        return reading.result()

    frames = run(main())
    assert len(frames) in {60, 61}
    assert np.allclose(np.diff([frame.time for frame in frames]), 0.02, atol=1e-3)
    assert not any(frame.samples.any() for frame in frames[11:])


def test_a_hole_is_given_up_by_the_timer():
    async def main():
        microphone = Microphone()
        first, _, third, *_ = packets(0.2)
        microphone.add(first)
        await asyncio.sleep(0.04)
        microphone.add(third)
        async with asyncio.timeout(0.05):
            frames = microphone.frames()
            given = [await anext(frames) for _ in range(3)]
        microphone.close()
        return given

    assert len(run(main())) == 3


class StallingLoop(VirtualLoop):
    """Time that `stall` adds passes while nothing runs."""

    def stall(self, seconds: float) -> None:
        self._virtual.time += seconds


def test_after_a_stall_the_packets_that_wait_are_read_before_silence_is_filled_in():
    async def main():
        loop, microphone = asyncio.get_running_loop(), Microphone()
        said = packets(1.0)
        for packet in said[:20]:
            await asyncio.sleep(0.02)
            microphone.add(packet)
        loop.stall(0.5)
        for packet in said[20:45]:  # the loop reads one at a time, and its timers run in between
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            microphone.add(packet)
        for packet in said[45:]:
            await asyncio.sleep(0.02)
            microphone.add(packet)
        microphone.close()
        return await read(microphone)

    with asyncio.Runner(loop_factory=StallingLoop) as runner:
        frames = runner.run(main())
    assert len(frames) == 50
    assert all(dbfs(frame.samples) > -20 for frame in frames[1:])


def test_a_loop_that_is_always_late_gives_silence_all_the_same():
    async def main():
        loop, microphone = asyncio.get_running_loop(), Microphone()
        microphone.add(packets(0.1)[0])
        for _ in range(40):
            loop.stall(0.03)
            await asyncio.sleep(0.001)
        microphone.close()
        return await read(microphone)

    with asyncio.Runner(loop_factory=StallingLoop) as runner:
        assert len(runner.run(main())) > 20


def test_a_reader_that_does_not_keep_up_loses_the_oldest_frames():
    async def main():
        microphone = Microphone()
        for packet in packets(12.0):
            await asyncio.sleep(0.02)
            microphone.add(packet)
        microphone.close()
        microphone.add(packet)
        return await read(microphone)

    frames = run(main())
    assert len(frames) == MAX_QUEUED_FRAMES
    assert frames[-1].time > 11.9


def test_nothing_is_left_to_run_once_closed():
    async def main():
        microphone = Microphone()
        microphone.add(packets(0.1)[0])
        microphone.close()
        frames = await read(microphone)
        timers = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]
        return frames, timers

    frames, timers = run(main())
    assert len(frames) == 1
    assert timers == []


def test_a_flood_of_packets_is_not_decoded():
    async def main():
        microphone = Microphone()
        packet, *_ = packets(0.2)
        sent = 3 * MAX_PACKETS_PER_SECOND
        for number in range(sent):
            packet.sequence_number, packet.timestamp = number % 65536, 960 * number
            microphone.add(packet)
        taken = microphone.statistics.received
        await asyncio.sleep(1.0)
        for number in range(sent, sent + 10):
            packet.sequence_number, packet.timestamp = number % 65536, 960 * number
            microphone.add(packet)
        return taken, microphone.statistics.received

    assert run(main()) == (MAX_PACKETS_PER_SECOND, MAX_PACKETS_PER_SECOND + 10)


def test_while_the_caller_is_lost_there_is_not_even_silence_and_then_another_stream():
    async def main():
        microphone = Microphone()
        first, second = packets(0.2), packets(0.2)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read(microphone))
            for packet in first:
                await asyncio.sleep(0.02)
                microphone.add(packet)
            microphone.pause()
            await asyncio.sleep(60.0)
            for number, packet in enumerate(second):
                await asyncio.sleep(0.02)
                packet.sequence_number, packet.timestamp = 40_000 + number, 7_000_000 + 960 * number
                microphone.add(packet)
            microphone.close()
        return reading.result(), microphone.statistics

    frames, counted = run(main())
    assert len(frames) == 20
    times = [frame.time for frame in frames]
    assert times[10] - times[9] == pytest.approx(60.02)
    assert all(dbfs(frame.samples) > -25 for frame in frames[1:10] + frames[11:])
    assert (counted.received, counted.lost, counted.silence) == (20, 0, 0.0)
