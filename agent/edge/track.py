"""The outgoing audio track: every 20 ms, by the loop's time, what is to be played, as one Opus packet.

Takes frames of 960 samples at 48 kHz from `pull`, which is called at the moment a frame leaves; None is silence. Encodes here, in
the loop: mono Opus costs less than the hand-over to a thread that aiortc would make. For a codec other than Opus it gives raw
frames, which aiortc encodes itself.
"""

import asyncio
import math
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
from aiortc import MediaStreamError, MediaStreamTrack

from agent.audio import FRAME_SECONDS, Samples
from agent.edge.speaker import OUTPUT_RATE

FRAME = round(OUTPUT_RATE * FRAME_SECONDS)
TIME_BASE = Fraction(1, OUTPUT_RATE)

MAX_LATE_FRAMES = 3
"""After a stall, so many frames are sent at once; the time of older ones is skipped, so that a stall never becomes a burst."""

BIT_RATE = 48_000
"""Bits per second: full-band mono speech without audible loss (RFC 7587, section 3.1.1, gives 28 to 40 kb/s)."""

_SILENCE: Samples = np.zeros(FRAME, dtype=np.int16)


class PacedTrack(MediaStreamTrack):
    """Read by aiortc's sender, which sends what `recv` gives as soon as it is given."""

    kind = "audio"

    def __init__(self, pull: Callable[[], Samples | None], max_late: int = MAX_LATE_FRAMES) -> None:
        """`max_late` frames at most are sent at once after a stall."""
        super().__init__()
        self.opus = True
        """Whether Opus was negotiated; set before the connection is up."""
        self._pull = pull
        self._max_late = max_late
        self._start: float | None = None
        self._frame = 0
        # Low delay: 2.5 ms of look-ahead where the speech mode has 6.5, and a third of its CPU time.
        encoder = av.CodecContext.create("libopus", "w")
        assert isinstance(encoder, av.AudioCodecContext)
        encoder.format, encoder.layout, encoder.sample_rate = "s16", "mono", OUTPUT_RATE
        encoder.bit_rate, encoder.time_base = BIT_RATE, TIME_BASE
        encoder.options = {"application": "lowdelay", "vbr": "constrained"}
        self._encoder = encoder

    async def recv(self) -> "av.Packet[av.AudioStream] | av.AudioFrame":
        """Wait until the next frame is due, then pull it."""
        if self.readyState != "live":
            raise MediaStreamError
        await self._wait()
        pulled = self._pull()
        frame = av.AudioFrame.from_ndarray(
            (_SILENCE if pulled is None else pulled).reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate, frame.time_base, frame.pts = OUTPUT_RATE, TIME_BASE, self._frame * FRAME
        if not self.opus:
            return frame
        (packet,) = self._encoder.encode(frame)
        # The encoder counts its look-ahead into the timestamps; the track's clock is the one that is kept.
        packet.pts, packet.time_base = frame.pts, TIME_BASE
        return packet

    async def _wait(self) -> None:
        """Sleep until the next frame is due; its number says when, counted from the first."""
        now = asyncio.get_running_loop().time()
        if self._start is None:
            self._start = now
            return
        self._frame += 1
        late = (now - self._start) / FRAME_SECONDS - self._frame
        if late > self._max_late:
            self._frame += math.floor(late)
        await asyncio.sleep(self._start + self._frame * FRAME_SECONDS - now)
