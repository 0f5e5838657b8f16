"""A call over WebRTC: the caller's microphone, the way to the caller's ear, and the events.

Takes an SDP offer, gives an SDP answer and an `Edge`. The call ends when the caller hangs up, vanishes, or does not connect within
15 s; what becomes of it between two connections is said in `connections.py`.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from aiortc.rtp import RtpPacket

from agent.audio import Frame
from agent.edge import Returned
from agent.edge.channel import REALTIME, EventChannel
from agent.edge.connections import Connections
from agent.edge.keypad import Keypad
from agent.edge.link import NoPortError, Reach
from agent.edge.microphone import Microphone
from agent.edge.rtvi import RTVI
from agent.edge.sdp import OfferError
from agent.edge.speaker import PacedSpeaker
from agent.edge.statistics import Media
from agent.realtime.client_events import ClientEvent
from agent.realtime.events import ServerEvent


class WebRTCEdge:
    """Implements `Edge`; made by `answer`, ended by `close`."""

    def __init__(self, call_id: str = "", waits: float = 0.0, dialect: type[RTVI] | None = None) -> None:
        """A caller who is lost may come back to the call of that id for `waits` seconds."""
        self.speaker = PacedSpeaker()
        self.microphone = Microphone()
        self.channel = EventChannel(self.hang_up, dialect(self.hang_up) if dialect else REALTIME)
        self.connections = Connections(self, call_id, waits)
        self._keypad = Keypad()

    @property
    def media(self) -> Media:
        """What the audio went through so far, both ways."""
        sent = replace(self.connections.sent, underruns=self.speaker.underruns)
        return Media(self.microphone.statistics, sent)

    def frames(self) -> AsyncIterator[Frame]:
        """The microphone in frames of 20 ms, until the call ends; none while the caller is lost."""
        return self.microphone.frames()

    def events(self) -> AsyncIterator[ClientEvent | Returned]:
        """The client's valid events, until the call ends."""
        return self.channel.events()

    def send(self, event: ServerEvent) -> None:
        """Send an event, or nothing after the end of the call."""
        self.channel.send(event)

    def take(self, packet: RtpPacket, *, is_key: bool) -> None:
        """A packet of the audio stream, or of the telephone events in it: these are no sound, but have their place."""
        if is_key:
            if key := self._keypad.add(packet):
                self.channel.press(key)
            packet.payload = b""
        self.microphone.add(packet)

    def hang_up(self) -> None:
        """End the frames and the events; `close` then frees the connections."""
        self.connections.end()
        self.microphone.close()
        self.channel.close()

    async def close(self) -> None:
        """Hang up and close the connections. May be called again; one that is cancelled still closes all of it."""
        self.hang_up()
        await self.connections.close()


async def answer(
    offer: str, reach: Reach, call_id: str = "", waits: float = 0.0, dialect: type[RTVI] | None = None
) -> tuple[WebRTCEdge, str]:
    """Answer an SDP offer: the call's edge, and the SDP to send back. Media flows once the caller has that.

    Without a `dialect` events are OpenAI's. Raises OfferError, and NoPortError when each of the ports is taken.
    """
    edge = WebRTCEdge(call_id, waits, dialect)
    try:
        return edge, await edge.connections.answer(offer, reach)
    except (OfferError, NoPortError, asyncio.CancelledError):
        await edge.close()
        raise
