"""RTP packets of the caller's microphone → frames of 16 kHz mono with the time of their capture.

Packets are put in order, decoded and cut. The frames keep the caller's time: what was lost is recovered from the next packet or
made up, a pause of the transmission (RFC 7587, section 3.1.3) is silence, and while nothing arrives silence goes on by the clock, so
that whoever counts samples never stops counting. Pure: whoever calls knows the time, in seconds on any one clock.
"""

from dataclasses import replace

import numpy as np

from agent.audio import FRAME_SECONDS, INPUT_FRAME, INPUT_RATE, Frame, Samples
from agent.edge.codecs import OPUS, PAUSE_BYTES, Codec, CodecError, Decoder, by_payload_type
from agent.edge.jitter import JitterBuffer, Packet
from agent.edge.statistics import Reception

IDLE_SECONDS = 0.1
"""After so long without a packet, silence is filled in: beyond the jitter of most networks, below any end-of-turn silence."""

PAUSE_SECONDS = 0.04
"""The same after a packet that says that only silence follows."""

MAX_CONCEALED = 3
"""Lost packets in a row that are made up; the rest of them is silence, so that nobody hears words that were not said."""

MAX_GAP_SECONDS = 1.0
"""Longest silence put in before a packet; a greater jump of the timestamps, or one backwards, is a new start of the clock."""

DRIFT = 0.001
"""Seconds per second by which the mapping from the caller's clock to ours gives way: ten times the drift of a sound card."""


class CaptureClock:
    """The caller's clock, as the loop's: follows its drift, and measures the jitter of the network."""

    def __init__(self) -> None:
        self.jitter = 0.0
        """Seconds, as RFC 3550 computes it (section 6.4.1)."""
        self._offset = self._transit = float("inf")
        """Our clock minus the caller's: as the fastest packets show it, and as the last one does."""

    def start_anew(self) -> None:
        """The caller's clock jumped."""
        self._offset = self._transit = float("inf")

    def add(self, captured: float, arrival: float, seconds: float) -> float:
        """When a packet's last sample was captured: `captured` on the caller's clock, of a packet so many seconds long."""
        transit = arrival - captured
        self._offset = min(self._offset + DRIFT * seconds, transit)
        if self._transit != float("inf"):
            self.jitter += (abs(transit - self._transit) - self.jitter) / 16
        self._transit = transit
        return captured + self._offset


