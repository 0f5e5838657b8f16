"""Responses (GA shape): as events show them, and as a client asks for them."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from agent.realtime.items import AnyItem, ItemId, NewFunctionCall, NewFunctionOutput, NewMessage
from agent.realtime.objects import (
    MAX_TEXT,
    PCM,
    AudioFormat,
    MaxTokens,
    Metadata,
    Modalities,
    Name,
    Reasoning,
    VoiceId,
)
from agent.realtime.tools import MAX_TOOLS, FunctionTool, ToolChoice

MAX_INPUT = 200
"""As many items as a conversation keeps."""


class AudioPart(BaseModel, frozen=True):
    """A spoken part of a response (part types are `audio`, item content types `output_audio`)."""

    type: Literal["audio"] = "audio"
    transcript: str = ""


class TextPart(BaseModel, frozen=True):
    """A part of a response that is not spoken."""

    type: Literal["text"] = "text"
    text: str = ""


class Failure(BaseModel, frozen=True):
    """Why a response failed."""

    type: str = "server_error"
    code: str
    message: str


class StatusDetails(BaseModel, frozen=True):
    """Why a response did not complete."""

    type: Literal["cancelled", "failed", "incomplete"]
    reason: Literal["turn_detected", "client_cancelled", "max_output_tokens"] | None = None
    error: Failure | None = None


class CachedTokens(BaseModel, frozen=True):
    """What of the input had been computed for an earlier response."""

    text_tokens: int
    audio_tokens: int
    image_tokens: int = 0


class InputTokens(BaseModel, frozen=True):
    """What a response read."""

    text_tokens: int
    audio_tokens: int
    image_tokens: int = 0
    cached_tokens: int
    cached_tokens_details: CachedTokens


class OutputTokens(BaseModel, frozen=True):
    """What a response made: text, as it is the voice that makes audio, which counts no tokens."""

    text_tokens: int
    audio_tokens: int = 0


class ResponseUsage(BaseModel, frozen=True):
    """What a response took, in the model's tokens."""

    total_tokens: int
    input_tokens: int
    output_tokens: int
    input_token_details: InputTokens
    output_token_details: OutputTokens


class ResponseAudioOutput(BaseModel, frozen=True):
    """`response.audio.output`."""

    format: AudioFormat = PCM()
    voice: Name | None = None


class ResponseAudio(BaseModel, frozen=True):
    """`response.audio`."""

    output: ResponseAudioOutput = ResponseAudioOutput()


class Response(BaseModel, frozen=True):
    """A response, as `response.created` and `response.done` show it."""

    id: str = ""
    object: Literal["realtime.response"] = "realtime.response"
    status: Literal["in_progress", "completed", "cancelled", "failed", "incomplete"] = "in_progress"
    status_details: StatusDetails | None = None
    output: tuple[AnyItem, ...] = ()
    conversation_id: str | None = None
    """None: the response is no part of the conversation."""
    output_modalities: Modalities = ("audio",)
    max_output_tokens: MaxTokens = "inf"
    audio: ResponseAudio | None = None
    usage: ResponseUsage | None = None
    """None until it is done."""
    metadata: Metadata | None = None


class ItemReference(BaseModel, frozen=True):
    """An item of the conversation."""

    type: Literal["item_reference"]
    id: ItemId


InputItem = Annotated[NewMessage | NewFunctionCall | NewFunctionOutput | ItemReference, Field(discriminator="type")]


class WantedAudioOutput(BaseModel, frozen=True, use_attribute_docstrings=True):
    """Of a response's audio, what differs from the session's."""

    format: AudioFormat | None = None
    voice: Name | VoiceId | None = None
    """One of the server's voices; all other names mean the call's own."""


class WantedAudio(BaseModel, frozen=True):
    """`response.create`'s `response.audio`."""

    output: WantedAudioOutput = WantedAudioOutput()


class WantedResponse(BaseModel, frozen=True, use_attribute_docstrings=True):
    """`response.create`'s `response`: what is absent or null is as in the session."""

    conversation: Literal["auto", "none"] | None = None
    """none: nothing of it enters the conversation."""
    input: tuple[InputItem, ...] | None = Field(default=None, max_length=MAX_INPUT)
    """What is answered in the place of the conversation."""
    instructions: str | None = Field(default=None, max_length=MAX_TEXT)
    output_modalities: Modalities | None = None
    max_output_tokens: MaxTokens | None = None
    audio: WantedAudio | None = None
    tools: tuple[FunctionTool, ...] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_choice: ToolChoice | None = None
    metadata: Metadata | None = None
    prompt: None = None
    """Of OpenAI's stored prompts this server has none."""
    parallel_tool_calls: bool | None = None
    """Inert."""
    reasoning: Reasoning | None = None
    """Inert."""
