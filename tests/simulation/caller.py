"""A simulated caller: says and hears a script on the loop's clock, so a whole call is a value that a test can look at.

Speech is a loud tone, the caller's in syllables, and silence is zeros; `LevelVAD` tells them apart, as Silero tells real speech. Both directions move one frame of
20 ms per tick, as a WebRTC call's do, but without a network.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.audio import FRAME_SECONDS, INPUT_FRAME, INPUT_RATE, Frame, Samples, Speech, Word, dbfs
from agent.edge.speaker import PacedSpeaker
from agent.engine import Engine
from agent.hearing import Hearing
from agent.prompts import Prompts
from agent.realtime import client_events
from agent.realtime import events as wire
from agent.realtime.objects import AudioInput, EventError, SessionAudio, SessionObject
from agent.reply import Speculation, Stages
from agent.session import Session, turn_detection
from agent.trace import Trace
from agent.tts import TTSError
from agent.turn import TurnSettings
from tests.simulation.loop import run

RATE = 16_000


@dataclass(frozen=True)
class Say:
    """Speak for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Room:
    """What else the microphone picks up from now on: the agent's own voice, so many decibels and seconds later."""

    echo: float
    delay: float = 0.1


@dataclass(frozen=True)
class Wait:
    """Be silent for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Send:
    """Send a client event, as JSON."""

    text: str


Script = Sequence[Say | Wait | Send | Room]


@dataclass(frozen=True)
class LevelVAD:
    """Speech is what is loud; 10 ms windows, so that turns are found to the 10 ms."""

    window: int = INPUT_RATE // 100

    def __call__(self, window: Samples) -> float:
        return float(dbfs(window) > -50)


@dataclass(frozen=True)
class ToneVoice:
    """Says each word as `word_seconds` of tone, one piece per word."""

    first_audio: float = 0.0
    word_seconds: float = 0.25
    fail_after: int | None = None
    name: str = "tone"
    rate: int = RATE

    async def synthesize(self, text: str) -> AsyncGenerator[Speech]:
        await asyncio.sleep(self.first_audio)
        end = 0
        for index, word in enumerate(text.split()):
            if index == self.fail_after:
                raise TTSError("scripted failure of the voice")
            end = text.index(word, end) + len(word)
            samples = tone(self.word_seconds)
            yield Speech(samples, self.rate, (Word(samples.size, end),))


@dataclass(repr=False)
class Caller:
    """Implements `Edge`; what happened stands in `log` and `heard` afterwards."""

    script: Script
    speaker: PacedSpeaker = field(default_factory=lambda: PacedSpeaker(RATE))
    log: list[tuple[float, wire.ServerEvent]] = field(default_factory=list)
    heard: list[Samples] = field(default_factory=list)
    room: Room | None = None
    _client: asyncio.Queue[client_events.ClientEvent] = field(default_factory=asyncio.Queue)

    async def frames(self) -> AsyncIterator[Frame]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, samples in enumerate(self._microphone(), start=1):
            await asyncio.sleep(start + number * FRAME_SECONDS - loop.time())
            played = self.speaker.pull()
            self.heard.append(np.zeros(INPUT_FRAME, np.int16) if played is None else played)
            yield Frame(samples + self._echo(), start + number * FRAME_SECONDS)

    async def events(self) -> AsyncIterator[client_events.ClientEvent]:
        while True:
            yield await self._client.get()

    def send(self, event: wire.ServerEvent) -> None:
        self.log.append((asyncio.get_running_loop().time(), event))

    def times(self, event: type, **fields: object) -> list[float]:
        """When the server sent events of a type, in seconds from the start of the call."""
        return [time for time, sent in self.log if isinstance(sent, event) and fields.items() <= dict(sent).items()]

    def audible(self) -> list[tuple[float, float]]:
        """From when to when the agent was heard."""
        loud = [dbfs(frame) > -50 for frame in self.heard]
        edges = np.flatnonzero(np.diff([False, *loud, False])) * FRAME_SECONDS
        return [(round(float(a), 3), round(float(b), 3)) for a, b in edges.reshape(-1, 2)]

    def _echo(self) -> Samples:
        """What comes back of a frame that was played earlier."""
        frames = round(self.room.delay / FRAME_SECONDS) if self.room else 0
        if self.room is None or len(self.heard) <= frames:
            return np.zeros(INPUT_FRAME, np.int16)
        return (self.heard[-1 - frames] * 10 ** (self.room.echo / 20)).astype(np.int16)

    def _microphone(self):
        """Frame by frame; events go out when their place in the script is reached."""
        for step in self.script:
            match step:
                case Say(seconds):
                    yield from np.split(syllables(seconds), round(seconds / FRAME_SECONDS))
                case Room():
                    self.room = step
                case Wait(seconds):
                    yield from np.zeros((round(seconds / FRAME_SECONDS), INPUT_FRAME), np.int16)
                case Send(text):
                    self._receive(text)

    def _receive(self, text: str) -> None:
        try:
            self._client.put_nowait(client_events.parse(text))
        except EventError as error:
            self.send(wire.refuse(error, text))


@dataclass(frozen=True, repr=False)
class Call:
    """A call that is over."""

    caller: Caller
    session: Session
    traces: list[Trace]
    duration: float


def tone(seconds: float) -> Samples:
    """A loud 440 Hz tone at 16 kHz."""
    return (8000 * np.sin(2 * np.pi * 440 / RATE * np.arange(round(seconds * RATE)))).astype(np.int16)


def syllables(seconds: float) -> Samples:
    """A tone that rises and falls by 20 dB four times a second."""
    swing = -10 + 10 * np.cos(2 * np.pi * 4 * np.arange(round(seconds * RATE)) / RATE)
    return (tone(seconds) * 10 ** (swing / 20)).astype(np.int16)


def simulate(
    script: Script,
    engine: Engine,
    voice: ToneVoice | None = None,
    settings: TurnSettings | None = None,
    speculation: Speculation | None = None,
    prompts: Prompts | None = None,
) -> Call:
    """Run a whole call in virtual time."""

    async def call() -> Call:
        caller = Caller(script)
        detection = AudioInput(turn_detection=turn_detection(settings or TurnSettings()))
        stages = Stages(engine, voice or ToneVoice(), speculation or Speculation(), prompts=prompts or Prompts())
        session = Session(
            caller,
            stages,
            Hearing(LevelVAD(), settings or TurnSettings()),
            SessionObject(id="call", model=engine.name, instructions="Be brief.", audio=SessionAudio(input=detection)),
        )
        await session.run()
        return Call(caller, session, list(stages.traces), asyncio.get_running_loop().time())

    return run(call())
