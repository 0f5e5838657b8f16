"""One call: hear → turn → reply → barge-in.

Takes an edge's frames and events and gives replies to it. The only file that knows every stage. A call is one task group: the
microphone is heard in `run` itself, the client's events in a second task, each reply in a task of its own. Barge-in, the client's
`response.cancel` and a hang-up are the same thing: the reply is cancelled.
"""

import asyncio
from dataclasses import replace
from typing import Any, Literal

from agent import client_events, events
from agent.answering import Answering, Wait
from agent.audio import INPUT_RATE
from agent.conversation import Audio, Conversation, Message, Text
from agent.edge import Edge
from agent.hearing import Hearing
from agent.objects import (
    EventError,
    InputAudio,
    InputText,
    Item,
    NewItem,
    OutputAudio,
    OutputText,
    SemanticVAD,
    ServerVAD,
    SessionObject,
    update_session,
)
from agent.reply import Stages, heard_text
from agent.turn import (
    OverlapEnded,
    OverlapStarted,
    SpeechStarted,
    TurnEnded,
    TurnEvent,
    TurnPaused,
    TurnResumed,
    TurnSettings,
)

HYSTERESIS = 0.15
"""How far below the threshold speech goes on (silero-vad's own default)."""

EAGERNESS = {"low": 2.0, "medium": 1.0, "auto": 1.0, "high": 0.5}
"""Factor of all waits; OpenAI's longest are 8, 4 and 2 s."""


class Session:
    """The state of one call; `run` it once."""

    def __init__(self, edge: Edge, stages: Stages, hearing: Hearing, session: SessionObject) -> None:
        """`session` is what `session.created` shows; `hearing` is fresh and finds turns as `session` says."""
        self.conversation = Conversation()
        self._edge = edge
        self._hearing = hearing
        self._session = session
        self._speech_item = ""
        self._speech: Message | None = None
        """The caller's turn as it was heard up to its last pause."""
        self._tasks = asyncio.TaskGroup()
        self._answering = Answering(edge, stages, self.conversation, session.id, self._tasks)

    async def run(self) -> None:
        """Serve the call until the caller hangs up; a bug in any of its tasks ends it and is raised."""
        self._edge.send(events.SessionCreated(session=self._session))
        async with self._tasks:
            client = self._tasks.create_task(self._obey())
            async for frame in self._edge.frames():
                for event in self._hearing.push(frame, self._edge.speaker.level, guarded=self._guarded()):
                    self._take_turn(event)
            client.cancel()
            self._answering.withdraw()
            self._answering.interrupt("client_cancelled")

    def _guarded(self) -> bool:
        """Whether speech has to prove itself: it would interrupt what the caller hears, which can be held meanwhile."""
        detection = self._session.audio.input.turn_detection
        interrupts = detection is not None and detection.interrupt_response
        return interrupts and self._edge.speaker.paced and self._answering.audible

    # Turns.

    def _take_turn(self, event: TurnEvent) -> None:
        detection = self._session.audio.input.turn_detection
        match event:
            case OverlapStarted():
                self._answering.duck(on=True)
            case OverlapEnded():
                self._answering.duck(on=False)
            case SpeechStarted(start=start):
                self._speech_item = self._new_id()
                self._edge.send(events.SpeechStarted(audio_start_ms=_wire_ms(start), item_id=self._speech_item))
                if detection and detection.interrupt_response:
                    self._answering.interrupt("turn_detected")
                self._hearing.expect(self.conversation.last_answer)
            case TurnPaused():
                self._speech = Message(self._speech_item, "user", (Audio(self._hearing.audio(event)),))
                if detection and detection.create_response:
                    self._answering.prepare((*self._messages(), self._speech), self._hearing.judge)
            case TurnResumed():
                self._speech = None
                self._answering.withdraw()
            case TurnEnded(end=end):
                self._edge.send(events.SpeechStopped(audio_end_ms=_wire_ms(end), item_id=self._speech_item))
                self._commit(event)
                if detection and detection.create_response:
                    wait = Wait(self._hearing.time(event.speech_end), event.silence, self._hearing.end_of_turn)
                    self._answering.answer(self._messages(), wait)

    def _commit(self, turn: TurnEnded) -> None:
        """Make a turn's audio an item of the conversation."""
        item_id = self._speech_item or self._new_id()
        speech = self._speech or Message(item_id, "user", (Audio(self._hearing.audio(turn)),))
        self._speech_item, self._speech = "", None
        self._edge.send(events.Committed(item_id=item_id, previous_item_id=self.conversation.last_id))
        self._add(speech, Item(id=item_id, role="user", content=(InputAudio(),)))

    def _add(self, message: Message, item: Item) -> None:
        """Append to the conversation and show it."""
        previous = self.conversation.last_id
        self.conversation.append(message)
        self._edge.send(events.ItemAdded(previous_item_id=previous, item=item))
        self._edge.send(events.ItemDone(previous_item_id=previous, item=item))

    def _messages(self) -> tuple[Message, ...]:
        """What the engine is given: the instructions and the conversation as it stands."""
        if not self._session.instructions:
            return self.conversation.said
        return Message("instructions", "system", (Text(self._session.instructions),)), *self.conversation.said

    def _new_id(self) -> str:
        return f"item_{next(self._answering.numbers)}"

    # The client's events.

    async def _obey(self) -> None:
        async for event in self._edge.events():
            try:
                self._apply(event)
            except EventError as error:
                self._edge.send(events.Error(error=error.details(event.event_id)))

    def _apply(self, event: client_events.ClientEvent) -> None:  # noqa: C901, PLR0912  one case per event
        """Do what one event asks. Raises EventError when that cannot be done now."""
        match event:
            case client_events.SessionUpdate(session=changes):
                self._update(changes)
            case client_events.ConversationItemCreate(item=item):
                self._create(item)
            case client_events.ConversationItemTruncate(item_id=item_id, audio_end_ms=milliseconds):
                self._truncate(item_id, milliseconds / 1000)
            case client_events.ConversationItemRetrieve(item_id=item_id):
                self._edge.send(events.ItemRetrieved(item=_as_item(self._known(item_id, "retrieve"))))
            case client_events.ConversationItemDelete(item_id=item_id):
                self.conversation.remove(self._known(item_id, "delete").id)
                self._edge.send(events.ItemDeleted(item_id=item_id))
            case client_events.ResponseCreate():
                if self._answering.generating:
                    raise _already_active(self._answering.generating)
                self._answering.answer(self._messages())
            case client_events.ResponseCancel():
                if not self._answering.generating:
                    raise EventError("response_cancel_not_active", "Cancellation failed: no active response found")
                self._answering.interrupt("client_cancelled")
            case client_events.OutputAudioBufferClear():
                self._answering.interrupt("client_cancelled")
            case client_events.InputAudioBufferAppend():
                raise EventError("invalid_value", "This call's audio comes over WebRTC, not in events.", "type")
            case client_events.InputAudioBufferCommit():
                self._commit(self._hearing.commit())
            case client_events.InputAudioBufferClear():
                self._hearing.clear()
                self._edge.send(events.InputAudioBufferCleared())

    def _update(self, changes: dict[str, Any]) -> None:
        before, self._session = self._session, update_session(self._session, changes)
        if self._session.audio.input != before.audio.input:
            self._answering.duck(on=False)
            self._hearing.detect(turn_settings(self._session, self._hearing.configured))
        self._edge.send(events.SessionUpdated(session=self._session))

    def _create(self, item: NewItem) -> None:
        item_id = item.id or self._new_id()
        if self.conversation.find(item_id):
            raise EventError("invalid_value", f"The conversation already has an item {item_id!r}.", "item.id")
        text = "".join(part.text for part in item.content)
        self._add(Message(item_id, item.role, (Text(text),)), Item(id=item_id, role=item.role, content=item.content))

    def _known(self, item_id: str, verb: Literal["retrieve", "delete"]) -> Message:
        """An item of the conversation. Raises EventError when there is none."""
        if message := self.conversation.find(item_id):
            return message
        raise EventError(f"item_{verb}_invalid_item_id", f"There is no item {item_id!r} to {verb}.", "item_id")

    def _truncate(self, item_id: str, seconds: float) -> None:
        """Cut an answer to what the client played of it; its end is cut to the answer's."""
        heard = self._edge.speaker.heard(item_id, seconds)
        if heard is None:
            raise EventError(
                "item_truncate_invalid_item_id", f"There is no spoken item {item_id!r} to truncate.", "item_id"
            )
        if message := self.conversation.find(item_id):
            self.conversation.revise(item_id, heard_text(message.text, heard), interrupted=True)
        self._edge.send(events.ItemTruncated(item_id=item_id, audio_end_ms=round(1000 * heard.seconds)))


