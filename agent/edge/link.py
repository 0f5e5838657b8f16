"""One peer connection of a call: an SDP offer in, an SDP answer with all candidates out (the protocol has no trickle).

What its packets, its data channel and its end mean is decided by whoever owns it (`webrtc.py`).
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from aiortc import (
    InvalidStateError,
    RTCConfiguration,
    RTCIceCandidate,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.exceptions import OperationError
from aiortc.rtp import RtpPacket
from aiortc.sdp import SessionDescription

from agent.audio import Samples
from agent.edge.codecs import BY_NAME
from agent.edge.keypad import MIME_TYPE
from agent.edge.patches import last_heard, listen, offer_addresses, receive
from agent.edge.restart import Restart, restarts
from agent.edge.sdp import MALFORMED, OfferError, announcing, audio, with_parameters
from agent.edge.statistics import Sending
from agent.edge.track import PacedTrack


class NoPortError(RuntimeError):
    """No UDP port is left for another call, here or at the TURN server."""


@dataclass(frozen=True)
class Reach:
    """How callers reach us."""

    ice_servers: Sequence[RTCIceServer] = ()
    addresses: Sequence[str] | None = None
    """Local addresses to receive on; None: all of the machine, or 127.0.0.1 where it has no other."""
    ports: range | None = None
    """Local UDP ports; None: any."""
    announced: str | None = None
    """Public address that stands in the answer in the place of local ones of its kind (IPv4 or IPv6)."""
    relay_only: bool = False
    """Receive at the TURN server among `ice_servers` and nowhere else."""
    codecs: Collection[str] = tuple(BY_NAME)
    """MIME types that calls may use, in lower case."""

    @property
    def configuration(self) -> RTCConfiguration:
        """What aiortc gets of it."""
        policy = RTCIceTransportPolicy.RELAY if self.relay_only else RTCIceTransportPolicy.ALL
        return RTCConfiguration(iceServers=list(self.ice_servers), iceTransportPolicy=policy)


class Link:
    """A peer connection and the track that it sends; made by `answer`, ended by `close`."""

    def __init__(self, connection: RTCPeerConnection, pull: Callable[[], Samples | None], sent: Sending) -> None:
        """`pull` gives the frames to send; `sent` counts them, after those of the call's earlier links."""
        self.connection = connection
        self.track = PacedTrack(pull, sent=sent)
        self.token = ""
        """With it a caller may come back."""
        self.events: set[int] = set()
        """The payload types of telephone events."""
        self.offered = ""
        """The caller's last offer."""
        self._answered = ""
        """And ours, before another address was put into it."""
        self._restart: asyncio.Task[None] | None = None
        """Looks for another path."""
        self.timer: asyncio.TimerHandle | None = None
        """Runs while the connection is awaited."""

    @property
    def heard(self) -> float:
        """The loop's time of the caller's last datagram; 0 before the first."""
        return last_heard(self.connection)

    @property
    def reached(self) -> float:
        """What left before this moment had arrived when the caller sent his last datagram."""
        return self.heard - (self.track.sent.round_trip or 0.0)

    async def answer(self, offer: str, reach: Reach, take: Callable[[RtpPacket], None]) -> str:
        """The SDP to send back to a checked offer; `take` gets each audio packet. Raises OfferError, and NoPortError when each port is taken."""
        try:
            with offer_addresses(reach.addresses, reach.ports):
                await self._negotiate(offer, take)
        except (OperationError, InvalidStateError, *MALFORMED) as error:
            raise OfferError(f"The offer cannot be answered: {error}.") from error
        sdp = self.connection.localDescription.sdp
        if "a=candidate:" not in sdp:
            if reach.relay_only:
                raise NoPortError("The TURN server gives the call no port. Try again later.")
            if reach.ports:
                raise NoPortError("The server has no free media port. Try again later.")
        self.offered, self._answered = offer, with_parameters(sdp)
        return announcing(reach.announced, self._answered)

    def restarted_by(self, offer: str) -> bool:
        """Whether a checked offer asks for another path on this connection."""
        return restarts(offer, self.offered)

    async def restart(self, offer: str, reach: Reach) -> str:
        """The SDP to send back to an offer that restarts ICE; the old path is used until the new one is there. Raises NoPortError."""
        await self._stop_restart()
        restart = Restart(self.connection, reach.configuration)
        with offer_addresses(reach.addresses, reach.ports):
            found = await restart.gather()
        self._restart = asyncio.get_running_loop().create_task(restart.connect(offer))
        if not found:
            raise NoPortError("There is no free media port. Try again later.")
        self.offered, self._answered = offer, restart.answer(self._answered)
        return announcing(reach.announced, self._answered)

    async def _stop_restart(self) -> None:
        if self._restart:
            self._restart.cancel()
            await asyncio.wait([self._restart])

    async def _negotiate(self, offer: str, take: Callable[[RtpPacket], None]) -> None:
        """Set both descriptions: the first audio section speaks and hears; everything else but the data channel is turned down."""
        connection = self.connection
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        sender = connection.addTrack(self.track)
        listen(sender, self.track.report)
        for transceiver in connection.getTransceivers():
            if transceiver.sender is sender:
                receive(transceiver.receiver, take)
            else:
                transceiver.direction = "inactive"
        await connection.setLocalDescription(await connection.createAnswer())
        section = audio(SessionDescription.parse(connection.localDescription.sdp))
        self.track.encode_as(BY_NAME[section.rtp.codecs[0].mimeType.lower()])
        self.events = {codec.payloadType or 0 for codec in section.rtp.codecs if codec.mimeType.lower() == MIME_TYPE}

    async def add(self, candidate: RTCIceCandidate) -> None:
        """Where else the caller may be reached. Raises OfferError when there is no such section."""
        try:
            await self.connection.addIceCandidate(candidate)
        except (ValueError, InvalidStateError) as error:
            raise OfferError(f"The candidate cannot be taken: {error}.") from error

    async def close(self) -> None:
        """Close the connection; not to be cancelled, because aiortc then leaves sockets and tasks behind."""
        if self.timer:
            self.timer.cancel()
        await self._stop_restart()
        await self.connection.close()
