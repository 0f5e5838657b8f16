"""The data channel of a call: events of the Realtime protocol as JSON texts, one per message, or in another dialect's form.

Events sent before the channel opens wait for it. When a caller comes back with another channel, he is sent nothing before the
`session.created` with which the session answers `Returned`. Both directions are bounded: a client that sends faster than it is served gets an
error, one that does not read loses the call. Nothing here waits, so that clean-up can use it.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from aiortc import RTCDataChannel

from agent.edge import Returned
from agent.edge.mailbox import Outbox
from agent.realtime.client_events import ClientEvent, KeysPressed, parse
from agent.realtime.events import Error, ServerEvent, SessionCreated, SessionUpdated, refuse, serialise
from agent.realtime.objects import EventError, SessionObject

logger = logging.getLogger(__name__)

LABEL = "oai-events"

MAX_QUEUED_EVENTS = 256
"""Events that wait for the session, and events that wait for the channel to open."""

MAX_BUFFERED_BYTES = 1024 * 1024
"""Bytes sent but not acknowledged, beyond which the client counts as gone: minutes of events."""

MAX_WATCHERS = 8
"""Second connections to one call."""


class Dialect(Protocol):
    """How events are written on a data channel."""

    label: str
    """The channel's name."""

    def read(self, text: str) -> Sequence[ClientEvent]:
        """The events of a client's message. Raises EventError."""

    def refuse(self, error: EventError, text: str) -> Error:
        """The answer to a message that `read` refused."""

    def write(self, event: ServerEvent, event_id: str) -> Iterable[str]:
        """The messages of an event."""


class Realtime:
    """Implements `Dialect`: each event is a message as it is."""

    label = LABEL

    def read(self, text: str) -> Sequence[ClientEvent]:
        """One event. Raises EventError."""
        return (parse(text),)

    def refuse(self, error: EventError, text: str) -> Error:
        """With the client's `event_id`."""
        return refuse(error, text)

    def write(self, event: ServerEvent, event_id: str) -> Iterable[str]:
        """One message."""
        return (serialise(event, event_id),)


REALTIME = Realtime()


class EventChannel:
    """One call's events; `attach` gives it its channel once the client has opened that."""

    def __init__(self, hang_up: Callable[[], None], dialect: Dialect = REALTIME) -> None:
        """`hang_up` is called when the client stops reading."""
        self.allow: Callable[[], None] = lambda: None
        """Called for each message of the client; raises EventError for one too many."""
        self._hang_up = hang_up
        self._dialect = dialect
        self._channel: RTCDataChannel | None = None
        self._received: asyncio.Queue[ClientEvent | Returned | None] = asyncio.Queue()
        self._waiting: list[str] = []
        self._numbers = itertools.count(1)
        self._closed = False
        self._away = False
        """The caller knows nothing of the call, and is told nothing before `session.created`."""
        self._session: SessionObject | None = None
        self._watchers: set[Outbox] = set()

    def attach(self, channel: RTCDataChannel) -> bool:
        """Take the channel that the client opened; other labels, and a second one, are left alone."""
        if channel.label != self._dialect.label or self._channel or self._closed:
            return False

        def message(text: str | bytes) -> None:
            if error := self.take(text, self._dialect):
                self.send(error)

        self._channel = channel
        channel.on("message", message)
        if self._away:
            self._received.put_nowait(Returned())
        waiting, self._waiting = self._waiting, []
        for text in waiting:
            self._send(text)
        return True

    def detach(self) -> None:
        """The channel went with its connection; another may come."""
        if self._channel:
            self._channel.remove_all_listeners("message")
        self._channel, self._away = None, True
        self._waiting.clear()

    async def events(self) -> AsyncIterator[ClientEvent | Returned]:
        """The client's valid events in order, until `close`."""
        while event := await self._received.get():
            yield event

    def send(self, event: ServerEvent) -> None:
        """Send or queue an event, for the watchers, too; nothing happens once the call is over."""
        if self._closed:
            return
        if isinstance(event, SessionCreated | SessionUpdated):
            self._session = event.session
        if self._channel and isinstance(event, SessionCreated):
            self._away = False
        event_id = f"event_{next(self._numbers)}"
        if not self._away:
            for text in self._dialect.write(event, event_id):
                self._send(text)
        if self._watchers:
            text = serialise(event, event_id)
            for watcher in self._watchers:
                watcher.put(text)

    @property
    def full(self) -> bool:
        """Whether there are as many watchers as a call may have."""
        return len(self._watchers) >= MAX_WATCHERS

    @contextmanager
    def watched(self, watcher: Outbox) -> Iterator[None]:
        """Give a copy of what the client is sent, after the session as it is, to a second connection; close it with the call."""
        if self._closed:
            watcher.close()
        if self._session:
            watcher.put(serialise(SessionCreated(session=self._session), f"event_{next(self._numbers)}"))
        self._watchers.add(watcher)
        try:
            yield
        finally:
            self._watchers.discard(watcher)

    def take(self, message: str | bytes, dialect: Dialect = REALTIME) -> Error | None:
        """Queue a client's events; what is answered instead, when they cannot be taken."""
        if self._closed:
            return None
        text = "" if isinstance(message, bytes) else message
        try:
            self.allow()
            if isinstance(message, bytes):
                raise EventError("invalid_event", "Events are sent as text, not as binary messages.")
            if self._received.qsize() >= MAX_QUEUED_EVENTS:
                raise EventError(
                    "rate_limit_exceeded",
                    f"{MAX_QUEUED_EVENTS} events are waiting to be handled; this one was dropped.",
                )
            for event in dialect.read(text):
                self._received.put_nowait(event)
        except EventError as error:
            return dialect.refuse(error, text)
        return None

    def press(self, keys: str) -> None:
        """The caller pressed keys, as if the client had sent the event."""
        if not self._closed and self._received.qsize() < MAX_QUEUED_EVENTS:
            self._received.put_nowait(KeysPressed(type="parley.dtmf", digits=keys))

    def close(self) -> None:
        """End the events in both directions."""
        if not self._closed:
            self._closed = True
            self._waiting.clear()
            for watcher in self._watchers:
                watcher.close()
            self._received.put_nowait(None)

    def _send(self, text: str) -> None:
        if self._channel is None:
            if len(self._waiting) >= MAX_QUEUED_EVENTS:
                logger.warning("dropped an event: the client has not opened its data channel")
                return
            self._waiting.append(text)
        elif self._channel.readyState == "open":
            try:
                self._channel.send(text)
            except ValueError as error:  # longer than the client said it can take
                logger.warning("dropped an event: %s", error)
            if self._channel.bufferedAmount > MAX_BUFFERED_BYTES:
                logger.warning("hung up: the client does not read its events")
                self._hang_up()
