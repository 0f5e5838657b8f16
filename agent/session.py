"""One call: hear → turn → reply → barge-in.

Takes an edge's frames and events and gives replies to it. The only file that knows every stage. A call is one task group: the
microphone is heard in `run` itself, the client's events in a second task, each reply in a task of its own. Barge-in, the client's
`response.cancel` and a hang-up are the same thing: the reply is cancelled.
"""

import asyncio
import itertools
from dataclasses import replace
from typing import Any

from agent.audio import INPUT_RATE, Frame
from agent.conversation import Audio, Conversation, Message, Text
from agent.edge import Edge, Returned
from agent.items import Items
from agent.overhearing import Overhearing
from agent.realtime import client_events, events
from agent.realtime.objects import EventError, SemanticVAD, ServerVAD, SessionObject, update_session
from agent.realtime.responses import WantedResponse
from agent.realtime.tools import check, check_choice
from agent.realtime.vendor import Pong
from agent.replies.answering import Answering, Wait
from agent.replies.asking import Ask, ask
from agent.replies.prompts import Prompts, Quiet, Reminders
from agent.replies.reply import repeat
from agent.stages import Stages
from agent.transcribing import Transcribing
from agent.turns.entry import Entry
from agent.turns.hearing import Hearing
from agent.turns.turn import (
    OverlapEnded,
    OverlapPaused,
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
        self._stages = stages
        self._hearing = hearing
        self._session = session
        self._speech_item = ""
        self._speech: Message | None = None
        """The caller's turn as it was heard up to its last pause."""
        self._quiet = Quiet()
        self._reminders = Reminders()
        self._entry = Entry()
        self._tasks = asyncio.TaskGroup()
        numbers = itertools.count(1)
        self._items = Items(edge, self.conversation, numbers)
        self._answering = Answering(
            edge, stages, self.conversation, session.id, self._tasks, numbers, self._reminders.add
        )
        self._overhearing = Overhearing(stages, hearing, self._tasks, self._answering.duck, self._take_turn)
        self._transcribing = Transcribing(
            edge, stages, self.conversation, lambda: self._answering.generating is not None
        )

    async def run(self) -> None:
        """Serve the call until the caller hangs up; a bug in any of its tasks ends it and is raised."""
        self._edge.send(events.SessionCreated(session=self._session))
        async with self._tasks:
            beside = [self._tasks.create_task(each) for each in (self._obey(), self._transcribing.run())]
            async for frame in self._edge.frames():
                self._hear(frame)
            for task in beside:
                task.cancel()
            self._answering.end()

    # Turns.

    def _hear(self, frame: Frame) -> None:
        """Take 20 ms of the microphone; the first frame tells that the caller can hear, so the agent may greet."""
        prompts = self._stages.prompts
        if not self._hearing.position and prompts.greeting:
            self._answering.answer(self._ask(words=prompts.greeting))
        detection = self._session.audio.input.turn_detection
        guarded = detection is not None and detection.interrupt_response and self._answering.holdable
        for event in self._hearing.push(frame, self._edge.speaker.level, guarded=guarded):
            self._take_turn(event)
        if keys := self._entry.push():
            self._items.add(Message(self._items.new_id(), "user", (Text(f"Keys pressed: {keys}"),)))
            if detection and detection.create_response:
                self._answering.answer(self._ask())
        speaking, answering = bool(self._speech_item), self._answering.active
        if self._quiet.push(
            _idle_after(detection, prompts), prompts.idle_times, speaking=speaking, answering=answering
        ):
            self._answer_silence(prompts.idle)
        elif words := self._reminders.push(quiet=not (speaking or answering)):
            self._answering.answer(self._ask(words=words))

    def _take_turn(self, event: TurnEvent) -> None:
        detection = self._session.audio.input.turn_detection
        match event:
            case OverlapStarted() | OverlapPaused() | OverlapEnded():
                self._overhearing.take(event)
            case SpeechStarted(start=start):
                self._overhearing.forget()
                self._speech_item = self._items.new_id()
                self._edge.send(events.SpeechStarted(audio_start_ms=_wire_ms(start), item_id=self._speech_item))
                if detection and detection.interrupt_response:
                    self._answering.interrupt("turn_detected")
                self._hearing.endpointing.expect(self.conversation.last_answer)
            case TurnPaused():
                self._speech = Message(self._speech_item, "user", (Audio(self._hearing.audio(event)),))
                if detection and detection.create_response:
                    self._answering.prepare(self._ask(self._speech), self._hearing.judge)
            case TurnResumed():
                self._speech = None
                self._answering.withdraw()
            case TurnEnded(end=end):
                self._edge.send(events.SpeechStopped(audio_end_ms=_wire_ms(end), item_id=self._speech_item))
                self._transcribing.put(self._commit(event), self._session.audio.input.transcription)
                if detection and detection.create_response:
                    since, pauses = self._hearing.time(event.speech_end), tuple(self._hearing.pauses)
                    speech = (event.speech_end - event.start) / INPUT_RATE
                    wait = Wait(since, event.silence, self._hearing.end_of_turn, pauses, speech)
                    self._answering.answer(self._ask(), wait)

    def _answer_silence(self, words: str) -> None:
        """Say something after a long silence: the words, or else what the model makes of it."""
        if words:
            self._answering.answer(self._ask(words=words))
            return
        turn, self._speech_item = self._hearing.latest(), self._items.new_id()
        self._edge.send(
            events.TimeoutTriggered(
                audio_start_ms=_wire_ms(turn.start), audio_end_ms=_wire_ms(turn.end), item_id=self._speech_item
            )
        )
        self._commit(turn)
        self._answering.answer(self._ask())

    def _commit(self, turn: TurnEnded) -> Message:
        """Make a turn's audio an item of the conversation."""
        item_id = self._speech_item or self._items.new_id()
        speech = self._speech or Message(item_id, "user", (Audio(self._hearing.audio(turn)),))
        self._speech_item, self._speech = "", None
        self._items.commit(speech)
        return speech

    def _ask(self, turn: Message | None = None, words: str = "") -> Ask:
        """What the session wants now: an answer to the conversation and a turn that may be over, or so many words."""
        asked = ask(self._session, self.conversation, self._stages.prompts.interrupted, turn)
        return replace(asked, words=words)

    # The client's events.

    async def _obey(self) -> None:
        async for event in self._edge.events():
            if isinstance(event, Returned):
                self._edge.send(events.SessionCreated(session=self._session))
                self._items.repeat()
                if self._answering.reply:
                    repeat(self._answering.reply)
                continue
            try:
                await self._apply(event)
            except EventError as error:
                self._edge.send(events.Error(error=error.details(event.event_id)))

    async def _apply(self, event: client_events.ClientEvent) -> None:  # noqa: C901, PLR0912  one case per event
        """Do what one event asks. Raises EventError when that cannot be done now."""
        match event:
            case client_events.SessionUpdate(session=changes):
                self._update(changes)
            case client_events.ConversationItemCreate(item=item, previous_item_id=previous):
                await self._items.create(item, self._session.audio.input.format, previous)
            case client_events.ConversationItemTruncate(item_id=item_id, audio_end_ms=milliseconds):
                if self._edge.speaker.paced:
                    self._answering.interrupt("client_cancelled", item_id)
                self._items.truncate(item_id, milliseconds / 1000)
            case client_events.ConversationItemRetrieve(item_id=item_id):
                self._items.retrieve(item_id)
            case client_events.ConversationItemDelete(item_id=item_id):
                self._items.delete(item_id)
            case client_events.ResponseCreate(response=wanted):
                await self._respond(wanted)
            case client_events.ResponseCancel(response_id=response_id):
                self._answering.cancel(response_id)
            case client_events.OutputAudioBufferClear():
                self._answering.interrupt("client_cancelled")
            case client_events.InputAudioBufferAppend():
                raise EventError("invalid_value", "This call's audio comes over WebRTC, not in events.", "type")
            case client_events.InputAudioBufferCommit():
                turn = self._commit(self._hearing.commit())
                self._transcribing.put(turn, self._session.audio.input.transcription)
            case client_events.InputAudioBufferClear():
                self._hearing.clear()
                self._edge.send(events.InputAudioBufferCleared())
            case client_events.KeysPressed(digits=digits):
                self._press(digits)
            case client_events.Ping(client_ms=client_ms):
                now = 1000 * asyncio.get_running_loop().time()
                self._edge.send(Pong(client_ms=client_ms, server_ms=now))
            case client_events.Heard():
                self._answering.report(event)

    async def _respond(self, wanted: WantedResponse) -> None:
        """Answer as the client wants. Raises EventError when the agent is answering already, and for what is not there."""
        form, mark = self._session.audio.input.format, self._stages.prompts.interrupted
        given = None if wanted.input is None else await self._items.read(wanted.input, form)
        asked = ask(self._session, self.conversation, mark, wanted=wanted, given=given)
        try:
            check(asked.options.tools)
            check_choice(asked.options.tool_choice, asked.options.tools, self._stages.toolbox.tools)
        except ValueError as error:
            raise EventError("invalid_value", f"response: {error}.", "response.tool_choice") from None
        if self._answering.generating and (asked.in_conversation or asked.spoken):
            raise _already_active(self._answering.generating)
        self._answering.answer(asked)

    def _press(self, digits: str) -> None:
        """Take keys of the keypad, over which the agent falls silent as over speech; they are answered when the entry is complete."""
        detection = self._session.audio.input.turn_detection
        if detection and detection.interrupt_response:
            self._answering.interrupt("turn_detected")
        for key in digits:
            self._edge.send(events.KeyReceived(event=key))
            self._entry.press(key)

    def _update(self, changes: dict[str, Any]) -> None:
        before = self._session
        self._session = update_session(before, changes, self._stages.toolbox.tools)
        if self._session.audio.input.turn_detection != before.audio.input.turn_detection:
            self._answering.duck(on=False)
            self._answering.withdraw()
            self._speech = None
            self._hearing.detect(turn_settings(self._session, self._hearing.configured))
        self._edge.send(events.SessionUpdated(session=self._session))


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
                min_silence=factor * configured.min_silence,
                max_silence=factor * configured.max_silence,
            )
        case None:
            return None


def _idle_after(detection: ServerVAD | SemanticVAD | None, prompts: Prompts) -> float:
    """Seconds of silence after which the agent speaks; 0: never."""
    if isinstance(detection, ServerVAD) and detection.idle_timeout_ms is not None:
        return detection.idle_timeout_ms / 1000
    return prompts.idle_after if detection else 0.0


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
