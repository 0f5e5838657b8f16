"""The peer connections of one call, one in use at a time: the first, and those of a caller who comes back (`resume.py`).

A new connection takes the place of the one in use once it is up. The call is lost when the one in use was closed or nothing came over
it for 9 s; then it ends, or waits for the caller where he may come back.
"""

import asyncio
from typing import Protocol

from aiortc import RTCDataChannel, RTCPeerConnection
from aiortc.rtp import RtpPacket

from agent.edge.channel import EventChannel
from agent.edge.link import Link, Reach
from agent.edge.microphone import Microphone
from agent.edge.restart import restarts
from agent.edge.resume import Tokens
from agent.edge.sdp import OfferError, checked
from agent.edge.speaker import PacedSpeaker
from agent.edge.statistics import Sending
from agent.edge.watch import Watch

CONNECT_SECONDS = 15.0
"""How long a caller may take from the answer to the connection."""


class Ends(Protocol):
    """The call's ends, which outlive its connections."""

    speaker: PacedSpeaker
    microphone: Microphone
    channel: EventChannel

    def take(self, packet: RtpPacket, *, is_key: bool) -> None:
        """A packet of the audio stream, or of the telephone events in it."""

    def hang_up(self) -> None:
        """The call is over."""


class Connections:
    """Made with a call; `close` it with it."""

    def __init__(self, call: Ends, call_id: str, waits: float) -> None:
        """`waits`: seconds that the call lives on without a connection; with 0 it ends with its first."""
        self.sent = Sending()
        self.tokens = Tokens(call_id)
        """None where `waits` is 0."""
        self._call = call
        self._waits = waits
        self._used: Link | None = None
        """None before the first is up, and while the caller is lost."""
        self._next: Link | None = None
        """The one that is to take its place."""
        self._lost = ""
        """The last offer of the connection that was lost last."""
        self._watch: Watch | None = None
        self._patience: asyncio.TimerHandle | None = None
        """Waits for the caller to come back."""
        self.newest: Link | None = None
        """The one that was answered last."""
        self._loop = asyncio.get_running_loop()
        self._closing: set[asyncio.Task[None]] = set()
        self._ended = False

    async def answer(self, offer: str, reach: Reach) -> str:
        """Answer the call's first offer, or that of a caller who comes back, or who asks for another path on the connection in use.

        Raises OfferError and NoPortError; the call is as before.
        """
        text = checked(offer, reach.codecs)
        if self._used and self._used.restarted_by(text):
            return await self._used.restart(text, reach)
        if restarts(text, self._lost):
            raise OfferError("The connection that is to be restarted is gone. Come back with a new one.")
        connection = RTCPeerConnection(reach.configuration)
        link = Link(connection, lambda: self._call.speaker.pull() if self._used is link else None, self.sent)
        connection.on("datachannel", lambda channel: self._attach(link, channel))
        connection.on("connectionstatechange", lambda: self._state_changed(link))
        answered = False

        def take(packet: RtpPacket) -> None:
            if link is self._used:
                self._call.take(packet, is_key=packet.payload_type in link.events)

        try:
            sdp = await link.answer(text, reach, take)
            answered = not self._ended
        finally:
            if not answered:
                self._drop(link)
        if not answered:
            raise OfferError("The call is over.")
        self.newest = link
        self._expect(link)
        return sdp

    def end(self) -> None:
        """Wait for nobody."""
        self._ended = True
        self.tokens.end()
        for timer in (self._patience, self._watch, *(link.timer for link in (self._used, self._next) if link)):
            if isinstance(timer, Watch):
                timer.stop()
            elif timer:
                timer.cancel()

    async def close(self) -> None:
        """Close them all; when cancelled, too."""
        for link in (self._used, self._next):
            if link:
                self._drop(link)
        self._used = self._next = None
        if self._closing:
            # Shielded, because aiortc leaves sockets and tasks behind when its own `close` is cancelled half-way. A copy,
            # because whatever ends before the task below starts takes itself out of the set.
            closing = self._loop.create_task(asyncio.wait({*self._closing}))
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError:
                await asyncio.wait([closing])
                raise

    def _expect(self, link: Link) -> None:
        """A link was answered: it is the next, for so long as its caller may take."""
        if self._next:
            self._drop(self._next)
        if self._patience and not self._used:
            self._wait(max(self._waits, CONNECT_SECONDS))
        self._next = link
        if self._waits:
            link.token = self.tokens.add()
        link.timer = self._loop.call_later(CONNECT_SECONDS, self._gone, link)

    def _state_changed(self, link: Link) -> None:
        match link.connection.connectionState:
            case "connected" if link is self._next:
                self._use(link)
            case "failed" | "closed":
                self._gone(link)
            case _:
                pass

    def _use(self, link: Link) -> None:
        """A connection is up."""
        if link.timer:
            link.timer.cancel()
        if self._patience:
            self._patience.cancel()
        if self._used:
            self._lose(self._used)
        self._used, self._next = link, None
        if self._waits:
            self.tokens.use(link.token)
        self._call.speaker.on_speech = link.track.wake
        self._call.microphone.on_sound = link.track.stay
        self._call.speaker.go_on()
        self._watch = Watch(self._call.speaker, link)

    def _gone(self, link: Link) -> None:
        """A connection failed, was closed, or did not come up in time."""
        if self._ended:
            return
        if link is self._used:
            self._lose(link)
            self._wait(self._waits)
        elif link is self._next:
            self._next = None
            self._drop(link)
            if not self._used and not self._patience:  # nobody was ever there
                self._call.hang_up()

    def _lose(self, link: Link) -> None:
        """The connection in use is no more, and nothing counts that left over it after the caller's last sign."""
        self._used, self._lost = None, link.offered
        if self._watch:
            self._watch.stop()
        self._call.speaker.hold(link.reached)
        self._call.microphone.pause()
        self._call.channel.detach()
        self._drop(link)

    def _wait(self, seconds: float) -> None:
        """The call is lost: it ends unless a connection comes up in time."""
        if self._patience:
            self._patience.cancel()
        self._patience = self._loop.call_later(seconds, self._call.hang_up)

    def _drop(self, link: Link) -> None:
        task = self._loop.create_task(link.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _attach(self, link: Link, channel: RTCDataChannel) -> None:
        """The caller opened a data channel. To close it is to hang up, unless the connection below it went."""

        def closed() -> None:
            if link is self._used:
                self._call.hang_up() if channel.transport.state == "connected" else self._gone(link)

        if link is self._used and self._call.channel.attach(channel):
            channel.on("close", closed)
