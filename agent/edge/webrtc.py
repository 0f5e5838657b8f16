"""A call over WebRTC: an aiortc peer connection with the caller's microphone, the way to the caller's ear, and the events.

Takes an SDP offer, gives an SDP answer with all candidates (the protocol has no trickle) and an `Edge`. The call ends when the
caller hangs up, vanishes, does not connect within 15 s, or the data channel closes.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from aiortc import (
    InvalidStateError,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.exceptions import OperationError
from aiortc.sdp import MediaDescription, SessionDescription

from agent.audio import Frame
from agent.edge.channel import EventChannel
from agent.edge.codecs import BIT_RATE, BY_NAME
from agent.edge.microphone import Microphone
from agent.edge.patches import listen, offer_addresses, receive
from agent.edge.speaker import PacedSpeaker
from agent.edge.statistics import Media
from agent.edge.track import PacedTrack
from agent.realtime.client_events import ClientEvent
from agent.realtime.events import ServerEvent

OPUS_PARAMETERS = f"minptime=20;useinbandfec=1;usedtx=1;stereo=0;maxaveragebitrate={BIT_RATE}"
"""Copies of lost frames, pauses instead of silence, and one channel: a machine hears no more in two."""

CONNECT_SECONDS = 15.0
"""How long a caller may take from the answer to the connection."""

MALFORMED = (ValueError, AssertionError, LookupError, AttributeError, StopIteration, TypeError)
"""What aiortc's parser raises for text that is no SDP."""


class OfferError(ValueError):
    """An offer that cannot be answered; the message says why."""


class NoPortError(RuntimeError):
    """No UDP port is left for another call."""


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


class WebRTCEdge:
    """Implements `Edge`; made by `answer`, ended by `close`."""

    def __init__(self, connection: RTCPeerConnection) -> None:
        """Listens to the connection's events; there is at most one call per connection."""
        self.speaker = PacedSpeaker()
        self.track = PacedTrack(self.speaker.pull)
        self.speaker.on_speech = self.track.wake
        self.microphone = Microphone()
        self.microphone.on_sound = self.track.stay
        self.channel = EventChannel(self.hang_up)
        self._connection = connection
        self._closing: asyncio.Future[None] | None = None
        self._patience = asyncio.get_running_loop().call_later(CONNECT_SECONDS, self.hang_up)
        connection.on("datachannel", self.channel.attach)
        connection.on("connectionstatechange", self._state_changed)

    @property
    def media(self) -> Media:
        """What the audio went through so far, both ways."""
        return Media(self.microphone.statistics, replace(self.track.sent, underruns=self.speaker.underruns))

    def frames(self) -> AsyncIterator[Frame]:
        """The microphone in frames of 20 ms, until the call ends."""
        return self.microphone.frames()

    def events(self) -> AsyncIterator[ClientEvent]:
        """The client's valid events, until the call ends."""
        return self.channel.events()

    def send(self, event: ServerEvent) -> None:
        """Send an event, or nothing after the end of the call."""
        self.channel.send(event)

    def hang_up(self) -> None:
        """End the frames and the events; `close` then frees the connection."""
        self._patience.cancel()
        self.microphone.close()
        self.channel.close()

    async def close(self) -> None:
        """Hang up and close the connection. May be called again; one that is cancelled still closes all of it."""
        self.hang_up()
        if self._closing is None:
            # A task of the loop, because aiortc leaves sockets and tasks behind when its own `close` is cancelled half-way.
            self._closing = asyncio.get_running_loop().create_task(self._connection.close())
        try:
            await asyncio.shield(self._closing)
        except asyncio.CancelledError:
            await asyncio.wait([self._closing])
            raise

    def _state_changed(self) -> None:
        match self._connection.connectionState:
            case "connected":
                self._patience.cancel()
            case "failed" | "closed":
                self.hang_up()
            case _:
                pass


