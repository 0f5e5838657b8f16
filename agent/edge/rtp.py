"""RTP packets of the caller's microphone → frames of 16 kHz mono with the time of their capture.

Packets are put in order, decoded, resampled once and cut. The frames keep the caller's time: what was lost becomes silence of the
same length, and while nothing arrives (discontinuous transmission, RFC 7587; a microphone taken away) silence goes on by the clock,
so that whoever counts samples never stops counting. Pure: whoever calls knows the time, in seconds on any one clock.
"""

from dataclasses import dataclass

import av
import numpy as np

from agent.audio import FRAME_SECONDS, INPUT_FRAME, INPUT_RATE, Frame, Resampler, Samples
from agent.edge.jitter import JitterBuffer, Packet

HOLE_SECONDS = 0.04
"""Longest that a missing packet is waited for, however few packets follow it."""

IDLE_SECONDS = 0.1
"""After so long without a packet, silence is filled in: beyond the jitter of most networks, below any end-of-turn silence."""

MAX_GAP_SECONDS = 1.0
"""Longest silence put in before a packet; a greater jump of the timestamps, or one backwards, is a new start of the clock."""

DRIFT = 0.001
"""Seconds per second by which the mapping from the caller's clock to ours gives way: ten times the drift of a sound card."""


@dataclass(frozen=True)
class Codec:
    """How a payload is decoded."""

    name: str
    """FFmpeg's name of the decoder."""
    rate: int
    """Samples per second that it gives."""
    clock: int
    """Ticks per second of the RTP timestamps."""
    delay: float
    """Seconds by which encoding delays the signal against the timestamps."""


OPUS = Codec("libopus", 48_000, 48_000, 0.0065)  # 312 samples of look-ahead (RFC 7845, section 4.2)
STATIC_CODECS = {
    0: Codec("pcm_mulaw", 8_000, 8_000, 0.0),
    8: Codec("pcm_alaw", 8_000, 8_000, 0.0),
    9: Codec("g722", 16_000, 8_000, 0.0),  # its clock is 8 kHz for historical reasons
}
"""By payload type (RFC 3551, table 4). Every dynamic type is Opus: nothing else is negotiated."""


class Decoder:
    """One codec's packets as 16 kHz mono, as many samples as the packet lasts."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        decoder = av.CodecContext.create(codec.name, "r")
        assert isinstance(decoder, av.AudioCodecContext)
        decoder.format, decoder.layout, decoder.sample_rate = "s16", "mono", codec.rate
        self._decoder = decoder
        self._resample = Resampler(codec.rate, INPUT_RATE)
        self._started = False

    def __call__(self, payload: bytes) -> Samples:
        """Decode one packet to [n] samples. Raises av.FFmpegError when it is broken."""
        decoded = np.concatenate([part.to_ndarray()[0] for part in self._decoder.decode(av.Packet(payload))])
        samples = self._resample(decoded)
        if self._started:
            return samples
        # The resampler holds 1 ms back for good. Silence in its place keeps frames aligned with packets; otherwise the end of each
        # frame would wait for the next packet.
        self._started = True
        held = decoded.size * INPUT_RATE // self.codec.rate - samples.size
        return np.concatenate([np.zeros(held, dtype=np.int16), samples])


class Depacketizer:
    """One stream's packets → frames."""

    def __init__(self) -> None:
        self.buffer = JitterBuffer()
        self.broken = 0
        """Packets that could not be decoded."""
        self._decoder: Decoder | None = None
        self._payload_type = -1
        self._rest = np.empty(0, dtype=np.int16)
        self._next = 0
        """Timestamp of the sample after the last one given, not wrapped."""
        self._offset = 0.0
        """Our clock minus the caller's, as the fastest packets show it."""
        self._given = 0.0
        """Capture time of the last sample given."""
        self._arrived = 0.0

    @property
    def due(self) -> float:
        """When `tick` has something to do if no packet comes before."""
        since = self.buffer.waiting_since
        idle = max(self._arrived + IDLE_SECONDS, self._given + FRAME_SECONDS)
        return idle if since is None else min(idle, since + HOLE_SECONDS)

    def add(self, packet: Packet) -> list[Frame]:
        """The frames that are complete now that this packet arrived."""
        self._arrived = packet.arrival
        return self._play(self.buffer.add(packet))

    def tick(self, now: float) -> list[Frame]:
        """The frames that are due because nothing arrived: behind a hole that was waited for, or silence."""
        frames: list[Frame] = []
        since = self.buffer.waiting_since
        if since is not None and now >= since + HOLE_SECONDS:
            frames += self._play(self.buffer.flush())
        if self._decoder and now >= self._arrived + IDLE_SECONDS:
            count = int((now - self._given) / FRAME_SECONDS + 1e-6)
            self._next += round(count * FRAME_SECONDS * self._decoder.codec.clock)
            frames += self._cut(np.zeros(count * INPUT_FRAME, dtype=np.int16), self._given + count * FRAME_SECONDS)
        return frames

    def _play(self, packets: list[Packet]) -> list[Frame]:
        return [frame for packet in packets if packet.payload for frame in self._decode(packet)]

    def _decode(self, packet: Packet) -> list[Frame]:
        """One packet's samples, with silence before them for what its timestamp says is missing."""
        begun = self._decoder is not None
        if self._decoder is None or packet.payload_type != self._payload_type:
            self._payload_type = packet.payload_type
            self._decoder = Decoder(STATIC_CODECS.get(packet.payload_type, OPUS))
        try:
            samples = self._decoder(packet.payload)
        except av.FFmpegError:
            self.broken += 1
            return []
        codec = self._decoder.codec
        seconds = samples.size / INPUT_RATE
        missing = ((packet.timestamp - self._next + 2**31) % 2**32 - 2**31) / codec.clock
        if not begun or abs(missing) > MAX_GAP_SECONDS:
            missing = 0.0
            self._next = packet.timestamp
            self._offset = float("inf")
        end = self._next + round((missing + seconds) * codec.clock)
        self._next = end
        self._offset = min(self._offset + DRIFT * seconds, packet.arrival - end / codec.clock)
        captured = end / codec.clock + self._offset - codec.delay
        silence = np.zeros(max(0, round(missing * INPUT_RATE)), dtype=np.int16)
        return self._cut(np.concatenate([silence, samples]), captured)

    def _cut(self, samples: Samples, captured: float) -> list[Frame]:
        """Whole frames of what is there; the last of `samples` was captured at `captured`."""
        self._given = captured
        joined = np.concatenate([self._rest, samples])
        whole = joined.size // INPUT_FRAME * INPUT_FRAME
        self._rest = joined[whole:]
        return [
            Frame(joined[end - INPUT_FRAME : end], captured - (joined.size - end) / INPUT_RATE)
            for end in range(INPUT_FRAME, whole + 1, INPUT_FRAME)
        ]
