"""The OpenAI Realtime events that the server sends (GA shape), and how they are written as JSON; no I/O."""

import json
import time
from typing import Literal

from pydantic import BaseModel, Field

from agent.realtime.items import AnyItem
from agent.realtime.objects import ErrorDetails, EventError, SessionObject
from agent.realtime.responses import AudioPart, Response, TextPart
from agent.realtime.transcription import TranscriptionCompleted, TranscriptionDelta, TranscriptionFailed
from agent.realtime.vendor import Pong, TurnTrace, WordsTimed


class SessionCreated(BaseModel, frozen=True):
    """First event of a call."""

    type: Literal["session.created"] = "session.created"
    session: SessionObject


class SessionUpdated(BaseModel, frozen=True):
    """The effective session after an update."""

    type: Literal["session.updated"] = "session.updated"
    session: SessionObject


class SpeechStarted(BaseModel, frozen=True):
    """The caller began to speak; times count from the start of the call's audio, padding included."""

    type: Literal["input_audio_buffer.speech_started"] = "input_audio_buffer.speech_started"
    audio_start_ms: int
    item_id: str


class SpeechStopped(BaseModel, frozen=True):
    """The caller's turn is over; the time includes the silence that was waited for."""

    type: Literal["input_audio_buffer.speech_stopped"] = "input_audio_buffer.speech_stopped"
    audio_end_ms: int
    item_id: str


class Committed(BaseModel, frozen=True):
    """The turn's audio became the item `item_id`."""

    type: Literal["input_audio_buffer.committed"] = "input_audio_buffer.committed"
    item_id: str
    previous_item_id: str | None


class TimeoutTriggered(BaseModel, frozen=True):
    """Neither side has said anything for long; the silence becomes the item `item_id` and is answered."""

    type: Literal["input_audio_buffer.timeout_triggered"] = "input_audio_buffer.timeout_triggered"
    audio_start_ms: int
    audio_end_ms: int
    item_id: str


class InputAudioBufferCleared(BaseModel, frozen=True):
    """What was heard so far is forgotten."""

    type: Literal["input_audio_buffer.cleared"] = "input_audio_buffer.cleared"


class KeyReceived(BaseModel, frozen=True):
    """The caller pressed a key of a telephone (OpenAI's, there of calls over SIP)."""

    type: Literal["input_audio_buffer.dtmf_event_received"] = "input_audio_buffer.dtmf_event_received"
    event: str
    received_at: int = Field(default_factory=lambda: round(time.time()))  # noqa: TID251  a date in the world
    """Seconds since 1970."""


class ItemAdded(BaseModel, frozen=True):
    """An item entered the conversation."""

    type: Literal["conversation.item.added"] = "conversation.item.added"
    previous_item_id: str | None
    item: AnyItem


class ItemDone(BaseModel, frozen=True):
    """An item is complete."""

    type: Literal["conversation.item.done"] = "conversation.item.done"
    previous_item_id: str | None
    item: AnyItem


class ItemTruncated(BaseModel, frozen=True):
    """An answer was cut to what was played."""

    type: Literal["conversation.item.truncated"] = "conversation.item.truncated"
    item_id: str
    content_index: int = 0
    audio_end_ms: int


class ItemRetrieved(BaseModel, frozen=True):
    """An item as it is now, without its audio."""

    type: Literal["conversation.item.retrieved"] = "conversation.item.retrieved"
    item: AnyItem


class ItemDeleted(BaseModel, frozen=True):
    """An item is forgotten."""

    type: Literal["conversation.item.deleted"] = "conversation.item.deleted"
    item_id: str


class ResponseCreated(BaseModel, frozen=True):
    """A response began."""

    type: Literal["response.created"] = "response.created"
    response: Response


class ResponseDone(BaseModel, frozen=True):
    """A response ended; exactly one for each that was created."""

    type: Literal["response.done"] = "response.done"
    response: Response


class OutputItemAdded(BaseModel, frozen=True):
    """A response opened its message."""

    type: Literal["response.output_item.added"] = "response.output_item.added"
    response_id: str
    output_index: int = 0
    item: AnyItem


