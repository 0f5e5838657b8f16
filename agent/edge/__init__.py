"""Where a call's audio and events enter and leave. One protocol, one file per transport."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from agent.audio import Frame, Samples, Speech
from agent.realtime.client_events import ClientEvent
from agent.realtime.events import ServerEvent


@dataclass(frozen=True)
class Heard:
    """How much of a reply left for the caller's ear."""

    seconds: float
    """Speech handed to the network."""

    text: int
    """Characters of the reply's text whose words were played to their end."""


@dataclass(frozen=True)
class Returned:
    """The caller has a new connection, and whoever is there knows nothing of the call so far: begin with `session.created`."""


class Speaker(Protocol):
    """The way to the caller's ear. A reply is what is written between two calls of `clear`."""

    paced: bool
    """Whether audio leaves in real time, so that the server knows what was heard and tells the client (`output_audio_buffer.*`,
    truncation); else it leaves as soon as it is made, and the client plays it and says what it truncates."""

    on_audio: Callable[[Samples, int], None]
    """Called with what leaves for the ear: [n] samples, and how many of them are a second. For recordings."""

    level: float
    """Level in dBFS of the 20 ms that left for the ear last; -96 for silence, or where that is not known."""

    async def write(self, speech: Speech) -> None:
        """Queue speech; waits while the queue is further ahead of the ear than the edge allows. Words count from the reply's text."""

    async def started(self) -> float:
        """Wait for the reply's first sample to be handed to the network; return the loop's time of that moment."""

    async def drained(self) -> None:
        """Wait until all that was written has been handed to the network."""

    def duck(self, on: bool) -> None:
        """Fall silent at once and hold the place, or go on from there; nothing is lost. Does nothing unless `paced`."""

    def clear(self) -> Heard:
        """Drop what was not played yet, end the reply, and say how much of it was heard (or sent, unless `paced`). Never waits."""


class Edge(Protocol):
    """One caller's end of a call."""

    @property
    def speaker(self) -> Speaker:
        """The way to the caller's ear."""

    def frames(self) -> AsyncIterator[Frame]:
        """The microphone in frames of 20 ms; ends when the caller hangs up or vanishes."""

    def events(self) -> AsyncIterator[ClientEvent | Returned]:
        """The caller's valid events in order; a broken one is answered with `error` by the edge itself."""

    def send(self, event: ServerEvent) -> None:
        """Send an event to the caller. Never waits, so that clean-up can use it; does nothing after the end of the call."""
