"""A caller: the other end of a call, as a browser has it. Says recorded speech in real time, hears the answers, notes when.

Takes questions as samples, gives turns with their latencies; times are the running loop's.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from agent.audio import Samples
from agent.caller.audio import Ear, Mouth
from agent.caller.clock import Clock
from agent.caller.relay import Relay
from agent.edge.channel import LABEL
from agent.edge.patches import listen, offer_addresses, receive
from agent.edge.sdp import MALFORMED
from agent.edge.track import PacedTrack

CONNECT_SECONDS = 10.0

ANSWER_SECONDS = 120.0
"""Longest answer that is listened to."""

IN_FLIGHT_SECONDS = 0.06
"""The last packets of an answer arrive at most so long after the event that it is over."""

PINGS = 3
"""In each turn; the quickest of the last ones is believed."""

MAX_LATE_FRAMES = 50
"""A microphone hears on while its computer stalls: all of a second is sent afterwards."""

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
"""Servers on this machine, whose media then stay on it."""

T = TypeVar("T")
Event = dict[str, Any]


class CallError(RuntimeError):
    """The call could not be made; the message says why."""


@dataclass(frozen=True)
class Turn:
    """A question and its answer."""

    transcript: str
    """The agent's words."""
    marks: dict[str, float]
    """The server's trace: milliseconds from the end of the caller's speech."""
    v2v_ms: float
    """From the last audible sample said to the first audible sample heard."""
    audio_ms: float
    """From the first audible sample of the answer to the last, as it was sent."""


