"""One call: hear → turn → reply → barge-in.

Takes an edge's frames and events and gives replies to it. The only file that knows every stage. A call is one task group: the
microphone is heard in `run` itself, the client's events in a second task, each reply in a task of its own. Barge-in, the client's
`response.cancel` and a hang-up are the same thing: the reply is cancelled.
"""

import asyncio
import itertools
from dataclasses import replace
from typing import Any

from agent import events
from agent.audio import INPUT_RATE
from agent.conversation import Audio, Conversation, Message, Text
from agent.edge import Edge
from agent.hearing import Hearing
from agent.objects import EventError, InputAudio, Item, NewItem, SemanticVAD, ServerVAD, SessionObject, update_session
from agent.reply import Reason, Reply, Stages, heard_text
from agent.response import ResponseEvents
from agent.trace import Trace
from agent.turn import SpeechStarted, TurnEnded, TurnSettings

HYSTERESIS = 0.15
"""How far below the threshold speech goes on (silero-vad's own default)."""


class Session:
    """The state of one call; `run` it once."""

    def __init__(self, edge: Edge, stages: Stages, hearing: Hearing, session: SessionObject) -> None:
        """`session` is what `session.created` shows; `hearing` is fresh and finds turns as `session` says."""
        self.conversation = Conversation()
        self._edge = edge
        self._stages = stages
        self._hearing = hearing
        self._session = session
        self._reply: Reply | None = None
        self._speech_item: str | None = None
        self._numbers = itertools.count(1)
        """Ids count up, so that two runs of one conversation have equal events."""
        self._tasks = asyncio.TaskGroup()

    async def run(self) -> None:
        """Serve the call until the caller hangs up; a bug in any of its tasks ends it and is raised."""
        self._edge.send(events.SessionCreated(session=self._session))
        async with self._tasks:
            client = self._tasks.create_task(self._obey())
            async for frame in self._edge.frames():
                for event in self._hearing.push(frame):
                    self._take_turn(event)
            client.cancel()
            self._interrupt("client_cancelled")

    # Turns.

    def _take_turn(self, event: SpeechStarted | TurnEnded) -> None:
        detection = self._session.audio.input.turn_detection
        match event:
            case SpeechStarted(start=start):
                item_id = self._speech_item = f"item_{next(self._numbers)}"
                self._edge.send(events.SpeechStarted(audio_start_ms=_wire_ms(start), item_id=item_id))
                if detection and detection.interrupt_response:
                    self._interrupt("turn_detected")
            case TurnEnded():
                self._commit(event)
                if detection and detection.create_response:
                    self._answer(speech_stopped=self._hearing.time(event.speech_end))

    def _commit(self, turn: TurnEnded) -> None:
        """Make a turn's audio an item of the conversation."""
        item_id = self._speech_item or f"item_{next(self._numbers)}"
        if self._speech_item:
            self._edge.send(events.SpeechStopped(audio_end_ms=_wire_ms(turn.end), item_id=item_id))
        self._speech_item = None
        self._edge.send(events.Committed(item_id=item_id, previous_item_id=self.conversation.last_id))
        self._add(
            Message(item_id, "user", (Audio(self._hearing.audio(turn)),)),
            Item(id=item_id, role="user", content=(InputAudio(),)),
        )

    def _add(self, message: Message, item: Item) -> None:
        """Append to the conversation and show it."""
        previous = self.conversation.last_id
        self.conversation.append(message)
        self._edge.send(events.ItemAdded(previous_item_id=previous, item=item))
        self._edge.send(events.ItemDone(previous_item_id=previous, item=item))

    # Replies.

    def _answer(self, speech_stopped: float | None = None) -> None:
        """Start a reply to the conversation as it stands, unless one is being made. Audio of an older one is cut off."""
        if self._reply and self._reply.generating:
            return
        self._interrupt("turn_detected")
        trace = Trace(self._session.id, f"resp_{next(self._numbers)}")
        if speech_stopped is not None:
            trace.mark("speech_stopped", speech_stopped)
        trace.mark("turn_ended", asyncio.get_running_loop().time())
        system = (
            (Message("instructions", "system", (Text(self._session.instructions),)),)
            if self._session.instructions
            else ()
        )
        messages = (*system, *self.conversation.messages)
        item_id = f"item_{next(self._numbers)}"
        wire = ResponseEvents(self._edge, self._session.id, trace.response, item_id, self.conversation.last_id)
        self._reply = Reply(self._stages, self._edge.speaker, wire, self.conversation, trace)
        self._reply.start(self._tasks, messages)

    def _interrupt(self, reason: Reason) -> None:
        """Cancel the reply, if one is being made or played."""
        if self._reply:
            self._reply.cancel(reason)

    # The client's events.

    async def _obey(self) -> None:
        async for event in self._edge.events():
            try:
                self._apply(event)
            except EventError as error:
                self._edge.send(events.Error(error=error.details(event.event_id)))

    def _apply(self, event: events.ClientEvent) -> None:  # noqa: C901  one case per event
        """Do what one event asks. Raises EventError when that cannot be done now."""
        match event:
            case events.SessionUpdate(session=changes):
                self._update(changes)
            case events.ConversationItemCreate(item=item):
                self._create(item)
            case events.ConversationItemTruncate(item_id=item_id, audio_end_ms=milliseconds):
                self._truncate(item_id, milliseconds / 1000)
            case events.ResponseCreate():
                if self._reply and self._reply.generating:
                    raise _already_active(self._reply.id)
                self._answer()
            case events.ResponseCancel():
                if not (self._reply and self._reply.generating):
                    raise EventError("response_cancel_not_active", "Cancellation failed: no active response found")
                self._interrupt("client_cancelled")
            case events.OutputAudioBufferClear():
                self._interrupt("client_cancelled")
            case events.InputAudioBufferAppend():
                raise EventError("invalid_value", "This call's audio comes over WebRTC, not in events.", "type")
            case events.InputAudioBufferCommit():
                self._commit(self._hearing.commit())
            case events.InputAudioBufferClear():
                self._hearing.clear()
                self._edge.send(events.InputAudioBufferCleared())

    def _update(self, changes: dict[str, Any]) -> None:
        before, self._session = self._session, update_session(self._session, changes)
        if self._session.audio.input != before.audio.input:
            self._hearing.detect(turn_settings(self._session, self._hearing.configured))
        self._edge.send(events.SessionUpdated(session=self._session))

    def _create(self, item: NewItem) -> None:
        item_id = item.id or f"item_{next(self._numbers)}"
        if any(message.id == item_id for message in self.conversation.messages):
            raise EventError("invalid_value", f"The conversation already has an item {item_id!r}.", "item.id")
        text = "".join(part.text for part in item.content)
        self._add(Message(item_id, item.role, (Text(text),)), Item(id=item_id, role=item.role, content=item.content))

    def _truncate(self, item_id: str, seconds: float) -> None:
        """Cut an answer to what the client played of it; its end is cut to the answer's."""
        heard = self._edge.speaker.heard(item_id, seconds)
        if heard is None:
            raise EventError(
                "item_truncate_invalid_item_id", f"There is no spoken item {item_id!r} to truncate.", "item_id"
            )
        for message in self.conversation.messages:
            if message.id == item_id:
                self.conversation.revise(item_id, heard_text(message.text, heard), interrupted=True)
                break
        self._edge.send(events.ItemTruncated(item_id=item_id, audio_end_ms=round(1000 * heard.seconds)))


def turn_settings(session: SessionObject, configured: TurnSettings) -> TurnSettings | None:
    """How to find turns as the session asks; None when the client commits them itself."""
    match session.audio.input.turn_detection:
        case ServerVAD() as vad:
            return replace(
                configured,
                threshold=vad.threshold,
                release=max(0.0, vad.threshold - HYSTERESIS),
                padding=vad.prefix_padding_ms / 1000,
                silence=vad.silence_duration_ms / 1000,
            )
        case SemanticVAD():
            return configured
        case None:
            return None


def _already_active(response_id: str) -> EventError:
    return EventError(
        "conversation_already_has_active_response",
        f"Conversation already has an active response in progress: {response_id}. "
        "Wait until the response is finished before creating a new one.",
    )


def _wire_ms(sample: int) -> int:
    return round(1000 * sample / INPUT_RATE)
