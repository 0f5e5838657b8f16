"""What waits between a client and its session: the client's events in their order, and texts on their way to the client.

Both are bounded by whoever fills them: `Inbox.room` and `Outbox.below` say when to wait. Only `Outbox.send` waits for the network.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from aiohttp import WSMessage

from agent.realtime.client_events import ClientEvent, InputAudioBufferAppend, InputAudioBufferCommit

MAX_WAITING_EVENTS = 256
MAX_WAITING_BYTES = 1024 * 1024
"""Events, and bytes of audio in them, that wait for the session; none are put in beyond."""


NORMAL, GOING_AWAY, INTERNAL_ERROR = 1000, 1001, 1011
"""Why a socket is closed; after the last two clients come back, if they were asked to."""


class Socket(Protocol):
    """What is used of aiohttp's WebSocketResponse."""

    def __aiter__(self) -> AsyncIterator[WSMessage]:
        """The client's messages until either side closes."""

    async def send_str(self, data: str) -> None:
        """Send a text; waits while the network takes no more. Raises ConnectionError once the socket is closed."""

    async def close(self, *, code: int) -> object:
        """Close from this side, and wait a while for the client's."""


class Inbox:
    """What the client sent and the session has not dealt with, in order: audio for one reader, events for another, one at a time."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        """Whether more may be put in."""
        self._waiting: deque[tuple[ClientEvent | None, float]] = deque()
        self._bytes = 0
        self._audio_next = asyncio.Event()
        self._event_next = asyncio.Event()
        self.closed = False
        self._changed()

    def put(self, event: ClientEvent) -> None:
        """Add what has just arrived. A commit is for all audio so far, also for what does not fill a frame."""
        arrived = asyncio.get_running_loop().time()
        if isinstance(event, InputAudioBufferCommit):
            self._waiting.append((None, arrived))
        self._waiting.append((event, arrived))
        self._bytes += _size(event)
        self._changed()

    async def audio(self) -> tuple[InputAudioBufferAppend | None, float] | None:
        """The oldest event, once it is audio, and when it arrived; (None, …) when the frame is to be filled up; None at the end."""
        await self._audio_next.wait()
        if self.closed:
            return None
        event, arrived = self._waiting[0]
        assert event is None or isinstance(event, InputAudioBufferAppend)
        return event, arrived

    async def event(self) -> ClientEvent | None:
        """The oldest event, once it is no audio; None at the end."""
        await self._event_next.wait()
        return None if self.closed else self._waiting[0][0]

    def done(self) -> None:
        """The oldest event is dealt with."""
        if not self.closed:
            self._bytes -= _size(self._waiting.popleft()[0])
            self._changed()

    def close(self) -> None:
        """Forget what waits; both readers end."""
        self.closed = True
        self._waiting.clear()
        self._changed()

    def _changed(self) -> None:
        """Tell both readers, and whoever fills the box, whether it is their turn."""
        audio = bool(self._waiting) and isinstance(self._waiting[0][0], InputAudioBufferAppend | None)
        _set(self._audio_next, self.closed or audio)
        _set(self._event_next, self.closed or (bool(self._waiting) and not audio))
        _set(self.room, self.closed or (len(self._waiting) < MAX_WAITING_EVENTS and self._bytes < MAX_WAITING_BYTES))


class Outbox:
    """Texts on their way to the client, the oldest first."""

    def __init__(self, limit: float = math.inf) -> None:
        """Beyond `limit` bytes that wait the box closes by itself; what it has by then still goes out."""
        self._limit = limit
        self._waiting: deque[str] = deque()
        self._unsent = 0
        self._closed = False
        self._code = NORMAL
        self._news = asyncio.Event()
        """Set and replaced at every change."""

    def put(self, text: str) -> None:
        """Add a text, or drop it after the end."""
        if not self._closed:
            self._waiting.append(text)
            self._unsent += len(text)
            self._closed = self._unsent > self._limit
            self._changed()

    async def send(self, socket: Socket) -> None:
        """Send what is put in until the box is closed and empty, then close the socket; end at once when the client has."""
        try:
            while self._waiting or not self._closed:
                if self._waiting:
                    await socket.send_str(self._waiting[0])
                    self._unsent -= len(self._waiting.popleft())
                    self._changed()
                else:
                    await self._news.wait()
            await socket.close(code=self._code)
        except ConnectionError:  # whoever reads the socket learns of it, too
            self.close()

    async def below(self, limit: int) -> None:
        """Wait until less than so much is unsent, or the box is closed."""
        while self._unsent >= limit and not self._closed:
            await self._news.wait()

    def close(self, code: int = NORMAL) -> None:
        """Take nothing more; the socket will be closed with a code of RFC 6455, section 7.4.1."""
        self._closed, self._code = True, code if self._code == NORMAL else self._code
        self._changed()

    def _changed(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _size(event: ClientEvent | None) -> int:
    return len(event.audio) if isinstance(event, InputAudioBufferAppend) else 0


def _set(flag: asyncio.Event, value: bool) -> None:
    flag.set() if value else flag.clear()
