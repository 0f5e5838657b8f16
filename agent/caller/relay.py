"""A network that misbehaves as told: a UDP relay between the two ends of a call, for tests and benchmarks.

It stands in the candidates of both descriptions, so each end knows only the relay. What it does to packets is a value that may be
changed at any time; chance is seeded, so that a run can be repeated. Times in seconds, shares from 0 to 1.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

Address = tuple[str, int]

HEADERS = 28
"""Bytes of UDP's and IPv4's."""

CANDIDATE = re.compile(r"^(a=candidate:\S+ \d+ udp \d+) (\S+) (\d+) ", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Faults:
    """What happens to packets, each way."""

    loss: float = 0.0
    """Share of packets that vanish."""
    burst: float | None = None
    """How many vanish in a row, on average (Gilbert's model); None: each by itself, which is 1 / (1 - loss)."""
    duplicate: float = 0.0
    """Share that arrives twice."""
    delay: float = 0.0
    jitter: float = 0.0
    """Further delay between 0 and this, evenly spread; the order is kept."""
    reorder: float = 0.0
    """Share that is overtaken."""
    overtaken_by: float = 0.03
    """How much later such packets arrive."""
    drift: float = 0.0
    """Seconds per second by which the delay grows, as if the sender's clock ran slow."""
    rate: float | None = None
    """Bits per second that pass, with the headers of UDP and IPv4; None: as many as come."""
    queue: float = 0.1
    """Longest that packets wait for that; those that would have to wait longer vanish."""


class End(asyncio.DatagramProtocol):
    """The relay's socket towards one of the two."""

    def __init__(self, pass_on: Callable[[bytes], None]) -> None:
        self.peer: Address | None = None
        """Where that one is: as its description said, then wherever its last packet came from."""
        self._pass_on = pass_on
        self._socket: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> Address:
        """The relay's own, towards this one."""
        assert self._socket is not None
        address: Address = self._socket.get_extra_info("sockname")
        return address

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """The socket is open."""
        self._socket = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """A packet from this one, for the other."""
        self.peer = addr
        self._pass_on(data)

    def send(self, data: bytes) -> None:
        """A packet for this one."""
        if self._socket and self.peer and not self._socket.is_closing():
            self._socket.sendto(data, self.peer)

    def close(self) -> None:
        """Close the socket."""
        if self._socket:
            self._socket.close()


class Path:
    """One direction: decides what becomes of each packet."""

    def __init__(self, seed: int) -> None:
        self.faults = Faults()
        self.lost = 0
        self.passed = 0
        self._chance = random.Random(seed)  # noqa: S311  no secret
        self._losing = False
        self._last = -1.0
        self._free = 0.0
        """When the narrow place is free again."""
        self._started: float | None = None

    def arrivals(self, now: float, size: int = 0) -> list[float]:
        """When the copies of a packet of `size` bytes that is sent now arrive; none when it is lost."""
        faults, chance = self.faults, self._chance
        through = self._through(now, size)
        if through is None or self._loses():
            self.lost += 1
            return []
        self.passed += 1
        if self._started is None:
            self._started = now
        when = through + faults.delay + chance.random() * faults.jitter + faults.drift * (now - self._started)
        if chance.random() < faults.reorder:
            return [when + faults.overtaken_by]
        self._last = max(self._last + 1e-6, when)  # timers of the same moment have no order
        return [self._last] * (2 if chance.random() < faults.duplicate else 1)

    def _loses(self) -> bool:
        """Whether chance takes the next packet."""
        loss, burst = self.faults.loss, self.faults.burst or 1 / (1 - self.faults.loss)
        self._losing = self._chance.random() < (1 - 1 / burst if self._losing else loss / (burst * (1 - loss)))
        return self._losing

    def _through(self, now: float, size: int) -> float | None:
        """When a packet has passed the narrow place; None when too many wait there."""
        if self.faults.rate is None:
            return now
        through = max(now, self._free) + 8 * (size + HEADERS) / self.faults.rate
        if through - now > self.faults.queue:
            return None
        self._free = through
        return through


class Relay:
    """Both directions; made by `relay`."""

    def __init__(self, seed: int) -> None:
        self.paths = (Path(seed), Path(seed + 1))
        """From the caller, and to it."""
        self.caller = End(lambda data: self._pass(self.paths[0], data, self.callee))
        self.callee = End(lambda data: self._pass(self.paths[1], data, self.caller))

    def misbehave(self, faults: Faults) -> None:
        """From now on, both ways."""
        for path in self.paths:
            path.faults = faults

    def offer(self, sdp: str) -> str:
        """The caller's description, as the callee is to see it."""
        return self._stand_in(sdp, self.caller, self.callee)

    def answer(self, sdp: str) -> str:
        """The callee's description, as the caller is to see it."""
        return self._stand_in(sdp, self.callee, self.caller)

    async def rebind(self) -> None:
        """Give the caller another address, as a network does that forgot it."""
        old = self.callee
        self.callee = End(lambda data: self._pass(self.paths[1], data, self.caller))
        self.callee.peer = old.peer
        await self.open(self.callee)
        old.close()

    async def open(self, end: End) -> None:
        """Open an end's socket."""
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: end, ("127.0.0.1", 0))

    def _stand_in(self, sdp: str, of: End, towards: End) -> str:
        found = CANDIDATE.search(sdp)
        assert found is not None, "a description with its candidates"
        of.peer = (found[2], int(found[3]))
        host, port = towards.address
        return CANDIDATE.sub(rf"\1 {host} {port} ", sdp)

    def _pass(self, path: Path, data: bytes, to: End) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for when in path.arrivals(now, len(data)):
            if when > now:
                loop.call_at(when, to.send, data)
            else:
                to.send(data)


@asynccontextmanager
async def relay(seed: int = 0) -> AsyncIterator[Relay]:
    """A relay that works well until it is told otherwise; closed after the block."""
    made = Relay(seed)
    await made.open(made.caller)
    await made.open(made.callee)
    try:
        yield made
    finally:
        made.caller.close()
        made.callee.close()
