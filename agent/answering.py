"""What one call answers: the reply that is being said, and the one that is prepared in case the caller's turn is over.

Takes the conversation as it stands and decides which reply answers it. Never two at once: a reply that is due cuts off an older one,
and a prepared one is used only for exactly the messages that it was prepared for.
"""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agent.conversation import Conversation, Message
from agent.edge import Edge
from agent.realtime.client_events import Heard
from agent.reply import Judge, Reason, Reply, Stages
from agent.response import ResponseEvents
from agent.trace import Ear, Mark, Pause


@dataclass(frozen=True)
class Wait:
    """The silence that ended a turn."""

    since: float
    """The loop's time of the last speech sample."""
    seconds: float
    """How much was decided on."""
    end_of_turn: float | None
    """The engine's probability that it was the end, where it gave one."""
    pauses: tuple[Pause, ...] = ()
    """All silences of the turn, this one last."""


@dataclass
class Answering:
    """A call's replies; all of its tasks belong to `tasks`."""

    edge: Edge
    stages: Stages
    conversation: Conversation
    call_id: str
    tasks: asyncio.TaskGroup
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _reply: Reply | None = None
    _prepared: tuple[Reply, tuple[Message, ...]] | None = None
    _tries: int = 0
    _withdrawn: list[dict[Mark, float]] = field(default_factory=list)
    """Marks of what was prepared in vain since the last answer."""

    @property
    def generating(self) -> str | None:
        """The id of the response that is being made."""
        return self._reply.id if self._reply and self._reply.generating else None

    @property
    def active(self) -> bool:
        """A reply is being made or heard."""
        return self._reply is not None and self._reply.active

    @property
    def holdable(self) -> bool:
        """A reply is being heard, and can fall silent until it is known whether the caller interrupts."""
        audible = self._reply is not None and self._reply.active and "playout_started" in self._reply.trace.marks
        return self.edge.speaker.paced and audible

    def prepare(self, messages: Sequence[Message], judge: Judge) -> None:
        """The turn that ends `messages` may be over: begin its answer, unless another is active or the engine is late already."""
        self.withdraw()
        limits = self.stages.speculation
        if self.active or len(self.stages.waiting) >= limits.busy or not limits.tries:
            return
        ahead = self._tries < limits.tries
        self._tries += ahead
        reply = self._new(messages[-1].id)
        reply.start(self.tasks, messages, judge, ahead=ahead)
        reply.trace.hit = ahead
        self._prepared = reply, tuple(messages)

    def withdraw(self) -> None:
        """The turn is not over: nothing remains of what was prepared."""
        if self._prepared:
            self._prepared[0].cancel("turn_detected")
            self._withdrawn.append(self._prepared[0].trace.marks)
            self._prepared = None

    def answer(self, messages: Sequence[Message], waited: Wait | None = None) -> None:
        """The turn that ends `messages` is over: answer it, unless an answer is being made. What plays of an older one is cut off."""
        if self.generating:
            self.withdraw()
            return
        self.interrupt("turn_detected")
        match self._prepared:
            case reply, prepared if prepared == tuple(messages):
                self._prepared = None
            case _:
                self.withdraw()
                reply = self._new(self.conversation.last_id)
                reply.start(self.tasks, messages)
        reply.trace.tries, self._tries = self._tries, 0
        reply.trace.withdrawn, self._withdrawn = tuple(self._withdrawn), []
        if waited:
            reply.trace.mark("speech_stopped", waited.since)
            reply.trace.wait, reply.trace.end_of_turn = waited.seconds, waited.end_of_turn
            reply.trace.pauses = waited.pauses
        reply.open()
        self._reply = reply

    def say(self, words: str) -> None:
        """Say what no model made."""
        reply = self._new(self.conversation.last_id)
        reply.start(self.tasks, words)
        reply.open()
        self._reply = reply

    def duck(self, on: bool) -> None:
        """Fall silent while it is open whether the caller interrupts, or go on."""
        if self._reply and self._reply.active:
            self.edge.speaker.duck(on)
            if on:
                self._reply.trace.mark("overlap", asyncio.get_running_loop().time())

    def interrupt(self, reason: Reason) -> None:
        """Cancel the reply, if one is being made or played."""
        if self._reply:
            self._reply.cancel(reason)

    def report(self, event: Heard) -> None:
        """Note in a turn's trace what the client measured of it; nothing happens if that cannot be true."""
        of_now = self._reply.trace if self._reply and self._reply.id == event.response_id else None
        trace = of_now or self.stages.traces.find(self.call_id, event.response_id)
        spoken = None if event.spoken_ms is None else event.spoken_ms / 1000
        if trace and trace.report(spoken, event.heard_ms / 1000, Ear.model_validate(event, from_attributes=True)):
            self.stages.traces.tell(trace)

    def new_id(self) -> str:
        """An id for an item. Ids count up, so that two runs of one conversation have equal events."""
        return f"item_{next(self.numbers)}"

    def _new(self, previous: str | None) -> Reply:
        response, item = f"resp_{next(self.numbers)}", self.new_id()
        wire = ResponseEvents(self.edge, self.call_id, response, item, previous)
        return Reply(self.stages, self.edge.speaker, wire, self.conversation)
