"""Every place where we reach into aiortc 1.16 and aioice 0.13 beyond their public interface.

`tests/edge/test_patches.py` fails when one of them changes; pyproject.toml pins the versions. Importing this module changes
five things for the whole process: which addresses a peer connection offers (only within `offer_addresses`, and 127.0.0.1 where the
machine has no other), how soon a vanished peer is noticed, that the time of its last datagram is kept, how datagrams are read (only
where `receive` was called), and that telephone events are offered and taken.
"""

import asyncio
import errno
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import aioice.ice
import aiortc.codecs
from aiortc import RTCPeerConnection, RTCRtpCodecParameters, RTCRtpReceiver, RTCRtpSender
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import AnyRtcpPacket, RtcpRrPacket, RtcpSrPacket, RtpPacket

from agent.edge import keypad
from agent.edge.statistics import Report

CONSENT_INTERVAL = 0.5
"""Seconds between consent checks, ±20 %. Each waits 0.5 s for its answer."""

CONSENT_FAILURES = 8
"""Checks in a row without an answer that end a connection: after 7.2 to 8.8 s, where aioice's own 5 s and 6 make 31 s."""

FIRST_MEDIA = 128
"""First byte from which a datagram is RTP or RTCP (RFC 7983, section 7)."""

MAX_AT_ONCE = 64
"""Datagrams that are read from one socket before the others have their turn: more than a second of sound."""

MAX_DATAGRAM = 65_536
"""Bytes."""

_addresses: ContextVar[Sequence[str] | None] = ContextVar("_addresses", default=None)
_ports: ContextVar[range | None] = ContextVar("_ports", default=None)
_all_addresses = aioice.ice.get_host_addresses


@contextmanager
def offer_addresses(addresses: Sequence[str] | None, ports: range | None = None) -> Iterator[None]:
    """Within the block, peer connections gather host candidates for exactly these addresses and ports; None: all of the machine."""
    if ports is not None:
        _keep_to_ports(asyncio.get_running_loop())
    tokens = _addresses.set(addresses), _ports.set(ports)
    try:
        yield
    finally:
        _addresses.reset(tokens[0])
        _ports.reset(tokens[1])


def _keep_to_ports(loop: asyncio.AbstractEventLoop) -> None:
    """Let a loop's sockets that ask for any port get one of `offer_addresses`: aioice asks for any and takes no other wish."""
    original = loop.create_datagram_endpoint
    if getattr(original, "keeps_to_ports", False):
        return

    async def create(factory: Any, local_addr: Any = None, **options: Any) -> Any:
        ports = _ports.get()
        if ports is None or local_addr is None or local_addr[1] != 0:
            return await original(factory, local_addr=local_addr, **options)
        start = secrets.randbelow(len(ports))
        for port in (*ports[start:], *ports[:start]):
            try:
                return await original(factory, local_addr=(local_addr[0], port), **options)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRINUSE, "every media port is in use")

    create.keeps_to_ports = True  # type: ignore[attr-defined]
    loop.create_datagram_endpoint = create  # type: ignore[method-assign,assignment]


def _host_addresses(*, use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """In the place of aioice's own, which never gives 127.0.0.1."""
    addresses = _addresses.get()
    if addresses is not None:
        return list(addresses)
    return _all_addresses(use_ipv4=use_ipv4, use_ipv6=use_ipv6) or ["127.0.0.1"]


class _Receive:
    """Has the interface of aiortc's jitter buffer, and gives it nothing to decode."""

    def __init__(self, take: Callable[[RtpPacket], None]) -> None:
        self._take = take

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Pass a packet on; no picture loss to report, no frame for aiortc's decoder."""
        self._take(packet)
        return False, None


def receive(receiver: RTCRtpReceiver, take: Callable[[RtpPacket], None]) -> None:
    """Let `take` have each RTP packet of a receiver as it arrives, in the place of aiortc's jitter buffer and decoder thread.

    Called before the connection is up. The stock buffer holds four packets always and sixteen for ever after one lost packet.
    """
    receiver._RTCRtpReceiver__jitter_buffer = _Receive(take)  # type: ignore[attr-defined]  # noqa: SLF001
    # The decoder thread ends as soon as it starts when the end of its input is already there.
    receiver._RTCRtpReceiver__decoder_queue.put(None)  # type: ignore[attr-defined]  # noqa: SLF001
    receiver.transport.transport._connection.reads_all = True  # noqa: SLF001


def listen(sender: RTCRtpSender, take: Callable[[Report], None]) -> None:
    """Let `take` have what the listener reports of a sender's stream, whenever a report comes."""
    original = sender._handle_rtcp_packet  # noqa: SLF001

    async def handle(packet: AnyRtcpPacket) -> None:
        await original(packet)
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == sender._ssrc:  # noqa: SLF001
                    round_trip = sender._RTCRtpSender__rtt  # type: ignore[attr-defined]  # noqa: SLF001
                    take(Report(report.packets_lost, report.fraction_lost / 256, report.jitter, round_trip))

    sender._handle_rtcp_packet = handle  # type: ignore[method-assign]  # noqa: SLF001


def last_heard(connection: RTCPeerConnection) -> float:
    """The loop's time at which the other side's last datagram came, of whatever kind; 0 before the first."""
    # The transports are bundled, so that any of them is the one.
    transport = connection.getTransceivers()[0].receiver.transport.transport
    return float(getattr(transport._connection, "heard", 0.0))  # noqa: SLF001


def _datagram_received(protocol: aioice.ice.StunProtocol, data: bytes, address: Any) -> None:
    """Before aioice's own, or in its place, to which then goes everything but media: all that waits in the socket.

    asyncio reads one datagram in a round of its loop. Once a round is longer than the 20 ms between two packets, as it is with many calls
    or on a machine that is busy otherwise, what waits would grow for ever, until the answers to consent checks come too late behind
    seconds of sound and every call is given up at the same time.
    """
    protocol.receiver.heard = asyncio.get_running_loop().time()
    if not getattr(protocol.receiver, "reads_all", False):
        _receive_datagram(protocol, data, address)
        return
    _pass_on(protocol, data, address)
    socket: Any = getattr(protocol.transport, "_sock", None)  # none behind a TURN server, and none once it is closed
    for _ in range(MAX_AT_ONCE if socket else 0):
        try:
            data, address = socket.recvfrom(MAX_DATAGRAM)
        except OSError:  # nothing is left; what else it may be asyncio's own next reading finds out
            return
        _pass_on(protocol, data, address)


def _pass_on(protocol: aioice.ice.StunProtocol, data: bytes, address: Any) -> None:
    """One datagram, which aioice would try to read as STUN first."""
    if data and data[0] >= FIRST_MEDIA:
        protocol.receiver.data_received(data, protocol.local_candidate.component)
    else:
        _receive_datagram(protocol, data, address)


_receive_datagram = aioice.ice.StunProtocol.datagram_received
aioice.ice.StunProtocol.datagram_received = _datagram_received
aiortc.codecs.CODECS["audio"] += [
    RTCRtpCodecParameters(
        mimeType=keypad.MIME_TYPE, clockRate=rate, channels=1, payloadType=number, parameters={"0-15": None}
    )
    for rate, number in ((48_000, 110), (8_000, 126))  # Chromium's numbers; an answer has the offer's
]
aioice.ice.get_host_addresses = _host_addresses
aioice.ice.CONSENT_INTERVAL = CONSENT_INTERVAL
aioice.ice.CONSENT_FAILURES = CONSENT_FAILURES