async def answer(offer: str, reach: Reach) -> tuple[WebRTCEdge, str]:
    """Answer an SDP offer: the call's edge, and the SDP to send back. Media flows once the caller has that.

    Raises OfferError, and NoPortError when each of the ports is taken.
    """
    text = _checked(offer)
    connection = RTCPeerConnection(RTCConfiguration(iceServers=list(reach.ice_servers)))
    edge = WebRTCEdge(connection)
    try:
        with offer_addresses(reach.addresses, reach.ports):
            await _negotiate(connection, edge, text)
    except (OperationError, InvalidStateError, *MALFORMED) as error:
        await edge.close()
        raise OfferError(f"The offer cannot be answered: {error}.") from error
    except asyncio.CancelledError:
        await edge.close()
        raise
    sdp = connection.localDescription.sdp
    if reach.ports and "a=candidate:" not in sdp:
        await edge.close()
        raise NoPortError("The server has no free media port. Try again later.")
    return edge, _announcing(reach.announced, _with_parameters(sdp))


async def _negotiate(connection: RTCPeerConnection, edge: WebRTCEdge, offer: str) -> None:
    """Set both descriptions: the first audio section speaks and hears; everything else but the data channel is turned down."""
    await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    sender = connection.addTrack(edge.track)
    listen(sender, edge.track.report)
    for transceiver in connection.getTransceivers():
        if transceiver.sender is sender:
            receive(transceiver.receiver, edge.microphone.add)
        else:
            transceiver.direction = "inactive"
    await connection.setLocalDescription(await connection.createAnswer())
    audio = _audio(SessionDescription.parse(connection.localDescription.sdp))
    edge.track.encode_as(BY_NAME[audio.rtp.codecs[0].mimeType.lower()])


def _audio(description: SessionDescription) -> MediaDescription:
    """The first audio section. Raises OfferError when there is none."""
    for media in description.media:
        if media.kind == "audio":
            return media
    raise OfferError("The offer has no audio section (m=audio).")


def _announcing(address: str | None, answer: str) -> str:
    """The answer with another address in its host candidates of the same kind."""
    if address is None:
        return answer
    kind = r"[0-9.]+" if "." in address else r"[0-9A-Fa-f:]+"
    return re.sub(
        rf"^(a=candidate:(?:\S+ ){{4}}){kind}( \d+ typ host)", rf"\g<1>{address}\2", answer, flags=re.MULTILINE
    )


def _with_parameters(answer: str) -> str:
    """The answer with how we want Opus sent (RFC 7587, section 6.1), of which aiortc knows nothing."""
    number = re.search(r"^a=rtpmap:(\d+) opus/", answer, re.MULTILINE | re.IGNORECASE)
    if number is None:
        return answer
    end = answer.index("\n", number.end()) + 1
    return f"{answer[:end]}a=fmtp:{number[1]} {OPUS_PARAMETERS}\r\na=ptime:20\r\n{answer[end:]}"


def _checked(offer: str) -> str:
    """The offer as aiortc gets it. Raises OfferError when it is no offer, or none that we can answer.

    Candidates that are mDNS names are left out: asking the network for them would leave the machine. So is the end of the
    candidates: callers behind such names or an address translation are known only by their own checks, which may still come.
    """
    lines = [line for line in offer.splitlines() if line]
    kept = [line for line in lines if line != "a=end-of-candidates" and not _is_mdns(line)]
    text = "\r\n".join(kept) + "\r\n"
    try:
        description = SessionDescription.parse(text)
    except MALFORMED as error:
        raise OfferError("The offer is not an SDP session description.") from error
    if not lines or lines[0] != "v=0" or not description.media:
        raise OfferError("The offer is not an SDP session description with media sections.")
    audio = _audio(description)
    offered = {codec.mimeType.lower() for codec in audio.rtp.codecs}
    if not offered & BY_NAME.keys():
        raise OfferError(
            f"The offer has no codec that we have; it offers {', '.join(sorted(offered)) or 'none'}, we have {', '.join(sorted(BY_NAME))}."
        )
    if audio.direction not in {None, "sendrecv", "recvonly"}:
        raise OfferError(f"The offer's audio is {audio.direction}: it must be able to receive the answer's speech.")
    if not (audio.ice and audio.ice.usernameFragment and audio.ice.password and audio.dtls and audio.dtls.fingerprints):
        raise OfferError("The offer lacks ICE credentials or a DTLS fingerprint.")
    names = [media.rtp.muxId for media in description.media]
    bundled = {name for group in description.group if group.semantic == "BUNDLE" for name in group.items}
    if len(set(names)) < len(names) or not bundled <= set(names):
        raise OfferError("The offer's media sections are not named as its BUNDLE group says (a=mid).")
    return text


def _is_mdns(line: str) -> bool:
    return line.startswith("a=candidate:") and ".local " in line
