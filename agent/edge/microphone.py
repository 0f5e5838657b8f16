"""The caller's microphone on the running loop: packets in, frames out, silence when no packet comes in time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from agent.audio import Frame
from agent.edge.codecs import PAUSE_BYTES
from agent.edge.jitter import Packet
from agent.edge.rtp import Depacketizer
from agent.edge.statistics import Reception

MAX_QUEUED_FRAMES = 500
"""Frames (10 s) kept for a reader that does not keep up; beyond, the oldest are dropped."""

MAX_PACKETS_PER_SECOND = 500
"""Opus's shortest frames make 400 (RFC 6716, section 2.1.4). What a caller sends beyond is not decoded: it would be at the others' cost."""

STALL_SECONDS = 0.01
"""A timer that fires so late tells that the loop stood still, and that packets may wait in the socket."""

MAX_PUT_OFF = 10
"""How often silence is put off for that reason in a row: 0.1 s and the stalls themselves."""


class RTPPacket(Protocol):
    """What is used of aiortc's RtpPacket."""

    sequence_number: int
    timestamp: int
    payload_type: int
    payload: bytes


class Microphone:
    """One audio stream; `add` is called with each packet, `frames` is read by the session."""

    def __init__(self) -> None:
        """Made on the running loop, whose time it uses."""
        self.on_sound: Callable[[], None] = lambda: None
        """Called with each packet that holds audio."""
        self._loop = asyncio.get_running_loop()
        self._stream = Depacketizer()
        self._queue: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._put_off = 0
        self._credit = float(MAX_PACKETS_PER_SECOND)
        self._credited = self._loop.time()
        self._closed = False

    def add(self, packet: RTPPacket) -> None:
        """Take a packet from the network."""
        now = self._loop.time()
        if self._closed or not self._affordable(now):
            return
        if len(packet.payload) > PAUSE_BYTES:
            self.on_sound()
        arrived = Packet(packet.sequence_number, packet.timestamp, packet.payload_type, packet.payload, now)
        self._give(self._stream.add(arrived))
        # The timer is left alone when it is early: moving it for every packet would cost more than one idle wake-up in 100 ms.
        if self._timer is None or self._timer.when() > self._stream.due:
            self._arm(self._stream.due)

    async def frames(self) -> AsyncIterator[Frame]:
        """Frames of 20 ms from the first packet on, until `close`."""
        while frame := await self._queue.get():
            yield frame

    def pause(self) -> None:
        """The caller is lost: no frames, not even silence, until another stream begins with its first packet."""
        if self._timer:
            self._timer.cancel()
        self._timer = None
        self._stream.start_anew()

    @property
    def statistics(self) -> Reception:
        """What the stream went through so far."""
        return self._stream.statistics

    def close(self) -> None:
        """End the frames."""
        if not self._closed:
            self._closed = True
            self._queue.put_nowait(None)
            if self._timer:
                self._timer.cancel()

    def _affordable(self, now: float) -> bool:
        """Whether one more packet is within the rate; what was saved up lasts for a second of them at once."""
        earned = (now - self._credited) * MAX_PACKETS_PER_SECOND
        self._credit, self._credited = min(self._credit + earned, MAX_PACKETS_PER_SECOND), now
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def _arm(self, when: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._tick, when)

    def _tick(self, due: float) -> None:
        now = self._loop.time()
        if now - due > STALL_SECONDS and self._put_off < MAX_PUT_OFF:
            # What was sent during a stall is read first; it still has to pass through aiortc's tasks.
            self._put_off += 1
            self._arm(now + STALL_SECONDS)
            return
        self._put_off = 0
        self._give(self._stream.tick(now))
        self._arm(self._stream.due)

    def _give(self, frames: list[Frame]) -> None:
        for frame in frames:
            if self._queue.qsize() >= MAX_QUEUED_FRAMES:
                self._queue.get_nowait()
            self._queue.put_nowait(frame)
