"""A call over a WebSocket: events as JSON texts, the audio of both directions inside them. The client plays the answers itself.

What the client sends is taken strictly in its order: a commit comes after the audio that was appended before it, a change of the
format before the audio that was appended after it. Media time counts the samples that the client appended, however fast they come;
when it appends nothing, no time passes. A client that sends faster than it is served waits in its own network buffers.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import numpy as np
from aiohttp import WSMessage, WSMsgType

from agent import g711
from agent.audio import FRAME_SECONDS, INPUT_FRAME, INPUT_RATE, Frame, Resampler, Samples
from agent.edge.deltas import DeltaSpeaker
from agent.edge.mailbox import NORMAL, Inbox, Outbox, Socket
from agent.realtime.client_events import ClientEvent, InputAudioBufferAppend, parse
from agent.realtime.events import (
    ContentPartAdded,
    Error,
    OutputAudioDone,
    ResponseCreated,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
    refuse,
    serialise,
)
from agent.realtime.objects import PCM, AudioFormat, EventError
from agent.realtime.responses import AudioPart, Response, ResponseAudio
from agent.realtime.vendor import TurnTrace

MAX_EVENT_BYTES = 20 * 1024 * 1024 + 4096
"""Largest event that is taken: 15 MiB of audio, OpenAI's limit for one append, as base64."""

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""Largest message that is read to its end, and answered with an error; a larger one ends the call (close code 1009)."""

AHEAD_BYTES = 256 * 1024
"""Unsent bytes, about 4 s of audio, beyond which the voice waits for the client."""

MAX_UNSENT_BYTES = 4 * 1024 * 1024
"""Unsent bytes beyond which the client, which does not read its events, is not read either."""

PING_SECONDS = 20.0
"""A client is gone when it does not answer a ping within half of this."""

CLOSE_SECONDS = 2.0
"""How long a client may take for its last events and its side of the closing."""


class WebSocketEdge:
    """Implements `Edge`; `run` carries the messages until either side closes."""

    def __init__(self, socket: Socket, abort: Callable[[], None]) -> None:
        """`socket` is prepared; `abort` drops the connection at once."""
        self.allow: Callable[[], None] = lambda: None
        """Called for each event of the client but its audio; raises EventError for one too many."""
        self._outbox = Outbox()
        self._inbox = Inbox()
        self.speaker = DeltaSpeaker(self.send, lambda: self._outbox.below(AHEAD_BYTES))
        self._socket = socket
        self._abort = abort
        self._ended = asyncio.Event()
        self._format: AudioFormat = PCM()
        self._rate = INPUT_RATE
        self._resampler = Resampler(INPUT_RATE, INPUT_RATE)
        self._numbers = itertools.count(1)

    async def run(self) -> None:
        """Read and write until the client closes the socket, or the call is over and its last event is sent."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._outbox.send(self._socket))
                async for message in self._socket:
                    self._take(message)
                    await self._inbox.room.wait()
                    await self._outbox.below(MAX_UNSENT_BYTES)
                    await asyncio.sleep(0)  # what waits in the buffers must not keep the loop from other calls
                self.hang_up()
        finally:
            self.hang_up()
            self._ended.set()

    async def frames(self) -> AsyncIterator[Frame]:
        """The appended audio in frames of 20 ms; before a commit the last one is filled up with silence."""
        rest: Samples = np.zeros(0, np.int16)
        while head := await self._inbox.audio():
            append, arrived = head
            for samples, later in (
                self._heard(append) if append else [(np.zeros(-rest.size % INPUT_FRAME, np.int16), 0.0)]
            ):
                rest = np.concatenate([rest, samples])
                if self._inbox.closed:
                    return
                if rest.size >= INPUT_FRAME:
                    frame, rest = rest[:INPUT_FRAME], rest[INPUT_FRAME:]
                    yield Frame(frame, arrived - later)
                    await asyncio.sleep(0)  # a long append must not keep the loop from other calls
            self._inbox.done()

    async def events(self) -> AsyncIterator[ClientEvent]:
        """The client's valid events, without its audio, until the call ends."""
        while event := await self._inbox.event():
            yield event
            self._inbox.done()

    def send(self, event: ServerEvent) -> None:
        """Queue an event, or do nothing after the end of the call. Ours, which no client knows, are left out."""
        match event:
            case SessionCreated(session=session) | SessionUpdated(session=session):
                self._format = session.audio.input.format
            case ResponseCreated(response=Response(output_modalities=("audio",), audio=ResponseAudio(output=output))):
                self.speaker.format = output.format
            case ContentPartAdded(response_id=response_id, item_id=item_id, output_index=index, part=AudioPart()):
                self.speaker.begin(response_id, item_id, index)
            case OutputAudioDone():
                self.speaker.flush()
            case TurnTrace():
                return
            case _:
                pass
        self._outbox.put(serialise(event, f"event_{next(self._numbers)}"))

    def hang_up(self, code: int = NORMAL) -> None:
        """End the frames and the events; what was sent still goes out before the socket is closed with a code."""
        self._inbox.close()
        self._outbox.close(code)

    async def close(self) -> None:
        """Hang up, and wait for the socket to be closed; drop it when the client does not take part."""
        self.hang_up()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            self._abort()

    def _take(self, message: WSMessage) -> None:
        """Queue the event that a message holds, or answer what cannot be read."""
        if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
            return
        try:
            self._inbox.put(self._read(message))
        except EventError as error:
            self.send(refuse(error, message.data if len(message.data) <= MAX_EVENT_BYTES else ""))

    def _read(self, message: WSMessage) -> ClientEvent:
        """The event of a message. Raises EventError when it is none, or one too many: all are counted but audio, which waits its turn."""
        try:
            if message.type == WSMsgType.BINARY:
                raise EventError("invalid_event", "Events are sent as text, not as binary messages.")
            event = parse(message.data, MAX_EVENT_BYTES)
        except EventError:
            self.allow()
            raise
        if not isinstance(event, InputAudioBufferAppend):
            self.allow()
        return event

    def _heard(self, append: InputAudioBufferAppend) -> Iterator[tuple[Samples, float]]:
        """Appended audio at 16 kHz in pieces of at most 20 ms, and how many seconds of it follow each; none if it is refused."""
        audio_format = self._format
        if isinstance(audio_format, PCM) and len(append.audio) % 2:
            error = EventError("invalid_value", "audio: PCM of 16 bits has an even number of bytes.", "audio")
            self.send(Error(error=error.details(append.event_id)))
            return
        samples, rate = (
            (np.frombuffer(append.audio, "<i2").astype(np.int16), audio_format.rate)
            if isinstance(audio_format, PCM)
            else (g711.decode(append.audio, audio_format.type), g711.G711_RATE)
        )
        if rate != self._rate:
            self._rate, self._resampler = rate, Resampler(rate, INPUT_RATE)
        block = round(rate * FRAME_SECONDS)
        for at in range(0, samples.size, block):
            yield self._resampler(samples[at : at + block]), max(0, samples.size - at - block) / rate
