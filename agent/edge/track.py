"""The outgoing audio track: every 20 ms, by the loop's time, what is to be played, as one packet.

Takes frames of 960 samples at 48 kHz from `pull`, which is called at the moment a frame leaves; None is silence. When neither side
has made a sound for 10 s the transmission pauses (RFC 7587, section 3.1.3): the timestamps advance, a packet of one byte in 0.4 s
keeps the way open, and nothing wakes up until `wake` tells of speech, which then leaves at once. Encodes here, in the loop: that
costs less than the hand-over to a thread that aiortc would make.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamError, MediaStreamTrack

from agent.audio import FRAME_SECONDS, Samples
from agent.edge.codecs import OPUS, Codec
from agent.edge.speaker import OUTPUT_RATE
from agent.edge.statistics import Report, Sending

FRAME = round(OUTPUT_RATE * FRAME_SECONDS)
TIME_BASE = Fraction(1, OUTPUT_RATE)

MAX_LATE_FRAMES = 3
"""After a stall, so many frames are sent at once; the time of older ones is skipped, so that a stall never becomes a burst."""

PAUSE_AFTER_SECONDS = 10.0
"""Of silence on both sides. Earlier, a pause would cost more than it saves: Chromium 156 plays what follows one 15 to 60 ms later, the
more the less time its jitter buffer has had to fall into step again. libopus's own pauses (DTX) are not used: what its speech mode
takes for noise, a steady tone for one, it replaces by a faint hiss."""

KEEP_ALIVE_SECONDS = 0.4
"""Between packets while the transmission pauses, as libopus itself does."""

LATE_SECONDS = 0.01
"""A frame that leaves so late tells that the processor is short of time: what is encoded from then on is encoded more simply."""

HURRY_SECONDS = 10.0
"""For so long after the last such frame."""

_SILENCE: Samples = np.zeros(FRAME, dtype=np.int16)


class PacedTrack(MediaStreamTrack):
    """Read by aiortc's sender, which sends what `recv` gives as soon as it is given."""

    kind = "audio"

    def __init__(
        self, pull: Callable[[], Samples | None], max_late: int = MAX_LATE_FRAMES, sent: Sending | None = None
    ) -> None:
        """`max_late` frames at most are sent at once after a stall; `sent` is what a call's earlier tracks counted."""
        super().__init__()
        self.sent = sent or Sending()
        self._lost_before = self.sent.lost
        self._pull = pull
        self._max_late = max_late
        self._codec = OPUS
        self._encoder = OPUS.encoder()
        self._due: float | None = None
        """When the last frame was due."""
        self._timestamp = 0
        """Its timestamp, at 48 kHz."""
        self._pause: bytes | None = None
        """The packet that says that silence follows, once it was sent."""
        self._stay = asyncio.get_running_loop().time() + PAUSE_AFTER_SECONDS
        """Until then the transmission does not pause."""
        self._speech = asyncio.Event()
        self._late = -HURRY_SECONDS
        """When a frame left late last."""
        self._hurrying = False

    def encode_as(self, codec: Codec) -> None:
        """Use the codec that was negotiated; called before the connection is up."""
        self._codec, self._encoder = codec, codec.encoder()

    def wake(self) -> None:
        """There may be something to pull."""
        self._speech.set()

    def stay(self) -> None:
        """The caller made a sound."""
        self._stay = asyncio.get_running_loop().time() + PAUSE_AFTER_SECONDS
        self._speech.set()

    def report(self, report: Report) -> None:
        """Take what the listener reports, and protect what is to come accordingly."""
        self.sent.lost, self.sent.loss = self._lost_before + report.lost, report.loss
        self.sent.jitter, self.sent.round_trip = report.jitter / self._codec.clock, report.round_trip
        self._encoder.expect_loss(report.loss)

    async def recv(self) -> "av.Packet[Any]":
        """Wait until the next frame is due, then pull it."""
        if self.readyState != "live":
            raise MediaStreamError
        if self._pause:
            payload = await self._resume(self._pause)
        else:
            await self._pace()
            payload = self._encode(self._pull())
        self.sent.packets += 1
        self.sent.bytes += len(payload)
        packet: av.Packet[Any] = av.Packet(payload)
        packet.pts, packet.time_base = self._timestamp, TIME_BASE
        return packet

    def _encode(self, pulled: Samples | None) -> bytes:
        """One frame as a packet, or the one that says that silence follows: an empty frame of the same kind."""
        hurrying = asyncio.get_running_loop().time() < self._late + HURRY_SECONDS
        if hurrying != self._hurrying:
            self._hurrying = hurrying
            self._encoder.hurry(hurrying)
        payload = self._encoder.encode(_SILENCE if pulled is None else pulled)
        if pulled is not None:
            self.stay()
        pausing = self._codec is OPUS and not self._staying
        self._pause = bytes([payload[0] & 0xFC]) if pausing else None
        return self._pause or payload

    async def _pace(self) -> None:
        """Sleep until the next frame is due."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._due is None:
            self._due = now
            return
        late = max(0.0, (now - self._due) / FRAME_SECONDS - 1)
        skipped = math.floor(late) if late > self._max_late else 0
        self.sent.skipped += skipped
        self._due += (1 + skipped) * FRAME_SECONDS
        self._timestamp += (1 + skipped) * FRAME
        await asyncio.sleep(self._due - now)
        if skipped or loop.time() - self._due > LATE_SECONDS:
            self._late = loop.time()

    async def _resume(self, pause: bytes) -> bytes:
        """Wait for speech and begin to send it at once; the packet that keeps the way open when none comes."""
        await self._pace()
        loop, pulled = asyncio.get_running_loop(), None
        assert self._due is not None, "something was sent before the pause"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._due - FRAME_SECONDS + KEEP_ALIVE_SECONDS):
                while (pulled := self._pull()) is None and not self._staying:
                    self._speech.clear()
                    await self._speech.wait()
        now = max(self._due, loop.time())
        self._timestamp += round((now - self._due) * OUTPUT_RATE)
        self._due = now
        return self._encode(pulled) if pulled is not None or self._staying else pause

    @property
    def _staying(self) -> bool:
        return asyncio.get_running_loop().time() < self._stay