class OutputItemDone(BaseModel, frozen=True):
    """A response closed its message: completed, or incomplete when it was cut."""

    type: Literal["response.output_item.done"] = "response.output_item.done"
    response_id: str
    output_index: int = 0
    item: AnyItem


class ContentPartAdded(BaseModel, frozen=True):
    """A message opened its one part."""

    type: Literal["response.content_part.added"] = "response.content_part.added"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: AudioPart | TextPart


class ContentPartDone(BaseModel, frozen=True):
    """A message closed its one part."""

    type: Literal["response.content_part.done"] = "response.content_part.done"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    part: AudioPart | TextPart


class TranscriptDelta(BaseModel, frozen=True):
    """More of the words that the agent is about to say."""

    type: Literal["response.output_audio_transcript.delta"] = "response.output_audio_transcript.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str


class TranscriptDone(BaseModel, frozen=True):
    """All the words: as generated, or as heard when the answer was cut."""

    type: Literal["response.output_audio_transcript.done"] = "response.output_audio_transcript.done"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    transcript: str


class TextDelta(BaseModel, frozen=True):
    """More of an answer that is not spoken."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str


class TextDone(BaseModel, frozen=True):
    """All of an answer that is not spoken."""

    type: Literal["response.output_text.done"] = "response.output_text.done"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    text: str


class OutputAudioDelta(BaseModel, frozen=True):
    """More of the agent's audio in the session's output format; only over a WebSocket."""

    type: Literal["response.output_audio.delta"] = "response.output_audio.delta"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0
    delta: str
    """base64"""


class OutputAudioDone(BaseModel, frozen=True):
    """No more audio comes for this response; over WebRTC the audio itself went as RTP."""

    type: Literal["response.output_audio.done"] = "response.output_audio.done"
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0


class FunctionCallArgumentsDelta(BaseModel, frozen=True):
    """More of the arguments of a function's call."""

    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    response_id: str
    item_id: str
    output_index: int
    call_id: str
    delta: str


class FunctionCallArgumentsDone(BaseModel, frozen=True):
    """All the arguments of a function's call."""

    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    response_id: str
    item_id: str
    output_index: int
    call_id: str
    name: str
    arguments: str


class OutputAudioBuffer(BaseModel, frozen=True):
    """The first audio of a response left (started), the last did (stopped), or the rest was dropped (cleared)."""

    type: Literal["output_audio_buffer.started", "output_audio_buffer.stopped", "output_audio_buffer.cleared"]
    response_id: str


class Error(BaseModel, frozen=True):
    """Something was refused or failed; the call goes on."""

    type: Literal["error"] = "error"
    error: ErrorDetails


ServerEvent = (
    SessionCreated
    | SessionUpdated
    | SpeechStarted
    | SpeechStopped
    | Committed
    | TimeoutTriggered
    | InputAudioBufferCleared
    | KeyReceived
    | ItemAdded
    | ItemDone
    | ItemTruncated
    | ItemRetrieved
    | ItemDeleted
    | TranscriptionDelta
    | TranscriptionCompleted
    | TranscriptionFailed
    | ResponseCreated
    | ResponseDone
    | OutputItemAdded
    | OutputItemDone
    | ContentPartAdded
    | ContentPartDone
    | TranscriptDelta
    | TranscriptDone
    | TextDelta
    | TextDone
    | OutputAudioDelta
    | OutputAudioDone
    | FunctionCallArgumentsDelta
    | FunctionCallArgumentsDone
    | OutputAudioBuffer
    | WordsTimed
    | TurnTrace
    | Pong
    | Error
)


def refuse(error: EventError, text: str | bytes) -> Error:
    """The answer to a client event that `parse` refused, with the client's `event_id` where one can be found."""
    try:
        event_id = json.loads(text)["event_id"]
    except (ValueError, RecursionError, LookupError, TypeError):
        event_id = None
    return Error(error=error.details(event_id if isinstance(event_id, str) else None))


def serialise(event: ServerEvent, event_id: str) -> str:
    """One JSON text, with the `event_id` that every server event carries."""
    return json.dumps(
        {"event_id": event_id, **event.model_dump(mode="json")}, ensure_ascii=False, separators=(",", ":")
    )
