"""What one call answers: the reply that is being said, and the one that is prepared in case the caller's turn is over.

Takes the conversation as it stands and decides which reply answers it. Never two at once: a reply that is due cuts off an older one,
and a prepared one is used only for exactly the messages that it was prepared for.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.conversation import Conversation
from agent.edge import Edge
from agent.realtime.client_events import Heard
from agent.realtime.objects import EventError
from agent.replies.asking import Ask
from agent.replies.reply import Judge, Reason, Reply
from agent.replies.response import ResponseEvents
from agent.stages import Stages
from agent.tools import Remind
from agent.traces.trace import Ear, Mark, Pause

MAX_BESIDE = 4
"""Answers at a time that are no part of the conversation."""


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
    speech: float | None = None
    """Seconds of the turn before it."""


@dataclass
class Beside:
    """Written answers that are no part of the conversation, by response."""

    replies: dict[str, Reply] = field(default_factory=dict)

    def add(self, reply: Reply) -> Reply:
        """Take a reply that is about to start. Raises EventError when there are too many."""
        self.replies = {key: reply for key, reply in self.replies.items() if reply.active}
        if len(self.replies) >= MAX_BESIDE:
            raise EventError(
                "conversation_already_has_active_response",
                f"{MAX_BESIDE} responses outside the conversation are in progress. Wait until one is finished.",
            )
        self.replies[reply.id] = reply
        return reply

    def cancel(self, response_id: str | None) -> bool:
        """The client cancels a response; whether it was one of these and not over."""
        reply = self.replies.get(response_id or "")
        if reply is None or not reply.generating:
            return False
        reply.cancel("client_cancelled")
        return True

    def end(self) -> None:
        """Cancel all."""
        for reply in self.replies.values():
            reply.cancel("client_cancelled")


@dataclass
class Answering:
    """A call's replies; all of its tasks belong to `tasks`."""

    edge: Edge
    stages: Stages
    conversation: Conversation
    call_id: str
    tasks: asyncio.TaskGroup
    numbers: Iterator[int]
    """For ids."""
    remind: Remind
    """For functions whose caller is told something later."""
    reply: Reply | None = None
    """The last one that was due."""
    _prepared: tuple[Reply, Ask] | None = None
    _beside: Beside = field(default_factory=Beside)
    _tries: int = 0
    _withdrawn: list[dict[Mark, float]] = field(default_factory=list)
    """Marks of what was prepared in vain since the last answer."""

    @property
    def generating(self) -> str | None:
        """The id of the response that is being made."""
        return self.reply.id if self.reply and self.reply.generating else None

    @property
    def active(self) -> bool:
        """A reply is being made or heard."""
        return self.reply is not None and self.reply.active

    @property
    def holdable(self) -> bool:
        """A reply is being heard, and can fall silent until it is known whether the caller interrupts."""
        return self.edge.speaker.paced and self.reply is not None and self.reply.audible

    def prepare(self, ask: Ask, judge: Judge) -> None:
        """The turn may be over: begin its answer, unless another is active or the engine is late already."""
        self.withdraw()
        limits = self.stages.speculation
        if self.active or len(self.stages.waiting) >= limits.busy or not limits.tries:
            return
        ahead = self._tries < limits.tries
        self._tries += ahead
        reply = self._new(ask)
        reply.start(self.tasks, ask, judge, ahead=ahead)
        reply.trace.hit = ahead
        self._prepared = reply, ask

    def withdraw(self) -> None:
        """The turn is not over: nothing remains of what was prepared."""
        if self._prepared:
            self._prepared[0].cancel("turn_detected")
            self._withdrawn.append(self._prepared[0].trace.marks)
            self._prepared = None

    def answer(self, ask: Ask, waited: Wait | None = None) -> None:
        """The turn is over: answer it, unless an answer is being made. What plays of an older one is cut off.

        An answer about the result of a call comes after what was said before the call.
        A written answer that is no part of the conversation is made beside all others. Raises EventError when there are too many.
        """
        if not (ask.in_conversation or ask.spoken):
            reply = self._beside.add(self._new(ask))
            reply.start(self.tasks, ask)
            reply.open()
            return
        if self.generating:
            self.withdraw()
            return
        after = self.reply if ask.messages[-1:] and ask.messages[-1].role == "tool" and self.active else None
        if not after:
            self.interrupt("turn_detected")
        match self._prepared:
            case reply, prepared if prepared == ask:
                self._prepared = None
            case _:
                self.withdraw()
                reply = self._new(ask)
                reply.start(self.tasks, ask, after=after)
        reply.trace.tries, self._tries = self._tries, 0
        reply.trace.withdrawn, self._withdrawn = tuple(self._withdrawn), []
        if waited:
            reply.trace.mark("speech_stopped", waited.since)
            reply.trace.wait, reply.trace.end_of_turn = waited.seconds, waited.end_of_turn
            reply.trace.pauses, reply.trace.speech = waited.pauses, waited.speech
        reply.open()
        self.reply = reply

    def duck(self, on: bool) -> None:
        """Fall silent while it is open whether the caller interrupts, or go on."""
        if self.reply and self.reply.active:
            self.edge.speaker.duck(on)
            if on:
                self.reply.trace.mark("overlap", asyncio.get_running_loop().time())

    def interrupt(self, reason: Reason, item_id: str | None = None) -> None:
        """Cancel the reply, if one is being made or played, and is that of `item_id` where one is given."""
        if self.reply and (item_id is None or self.reply.says(item_id)):
            self.reply.cancel(reason)

    def cancel(self, response_id: str | None) -> None:
        """The client cancels a response, or the one of the conversation. Raises EventError when it is not being made."""
        if self._beside.cancel(response_id):
            return
        if self.generating and response_id in {None, self.generating}:
            self.interrupt("client_cancelled")
        else:
            raise EventError("response_cancel_not_active", "Cancellation failed: no active response found")

    def end(self) -> None:
        """Nobody listens any more."""
        self.withdraw()
        self._beside.end()
        self.interrupt("client_cancelled")

    def report(self, event: Heard) -> None:
        """Note in a turn's trace what the client measured of it; nothing happens if that cannot be true."""
        of_now = self.reply.trace if self.reply and self.reply.id == event.response_id else None
        trace = of_now or self.stages.traces.find(self.call_id, event.response_id)
        spoken = None if event.spoken_ms is None else event.spoken_ms / 1000
        if trace and trace.report(spoken, event.heard_ms / 1000, Ear.model_validate(event, from_attributes=True)):
            self.stages.traces.tell(trace)

    def _new(self, ask: Ask) -> Reply:
        """Ids count up, so that two runs of one conversation have equal events."""
        response = ask.response.model_copy(update={"id": f"resp_{next(self.numbers)}"})
        conversation = self.conversation if ask.in_conversation else Conversation()
        wire = ResponseEvents(self.edge, response)
        return Reply(self.stages, wire, conversation, self.numbers, self.call_id, self.remind)
