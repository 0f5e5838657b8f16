"""RTP packets in the order they were sent, for a machine's ear.

A machine needs no smooth playout, so a packet that is in order passes at once. A hole waits for two further packets (40 ms at the
usual 20 ms each), or for whoever keeps the time to call `flush`; then it is given up, and nothing is held any longer: the delay
always returns to nothing. Sequence numbers are compared modulo 2^16 (RFC 3550). Pure.
"""

from dataclasses import dataclass

HOLD = 2
"""Packets after a hole that are held before it is given up."""

MAX_DROPOUT = 3000
"""Packets that may be missing at once before the stream counts as started anew (RFC 3550, appendix A.1)."""

MAX_MISORDER = 100
"""Packets that one may be behind before the stream counts as started anew (RFC 3550, appendix A.1)."""


@dataclass(frozen=True)
class Packet:
    """One RTP packet."""

    sequence: int
    """Modulo 2^16."""

    timestamp: int
    """Of its first sample, in ticks of the codec's clock, modulo 2^32."""

    payload_type: int
    payload: bytes
    arrival: float
    """Seconds on the receiver's clock."""


class JitterBuffer:
    """Takes packets as they arrive, gives them in order."""

    def __init__(self) -> None:
        self.received = 0
        self.lost = 0
        """Holes that were given up; a packet that comes after that is counted as late too."""
        self.late = 0
        """Packets that came after their hole was given up, and duplicates: dropped."""
        self._next: int | None = None
        self._held: dict[int, Packet] = {}

    @property
    def waiting_since(self) -> float | None:
        """Arrival of the first packet that is held because one before it is missing; None when none is."""
        return min((packet.arrival for packet in self._held.values()), default=None)

    def add(self, packet: Packet) -> list[Packet]:
        """The packets that can be played now that this one is there, in order."""
        self.received += 1
        if self._next is None:
            self._next = packet.sequence
        ahead = _distance(self._next, packet.sequence)
        if not -MAX_MISORDER <= ahead < MAX_DROPOUT:
            before = self.flush()
            self._next = (packet.sequence + 1) % 65536
            return [*before, packet]
        if ahead < 0 or packet.sequence in self._held:
            self.late += 1
            return []
        self._held[packet.sequence] = packet
        ready = self._ready()
        while len(self._held) >= HOLD:
            ready += self._skip()
        return ready

    def flush(self) -> list[Packet]:
        """Give up every hole and let go of all that is held, in order."""
        ready: list[Packet] = []
        while self._held:
            ready += self._skip()
        return ready

    def _ready(self) -> list[Packet]:
        """Packets that follow one another from the next one on."""
        ready: list[Packet] = []
        while self._next is not None and (packet := self._held.pop(self._next, None)):
            ready.append(packet)
            self._next = (self._next + 1) % 65536
        return ready

    def _skip(self) -> list[Packet]:
        """Give up the first hole."""
        assert self._next is not None, "packets are held only once the stream has begun"
        start = self._next
        missing, self._next = min((_distance(start, sequence), sequence) for sequence in self._held)
        self.lost += missing
        return self._ready()


def _distance(start: int, end: int) -> int:
    """Steps from one sequence number to another, -2^15 to 2^15 - 1."""
    return (end - start + 32768) % 65536 - 32768
