"""RTP packets in the order they were sent, for a machine's ear.

A machine needs no smooth playout, so a packet that is in order passes at once. A hole waits for as long as packets of this stream
have lately come out of order, 40 ms at most; then it is given up, and nothing is held any longer: the delay always returns to
nothing. Sequence numbers are compared modulo 2^16 (RFC 3550). Pure: whoever calls knows the time.
"""

from dataclasses import dataclass

MAX_WAIT = 0.04
"""Seconds: longest that a missing packet is waited for. What comes later is replaced better than awaited."""

FIRST_WAIT = 0.02
"""Seconds before anything is known of the stream: one packet."""

MARGIN = 1.5
"""A hole waits so many times as long as the latest packet of late was behind."""

FORGET = 0.998
"""What is left of that lateness after each packet: half after 7 s."""

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
        """Packets that were given up; one that comes after that is counted as late too."""
        self.late = 0
        """Packets that came after they were given up, and duplicates: dropped."""
        self.reordered = 0
        """Packets that came after a later one and in time."""
        self._lateness = FIRST_WAIT / MARGIN
        self._next: int | None = None
        self._held: dict[int, Packet] = {}
        self._given_up: dict[int, float] = {}
        """For the last holes, when the first packet behind them came."""

    @property
    def wait(self) -> float:
        """Seconds that a hole waits now, from the arrival of the first packet behind it."""
        return min(MAX_WAIT, MARGIN * self._lateness)

    @property
    def due(self) -> float:
        """When `expire` has something to give if nothing comes before; infinity while nothing is held."""
        return min((packet.arrival for packet in self._held.values()), default=float("inf")) + self.wait

    def add(self, packet: Packet) -> list[Packet]:
        """The packets that can be played now that this one is there, in order."""
        self.received += 1
        self._lateness *= FORGET
        if self._next is None:
            self._next = packet.sequence
        ahead = _distance(self._next, packet.sequence)
        if not -MAX_MISORDER <= ahead < MAX_DROPOUT:
            return self._start_anew(packet)
        if ahead < 0 or packet.sequence in self._held:
            self.late += 1
            self._learn(packet, self._given_up.pop(packet.sequence, packet.arrival))
            return []
        behind = [held.arrival for held in self._held.values() if _distance(packet.sequence, held.sequence) > 0]
        if behind:
            self.reordered += 1
            self._learn(packet, min(behind))
        self._held[packet.sequence] = packet
        return self._ready() + self.expire(packet.arrival)

    def expire(self, now: float) -> list[Packet]:
        """Give up the holes that have waited long enough, and let go of what is behind them, in order."""
        ready: list[Packet] = []
        while self._held and now >= self.due:
            ready += self._skip()
        return ready

    def start_anew(self) -> None:
        """Another stream begins with the next packet; what is held of the old one is dropped."""
        self._next = None
        self._held.clear()
        self._given_up.clear()

    def _start_anew(self, packet: Packet) -> list[Packet]:
        """Another stream begins; what is held of the old one is played."""
        before = self.expire(float("inf"))
        self._next = (packet.sequence + 1) % 65536
        return [*before, packet]

    def _learn(self, packet: Packet, since: float) -> None:
        """A packet came out of order, so long after one that was sent later."""
        self._lateness = max(self._lateness, min(MAX_WAIT, packet.arrival - since))

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
        since = min(packet.arrival for packet in self._held.values())
        self._given_up = {(start + step) % 65536: since for step in range(min(missing, MAX_MISORDER))}
        return self._ready()


def _distance(start: int, end: int) -> int:
    """Steps from one sequence number to another, -2^15 to 2^15 - 1."""
    return (end - start + 32768) % 65536 - 32768