class Caller:
    """One call; made by `call`."""

    def __init__(self, connection: RTCPeerConnection) -> None:
        """Give the connection its microphone, ear and data channel; the offer is made after that."""
        self.mouth = Mouth(self._wake)
        self.ear = Ear(self._wake)
        self.events: list[tuple[float, Event]] = []
        """What the server sent, with the time of its arrival."""
        self.clock = Clock()
        """The server's."""
        self.started: float | None = None
        """When the connection was up."""
        self._lost = 0
        """Packets that were missed up to the last report."""
        self._ended = False
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._connection = connection
        self._channel: RTCDataChannel = connection.createDataChannel(LABEL)
        self._channel.on("message", self._take_event)
        self._channel.on("close", self._hung_up)
        connection.on("connectionstatechange", self._state_changed)
        self.track = PacedTrack(self.mouth.pull, max_late=MAX_LATE_FRAMES)
        self.mouth.on_speech = self.track.wake
        listen(connection.addTrack(self.track), self.track.report)
        receive(connection.getTransceivers()[0].receiver, self.ear.take)

    def send(self, event: Event) -> None:
        """Send an event to the server; the connection must be up."""
        self._channel.send(json.dumps(event))

    def report(self, response: str, spoken: float, heard: float) -> None:
        """Tell the server what was measured of a turn, for its trace; nothing before the first ping was answered."""
        if self.clock.error < float("inf"):
            lost, self._lost = self.ear.statistics.lost - self._lost, self.ear.statistics.lost
            self.send(
                {
                    "type": "parley.heard",
                    "response_id": response,
                    "spoken_ms": 1000 * self.clock.at_server(spoken),
                    "heard_ms": 1000 * self.clock.at_server(heard),
                    "clock_error_ms": 1000 * self.clock.error,
                    "round_trip_ms": 2000 * self.clock.error,
                    "packets_lost": lost,
                }
            )

    async def ask(self, samples: Samples, seconds: float) -> Turn:
        """Say [n] samples at 48 kHz and hear the answer to its end.

        Raises TimeoutError when none begins within so many seconds, CallError when the server fails or hangs up.
        """
        utterance = self.mouth.say(samples)
        said = await self.until(lambda: utterance.ended)
        interrupted = (self.ear.last or 0.0) >= (utterance.began or said)
        for _ in range(PINGS):
            self.send({"type": "parley.ping", "client_ms": 1000 * self._loop.time()})
        async with asyncio.timeout(seconds):
            began, response = await self.until(lambda: self._answer(said))
            # Events and audio travel apart; over another answer's end, what was heard long before the event is that.
            since = max(said, began - IN_FLIGHT_SECONDS) if interrupted else said
            first = await self.until(lambda: self.ear.first(since))
        self.report(response, said, first)
        async with asyncio.timeout(ANSWER_SECONDS):
            trace = await self.until(lambda: self.event("parley.trace", response))
            await asyncio.sleep(IN_FLIGHT_SECONDS)
        words = self.event("response.output_audio_transcript.done", response) or {}
        length = self.ear.length(since)
        return Turn(words.get("transcript", ""), trace["marks"], 1000 * (first - said), 1000 * length)

    async def silence(self, seconds: float) -> float:
        """Wait until nothing audible was heard for so many seconds; when the last audible sample was."""

        def last() -> float:
            return self.ear.last or self.started or 0.0

        while (left := last() + seconds - self._loop.time()) > 0:
            await asyncio.sleep(left)
            if self._ended:
                raise CallError("the server hung up")
        return last()

    async def until(self, look: Callable[[], T | None]) -> T:
        """Wait until `look`, called after every event and every frame that is heard, gives something. Raises CallError."""
        while (found := look()) is None:
            if self._ended:
                raise CallError("the server hung up")
            self._news.clear()
            await self._news.wait()
        return found

    def event(self, kind: str, response: str) -> Event | None:
        """A response's first event of one type."""
        for _, event in self.events:
            if event["type"] == kind and event.get("response_id") == response:
                return event
        return None

    def _answer(self, since: float) -> tuple[float, str] | None:
        """When the first answer after a moment began, and its response's id. Raises CallError when it failed."""
        for time, event in self.events:
            if time < since:
                continue
            if event["type"] == "output_audio_buffer.started":
                return time, event["response_id"]
            if event["type"] == "response.done" and event["response"]["status"] == "failed":
                raise CallError(
                    f"the server failed to answer: {event['response']['status_details']['error']['message']}"
                )
        return None

    def _take_event(self, message: str) -> None:
        now, event = self._loop.time(), json.loads(message)
        self.events.append((now, event))
        if event["type"] == "parley.pong":
            self.clock.add(event["client_ms"] / 1000, event["server_ms"] / 1000, now)
        self._wake()

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self.started = self._loop.time()
            self._wake()
        elif state in {"failed", "closed"}:
            self._hung_up()

    def _hung_up(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()


@asynccontextmanager
async def call(server: str, key: str | None = None, network: Relay | None = None) -> AsyncIterator[Caller]:
    """Call a server, `http://host:port`, through a network; within the block the call is up, after it the connection is closed.

    Raises CallError when the server cannot be reached, refuses, or the media do not connect.
    """
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    caller = Caller(connection)
    try:
        with offer_addresses(["127.0.0.1"] if urlsplit(server).hostname in LOOPBACK else None):
            await connection.setLocalDescription(await connection.createOffer())
        offer = connection.localDescription.sdp
        answer = await _exchange(server, network.offer(offer) if network else offer, key)
        try:
            answer = network.answer(answer) if network else answer
            await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except MALFORMED as error:
            raise CallError(f"{server} gave no SDP answer; is it a Parley server?") from error
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await caller.until(lambda: caller.started)
        except TimeoutError:
            raise CallError(f"{server} answered, but no media connection came up in {CONNECT_SECONDS:g} s") from None
        yield caller
    finally:
        await connection.close()


async def _exchange(server: str, offer: str, key: str | None) -> str:
    """Offer in, answer out, over HTTP."""
    headers = {"Content-Type": "application/sdp", **({"Authorization": f"Bearer {key}"} if key else {})}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CONNECT_SECONDS)) as http,
            http.post(f"{server.rstrip('/')}/v1/realtime/calls", data=offer, headers=headers) as response,
        ):
            body = await response.text(errors="replace")
            if response.status != HTTPStatus.CREATED:
                raise CallError(
                    f"{server} refused the call: {_message(body) or f'{response.status} {response.reason}'}"
                )
            return body
    except aiohttp.InvalidURL as error:
        raise CallError(f"{server} is not the address of a server, such as http://127.0.0.1:8080") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise CallError(f"cannot reach {server}: {str(error) or 'no answer'}") from error


def _message(body: str) -> str | None:
    """The message of an error in OpenAI's shape."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return None