class Depacketizer:
    """One stream's packets → frames."""

    def __init__(self) -> None:
        self._buffer = JitterBuffer()
        self._counted = Reception()
        self._clock = CaptureClock()
        self._decoder: Decoder | None = None
        self._codec = OPUS
        self._sequence = 0
        """Of the last packet that was played."""
        self._length = INPUT_FRAME
        """Its samples."""
        self._paused = False
        """It said that silence follows."""
        self._rest = np.empty(0, dtype=np.int16)
        self._next = 0
        """Timestamp of the sample after the last one given, not wrapped."""
        self._given = 0.0
        """Capture time of the last sample given."""
        self._arrived = 0.0

    @property
    def statistics(self) -> Reception:
        """What was counted so far."""
        buffer = self._buffer
        return replace(
            self._counted,
            received=buffer.received,
            lost=buffer.lost,
            late=buffer.late,
            reordered=buffer.reordered,
            wait=buffer.wait,
            jitter=self._clock.jitter,
        )

    def start_anew(self) -> None:
        """Another stream begins with the next packet; the counters go on."""
        self._buffer.start_anew()
        self._decoder = None
        self._rest = np.empty(0, dtype=np.int16)

    @property
    def due(self) -> float:
        """When `tick` has something to do if no packet comes before."""
        return min(self._buffer.due, max(self._idle, self._given + FRAME_SECONDS))

    @property
    def _idle(self) -> float:
        """When silence is filled in if no packet comes."""
        return self._arrived + (PAUSE_SECONDS if self._paused else IDLE_SECONDS)

    def add(self, packet: Packet) -> list[Frame]:
        """The frames that are complete now that this packet arrived."""
        if packet.payload:  # else it holds no sound, and silence goes on
            self._arrived = packet.arrival
        ready = self._buffer.add(packet)
        self._counted.held += _waited(ready, packet.arrival)
        return [frame for packet in ready for frame in self._decode(packet)]

    def tick(self, now: float) -> list[Frame]:
        """The frames that are due because nothing arrived: behind a hole that was waited for, or silence."""
        ready = self._buffer.expire(now)
        self._counted.held += _waited(ready, now)
        frames = [frame for packet in ready for frame in self._decode(packet)]
        if self._decoder and now >= self._idle:
            count = max(0, int((now - self._given) / FRAME_SECONDS + 1e-6))
            self._next += round(count * FRAME_SECONDS * self._codec.clock)
            self._counted.silence += count * FRAME_SECONDS
            frames += self._cut(np.zeros(count * INPUT_FRAME, dtype=np.int16), self._given + count * FRAME_SECONDS)
        return frames

    def _decode(self, packet: Packet) -> list[Frame]:
        """One packet's samples, and before them what its timestamp says is missing."""
        if not packet.payload:
            self._sequence = packet.sequence
            return []
        decoder, begun = self._decoder_for(packet)
        lost = (packet.sequence - self._sequence - 1) % 65536 if begun else 0
        missing = self._missing(packet, begun)
        try:
            before = self._fill(decoder, packet.payload, round(missing * INPUT_RATE), lost)
            samples = decoder.decode(packet.payload)
        except CodecError:
            self._counted.broken += 1
            return []
        self._sequence, self._length = packet.sequence, samples.size
        self._paused = self._codec is OPUS and len(packet.payload) <= PAUSE_BYTES
        seconds = samples.size / INPUT_RATE
        end = self._next + round((missing + seconds) * self._codec.clock)
        captured = self._clock.add(end / self._codec.clock, packet.arrival, seconds)
        if self._paused and missing < 0:
            return []  # the silence that it announces was given by the clock
        self._next = end
        return self._cut(np.concatenate([before, samples]), captured - decoder.delay)

    def _decoder_for(self, packet: Packet) -> tuple[Decoder, bool]:
        """The decoder of a packet's codec, and whether the stream had begun before it."""
        codec: Codec = by_payload_type(packet.payload_type)
        begun = self._decoder is not None
        if self._decoder is None or codec is not self._codec:
            self._codec, self._decoder = codec, codec.decoder()
        return self._decoder, begun

    def _missing(self, packet: Packet, begun: bool) -> float:
        """Seconds between the last sample given and a packet's first; negative when silence was given in its place."""
        missing = ((packet.timestamp - self._next + 2**31) % 2**32 - 2**31) / self._codec.clock
        if begun and abs(missing) <= MAX_GAP_SECONDS:
            return missing
        self._next = packet.timestamp
        self._clock.start_anew()
        return 0.0

    def _fill(self, decoder: Decoder, payload: bytes, count: int, lost: int) -> Samples:
        """The `count` samples before a packet: made up and recovered as far as packets were lost, silence where none was sent."""
        lost = min(lost, max(0, count) // max(1, self._length))
        made = [decoder.conceal(self._length) for _ in range(min(lost - 1, MAX_CONCEALED))]
        last: list[Samples] = []
        if lost:
            copy = decoder.recover(payload, self._length)
            self._counted.recovered += copy is not None
            self._counted.concealed += len(made) + (copy is None)
            last = [decoder.conceal(self._length) if copy is None else copy]
        # Whole frames, so that the next packet's samples need not wait for another's to fill theirs.
        silence = max(0, round((count - self._length * (len(made) + len(last))) / INPUT_FRAME) * INPUT_FRAME)
        self._counted.silence += silence / INPUT_RATE
        return np.concatenate([*made, np.zeros(silence, np.int16), *last])

    def _cut(self, samples: Samples, captured: float) -> list[Frame]:
        """Whole frames of what is there; the last of `samples` was captured at `captured`."""
        self._given = captured
        joined = np.concatenate([self._rest, samples]) if self._rest.size else samples
        whole = joined.size // INPUT_FRAME * INPUT_FRAME
        self._rest = joined[whole:]
        return [
            Frame(joined[end - INPUT_FRAME : end], captured - (joined.size - end) / INPUT_RATE)
            for end in range(INPUT_FRAME, whole + 1, INPUT_FRAME)
        ]


def _waited(packets: list[Packet], now: float) -> float:
    """Seconds that packets were there before a moment, in all."""
    return sum(now - packet.arrival for packet in packets)
