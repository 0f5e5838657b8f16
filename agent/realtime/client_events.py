"""The OpenAI Realtime events that a client sends (GA shape): validated by one discriminated union, no I/O.

What cannot be read raises `EventError`, which holds the `error` event to answer with.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from agent.realtime.items import Base64, NewItem
from agent.realtime.objects import EventError, refusal
from agent.realtime.responses import WantedResponse

MAX_EVENT_BYTES = 256 * 1024
"""Largest client event over a data channel: Chromium's own limit for a message."""


EventId = Annotated[str, Field(max_length=512)]

Milliseconds = Annotated[float, Field(allow_inf_nan=False)]
"""A time of some clock."""

Share = Annotated[float, Field(ge=0, le=600_000, allow_inf_nan=False)]
"""A length in milliseconds."""


class SessionUpdate(BaseModel, frozen=True):
    """Change the session; absent fields stay. `session` is merged and validated by `update_session`."""

    type: Literal["session.update"]
    event_id: EventId | None = None
    session: dict[str, Any]


class ConversationItemCreate(BaseModel, frozen=True):
    """Add an item to the conversation: at its end, its start ("root"), or after another."""

    type: Literal["conversation.item.create"]
    event_id: EventId | None = None
    previous_item_id: str | None = None
    item: NewItem


class ConversationItemTruncate(BaseModel, frozen=True):
    """The client, which plays the audio itself, played an answer only so far."""

    type: Literal["conversation.item.truncate"]
    event_id: EventId | None = None
    item_id: str
    content_index: Literal[0]
    audio_end_ms: int = Field(ge=0)


class ConversationItemRetrieve(BaseModel, frozen=True):
    """Show an item as it is now."""

    type: Literal["conversation.item.retrieve"]
    event_id: EventId | None = None
    item_id: str


class ConversationItemDelete(BaseModel, frozen=True):
    """Forget an item."""

    type: Literal["conversation.item.delete"]
    event_id: EventId | None = None
    item_id: str


class ResponseCreate(BaseModel, frozen=True):
    """Answer now, without waiting for speech."""

    type: Literal["response.create"]
    event_id: EventId | None = None
    response: WantedResponse = WantedResponse()


class ResponseCancel(BaseModel, frozen=True):
    """Stop the response in progress."""

    type: Literal["response.cancel"]
    event_id: EventId | None = None
    response_id: str | None = None


class OutputAudioBufferClear(BaseModel, frozen=True):
    """Stop what is being played; with nothing playing, nothing happens (agents-js always sends it)."""

    type: Literal["output_audio_buffer.clear"]
    event_id: EventId | None = None


class KeysPressed(BaseModel, frozen=True):
    """Vendor event: keys of a telephone, one after the other. Those that come as telephone events in RTP become the same event."""

    type: Literal["parley.dtmf"]
    event_id: EventId | None = None
    digits: str = Field(pattern=r"^[0-9*#A-D]{1,32}$")


class InputAudioBufferAppend(BaseModel, frozen=True):
    """More of the caller's audio, in the session's input format; only a WebSocket carries audio so."""

    type: Literal["input_audio_buffer.append"]
    event_id: EventId | None = None
    audio: Base64


class InputAudioBufferCommit(BaseModel, frozen=True):
    """Push-to-talk: what was heard since the last commit or clear is the caller's turn."""

    type: Literal["input_audio_buffer.commit"]
    event_id: EventId | None = None


class InputAudioBufferClear(BaseModel, frozen=True):
    """Push-to-talk: forget what was heard so far."""

    type: Literal["input_audio_buffer.clear"]
    event_id: EventId | None = None


class Ping(BaseModel, frozen=True):
    """Vendor event: compare clocks. `client_ms` is the client's, and comes back in the `parley.pong`."""

    type: Literal["parley.ping"]
    event_id: EventId | None = None
    client_ms: Milliseconds


class Heard(BaseModel, frozen=True):
    """Vendor event: what the client measured of a turn; times are mapped to the server's clock with pings.

    `heard_ms` is the first audible sample of the answer at the caller's ear, `spoken_ms` the caller's last one before it at the
    microphone; `clock_error_ms` is half of the shortest round trip of the pings. The rest is of the sound since the last report.
    """

    type: Literal["parley.heard"]
    event_id: EventId | None = None
    response_id: str
    heard_ms: Milliseconds
    spoken_ms: Milliseconds | None = None
    clock_error_ms: Share
    round_trip_ms: Share | None = None
    jitter_ms: Share | None = None
    jitter_buffer_ms: Share | None = None
    packets_lost: int | None = Field(default=None, ge=0, le=1_000_000)
    concealed_ms: Share | None = None


ClientEvent = (
    SessionUpdate
    | ConversationItemCreate
    | ConversationItemTruncate
    | ConversationItemRetrieve
    | ConversationItemDelete
    | ResponseCreate
    | ResponseCancel
    | OutputAudioBufferClear
    | InputAudioBufferAppend
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | KeysPressed
    | Ping
    | Heard
)


_client_event: TypeAdapter[ClientEvent] = TypeAdapter(Annotated[ClientEvent, Field(discriminator="type")])


def parse(text: str | bytes, limit: int = MAX_EVENT_BYTES) -> ClientEvent:
    """Read one client event. Raises EventError when it is not JSON, not an object, unknown, of wrong types, or longer than `limit`."""
    if len(text) > limit:
        raise EventError("event_too_large", f"An event may have at most {limit} bytes; this one has {len(text)}.")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EventError("invalid_json", f"The event is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise EventError("invalid_event", "An event is a JSON object with a 'type'.")
    try:
        return _client_event.validate_python(value)
    except ValidationError as error:
        raise refusal(error, value=value) from None