def _as_item(message: Message) -> Item:
    """A message on the wire, without its audio."""
    content = tuple(
        InputAudio()
        if isinstance(part, Audio)
        else OutputAudio(transcript=part.text)
        if message.spoken
        else OutputText(text=part.text)
        if message.role == "assistant"
        else InputText(text=part.text)
        for part in message.content or (Text(""),)
    )
    status: Literal["completed", "incomplete"] = "incomplete" if message.interrupted else "completed"
    return Item(id=message.id, role=message.role, status=status, content=content)


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
                adaptive=False,
            )
        case SemanticVAD(eagerness=eagerness):
            factor = EAGERNESS[eagerness]
            return replace(
                configured,
                adaptive=True,
                patience=factor * configured.patience,
                max_silence=factor * configured.max_silence,
            )
        case None:
            return None


def turn_detection(settings: TurnSettings) -> ServerVAD | SemanticVAD:
    """What a session shows whose turns are found with the server's own settings."""
    if settings.adaptive:
        return SemanticVAD()
    return ServerVAD(
        threshold=settings.threshold,
        prefix_padding_ms=round(1000 * settings.padding),
        silence_duration_ms=round(1000 * settings.silence),
    )


def _already_active(response_id: str) -> EventError:
    return EventError(
        "conversation_already_has_active_response",
        f"Conversation already has an active response in progress: {response_id}. "
        "Wait until the response is finished before creating a new one.",
    )


def _wire_ms(sample: int) -> int:
    return round(1000 * sample / INPUT_RATE)
