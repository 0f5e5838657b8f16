"""A simulated caller: says and hears a script on the loop's clock, so that a whole call is a value that can be looked at.

Both directions move one frame of 20 ms per tick, as a WebRTC call's do, but without a network; what a network does to the caller's
packets is simulated too. Chance is seeded: equal scripts give equal calls.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.audio import FRAME_SECONDS, INPUT_FRAME, INPUT_RATE, Frame, Samples, dbfs
from agent.edge.rtp import MAX_CONCEALED
from agent.edge.speaker import PacedSpeaker
from agent.realtime import client_events
from agent.realtime import events as wire
from agent.realtime.objects import EventError
from agent.simulation.sound import AUDIBLE, noise, syllables


@dataclass(frozen=True)
class Say:
    """Speak for some seconds."""

    seconds: float


@dataclass(frozen=True, eq=False)
class Play:
    """Let [n] samples at 16 kHz be heard: recorded speech, a cough."""

    samples: Samples


@dataclass(frozen=True)
class Wait:
    """Be silent for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Send:
    """Send a client event, as JSON."""

    text: str


@dataclass(frozen=True)
class Room:
    """What else the microphone picks up from now on."""

    echo: float | None = None
    """The agent's own voice, so many decibels louder or, below 0, quieter."""
    delay: float = 0.1
    """Seconds after it was played."""
    noise: float | None = None
    """Its level in dBFS."""


@dataclass(frozen=True)
class Line:
    """What becomes of the caller's packets from now on."""

    loss: float = 0.0
    """Share that is lost, 0 to 1."""


Script = Sequence[Say | Play | Wait | Send | Room | Line]


class Microphone:
    """A script's sounds in frames, with what the room adds to them; sends the script's events when their place is reached."""

    def __init__(self, script: Script, send: Callable[[str], None]) -> None:
        self.line = Line()
        """How the network is now."""
        self._script = script
        self._send = send
        self._room = Room()
        self._played: list[Samples] = []

    def frames(self) -> Iterator[Samples]:
        """Frame by frame; all else takes effect before the frame in which its place in the script lies."""
        rest: Samples = np.zeros(0, np.int16)
        for step in self._script:
            match step:
                case Room():
                    self._room = step
                case Line():
                    self.line = step
                case Send(text):
                    self._send(text)
                case sound:
                    rest = np.concatenate([rest, _samples(sound)])
                    while rest.size >= INPUT_FRAME:
                        yield rest[:INPUT_FRAME]
                        rest = rest[INPUT_FRAME:]
        if rest.size:
            yield np.pad(rest, (0, INPUT_FRAME - rest.size))

    def capture(self, samples: Samples, played: Samples) -> Samples:
        """A frame as it is heard in the room, while a frame of the agent is played."""
        self._played.append(played)
        mixed = samples.astype(np.float64)
        room, frames = self._room, round(self._room.delay / FRAME_SECONDS)
        if room.echo is not None and len(self._played) > frames:
            mixed += self._played[-1 - frames] * 10 ** (room.echo / 20)
        if room.noise is not None:
            mixed += noise(INPUT_FRAME, room.noise, seed=len(self._played))
        captured: Samples = np.clip(mixed, -32768, 32767).astype(np.int16)
        return captured


@dataclass(repr=False)
class Caller:
    """Implements `Edge`; what happened stands in `log`, `said` and `heard` afterwards."""

    script: Script
    speaker: PacedSpeaker = field(default_factory=lambda: PacedSpeaker(INPUT_RATE))
    log: list[tuple[float, wire.ServerEvent]] = field(default_factory=list)
    said: list[Samples] = field(default_factory=list)
    """The frames that arrived."""
    heard: list[Samples] = field(default_factory=list)
    """The frames that left for the caller's ear meanwhile."""
    _chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311  repeatable, not secret
    _lost: int = 0
    """Packets in a row."""
    _client: asyncio.Queue[client_events.ClientEvent] = field(default_factory=asyncio.Queue)

    async def frames(self) -> AsyncIterator[Frame]:
        """The script's sounds, 20 ms at a time, until it ends."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        microphone = Microphone(self.script, self._receive)
        for number, samples in enumerate(microphone.frames(), start=1):
            await asyncio.sleep(start + number * FRAME_SECONDS - loop.time())
            played = self.speaker.pull()
            self.heard.append(np.zeros(INPUT_FRAME, np.int16) if played is None else played)
            self.said.append(self._transmit(microphone.capture(samples, self.heard[-1]), microphone.line.loss))
            yield Frame(self.said[-1], start + number * FRAME_SECONDS)

    async def events(self) -> AsyncIterator[client_events.ClientEvent]:
        """What the script sends, for ever."""
        while True:
            yield await self._client.get()

    def send(self, event: wire.ServerEvent) -> None:
        """Note an event."""
        self.log.append((asyncio.get_running_loop().time(), event))

    def times(self, event: type, **fields: object) -> list[float]:
        """When the server sent events of a type, in seconds from the start of the call."""
        return [time for time, sent in self.log if isinstance(sent, event) and fields.items() <= dict(sent).items()]

    def audible(self) -> list[tuple[float, float]]:
        """From when to when the agent was heard."""
        return audible(np.concatenate([np.zeros(0, np.int16), *self.heard]))

    def _transmit(self, samples: Samples, loss: float) -> Samples:
        """A frame as it arrives; one that is lost is made up of the one before, fading, as a decoder does, and is soon silence."""
        self._lost = self._lost + 1 if self._chance.random() < loss else 0
        if not self._lost:
            return samples
        if self._lost > MAX_CONCEALED or not self.said:
            return np.zeros(INPUT_FRAME, np.int16)
        return self.said[-1] // 2

    def _receive(self, text: str) -> None:
        try:
            self._client.put_nowait(client_events.parse(text))
        except EventError as error:
            self.send(wire.refuse(error, text))


def _samples(sound: Say | Play | Wait) -> Samples:
    match sound:
        case Say(seconds):
            return syllables(seconds)
        case Play(samples):
            return samples
        case Wait(seconds):
            return np.zeros(round(seconds * INPUT_RATE), np.int16)


def audible(samples: Samples, gap: float = 0.0) -> list[tuple[float, float]]:
    """From when to when, in seconds, [n] samples at 16 kHz are heard, by frames; silences of at most `gap` seconds are none."""
    frames = samples[: samples.size // INPUT_FRAME * INPUT_FRAME].reshape(-1, INPUT_FRAME)
    loud = [dbfs(frame) > AUDIBLE for frame in frames]
    edges = np.flatnonzero(np.diff([False, *loud, False])) * FRAME_SECONDS
    spans: list[tuple[float, float]] = []
    for start, end in ((round(float(a), 3), round(float(b), 3)) for a, b in edges.reshape(-1, 2)):
        joins = spans and start - spans[-1][1] <= gap
        spans = [*spans[:-1], (spans[-1][0], end)] if joins else [*spans, (start, end)]
    return spans
