"""The server: owns the engine, the voice and all calls, and listens; what each path does is in `routes`.

Every call is a task of one group and a fault domain of its own: whatever goes wrong in it ends it and is logged, and the other calls
do not notice.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from aiohttp import web

from agent.agents import Agent
from agent.config import Settings
from agent.edge.mailbox import GOING_AWAY, INTERNAL_ERROR
from agent.edge.recording import Recording, recorded
from agent.edge.webrtc import WebRTCEdge
from agent.edge.websocket import WebSocketEdge
from agent.http import routes
from agent.http.keys import MAX_SECRET
from agent.http.metrics import Metrics
from agent.realtime.events import Error
from agent.realtime.objects import (
    AudioInput,
    AudioOutput,
    ErrorDetails,
    EventError,
    SessionAudio,
    SessionObject,
    update_session,
)
from agent.session import Session, turn_detection, turn_settings
from agent.stages import Stages
from agent.tools import Toolbox
from agent.tts import TTS
from agent.turns.hearing import Hearing
from agent.vad import VAD

HANG_UP_SECONDS = 5.0
"""Longest wait for the calls to end when the server stops."""

_log = logging.getLogger(__name__)


@dataclass
class Server:
    """The state of a running server; `run` it once."""

    settings: Settings
    stages: Stages
    make_vad: Callable[[], VAD]
    suggestions: tuple[str, ...] = ()
    """Things to say that the model understands well; the page shows them."""
    agents: Mapping[str, Agent] = field(default_factory=dict)
    """Who can be chosen to answer, by id."""
    voices: Mapping[str, TTS] = field(default_factory=dict)
    """Other voices that calls may have, as agents and sessions name them."""
    calls: dict[str, WebRTCEdge | WebSocketEdge] = field(default_factory=dict)
    metrics: Metrics = field(init=False)
    draining: bool = False
    """No new call is to begin: the server is stopping."""
    _beginning: int = 0
    """Requests that are being answered: each will be a call."""
    _tasks: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.calls, self.stages, self.settings.budget)
        self.stages.traces.on_end.append(self.metrics.turn_ended)

    async def run(self, started: Callable[[int], None]) -> None:
        """Serve until cancelled, then end every call. `started` is told the port. Raises OSError when it cannot be listened on."""
        runner = web.AppRunner(
            routes.application(self), access_log=None, handle_signals=False, max_field_size=2 * MAX_SECRET
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self.settings.host, self.settings.port).start()
            async with self._tasks:
                started(runner.addresses[0][1])
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    await self._hang_up()
        finally:
            await runner.cleanup()

    @contextmanager
    def room(self) -> Iterator[None]:
        """Keep room for a call that is about to begin. Raises HTTPServiceUnavailable when there is none."""
        if len(self.calls) + self._beginning >= self.settings.max_calls:
            raise web.HTTPServiceUnavailable(
                text=f"The server is full: it takes {self.settings.max_calls} calls. Try again later."
            )
        self._beginning += 1
        try:
            yield
        finally:
            self._beginning -= 1

    def session(self, kind: str, *changes: dict[str, Any]) -> SessionObject:
        """The session that a call begins with: as the settings and the agent say, with the client's changes. Raises EventError.

        Its id, which begins with `kind`, is the call's. A change's `agent` is the id of who answers.
        """
        agent = self._agent(next((change["agent"] for change in reversed(changes) if "agent" in change), None))
        session = SessionObject(
            id=f"{kind}_{secrets.token_hex(12)}",
            model=self.stages.engine.name,
            expires_at=round(time.time() + self.settings.call_seconds),  # noqa: TID251  a date in the world
            agent=agent.id if agent else None,
            instructions=self.settings.instructions,
            audio=SessionAudio(
                input=AudioInput(turn_detection=turn_detection(self.settings.turn)),
                output=AudioOutput(voice=(agent and agent.voice) or self.stages.voice.name),
            ),
        )
        for change in (agent.session() if agent else {}, *changes):
            session = update_session(session, change, self._toolbox(agent).tools)
        return session

    def _agent(self, chosen: object) -> Agent | None:
        """Who was chosen; None: nobody. Raises EventError when there is no such agent."""
        if chosen is None:
            return None
        if not isinstance(chosen, str) or chosen not in self.agents:
            known = ", ".join(self.agents) or "none"
            raise EventError("agent_not_found", f"There is no agent {chosen!r}; this server has: {known}.", "agent")
        return self.agents[chosen]

    def _stages(self, session: SessionObject) -> Stages:
        """What answers a call: the server's stages, with its voice, and its agent's greeting and functions."""
        agent, name = self._agent(session.agent), session.audio.output.voice
        voices = {self.stages.voice.name: self.stages.voice, **self.voices}
        voice = voices.get(name, self.stages.voice) if isinstance(name, str) else self.stages.voice
        stages = replace(self.stages, voice=voice, voices=voices, toolbox=self._toolbox(agent))
        if agent is None:
            return stages
        return replace(stages, prompts=replace(self.stages.prompts, greeting=agent.greeting), agent=agent.id)

    def _toolbox(self, agent: Agent | None) -> Toolbox:
        """The functions that the server runs for whoever answers."""
        toolbox = self.stages.toolbox
        if agent is None or agent.tools is None:
            return toolbox
        return replace(toolbox, tools={name: toolbox.tools[name] for name in agent.tools})

    def begin(self, edge: WebRTCEdge | WebSocketEdge, session: SessionObject) -> None:
        """Serve a call, in a task of its own."""
        self.calls[session.id] = edge
        self.metrics.call_began()
        self._tasks.create_task(self._call(edge, session))

    async def _call(self, edge: WebRTCEdge | WebSocketEdge, session: SessionObject) -> None:
        """One call, from its answer to its end."""
        hearing = Hearing(self.make_vad(), self.settings.turn, self.stages.experience)
        if session.audio.input.turn_detection != turn_detection(self.settings.turn):
            hearing.detect(turn_settings(session, self.settings.turn))
        _log.info("%s began; %d in progress", session.id, len(self.calls))
        try:
            async with asyncio.timeout(self.settings.call_seconds):
                stages = self._stages(session)
                with recorded(edge, self._recording(session, stages), stages.traces) as kept:
                    await Session(kept, stages, hearing, session).run()
        except TimeoutError:
            _log.info("%s reached the longest time of a call", session.id)
            edge.send(
                Error(error=ErrorDetails(code="session_expired", message="The call has lasted as long as it may."))
            )
        except Exception:  # noqa: BLE001 a call is a fault domain
            _log.exception("%s failed; other calls go on", session.id)
            broken = ErrorDetails(
                type="server_error", code="internal_error", message="The server made a mistake; call again."
            )
            edge.send(Error(error=broken))
            _end(edge, INTERNAL_ERROR)
        finally:
            await edge.close()
            self.metrics.call_ended(session.id)
            del self.calls[session.id]
            if isinstance(edge, WebRTCEdge):
                _log.info("%s %s", session.id, edge.media)
            _log.info("%s ended; %d in progress", session.id, len(self.calls))

    def _recording(self, session: SessionObject, stages: Stages) -> Recording | None:
        """Where a call is kept, and what it begins with; None: it is not."""
        if self.settings.record is None:
            return None
        about = {
            "id": session.id,
            "session": session.model_dump(mode="json"),
            "voice": stages.voice.name,
            "vad": self.settings.vad,
            "turn": asdict(self.settings.turn),
            "prompts": asdict(stages.prompts),
            "speculation": asdict(stages.speculation),
        }
        return Recording(self.settings.record, self.settings.record_calls, about)

    async def _hang_up(self) -> None:
        """End every call and wait for its clean-up, which a cancellation would cut short."""
        self.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANG_UP_SECONDS):
                while self.calls:
                    for edge in self.calls.values():
                        _end(edge, GOING_AWAY)
                    await asyncio.sleep(0.01)


def _end(edge: WebRTCEdge | WebSocketEdge, code: int) -> None:
    """Hang up; a WebSocket says why."""
    edge.hang_up(code) if isinstance(edge, WebSocketEdge) else edge.hang_up()
