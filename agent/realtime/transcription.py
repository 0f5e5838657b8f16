"""Events of the words that the caller said (GA shape); `model`, which says who wrote them down, is ours."""

from typing import Literal

from pydantic import BaseModel


class InputTokenDetails(BaseModel, frozen=True):
    """What was read."""

    text_tokens: int
    audio_tokens: int


class TranscriptionUsage(BaseModel, frozen=True):
    """What a transcript took, in the model's tokens."""

    type: Literal["tokens"] = "tokens"
    total_tokens: int
    input_tokens: int
    output_tokens: int
    input_token_details: InputTokenDetails


class TranscriptionError(BaseModel, frozen=True):
    """Why there is no transcript."""

    type: str = "server_error"
    code: str
    message: str


class TranscriptionDelta(BaseModel, frozen=True):
    """More of what the caller said."""

    type: Literal["conversation.item.input_audio_transcription.delta"] = (
        "conversation.item.input_audio_transcription.delta"
    )
    item_id: str
    content_index: int = 0
    delta: str
    model: str


class TranscriptionCompleted(BaseModel, frozen=True):
    """All that the caller said."""

    type: Literal["conversation.item.input_audio_transcription.completed"] = (
        "conversation.item.input_audio_transcription.completed"
    )
    item_id: str
    content_index: int = 0
    transcript: str
    usage: TranscriptionUsage
    model: str


class TranscriptionFailed(BaseModel, frozen=True):
    """What the caller said could not be written down."""

    type: Literal["conversation.item.input_audio_transcription.failed"] = (
        "conversation.item.input_audio_transcription.failed"
    )
    item_id: str
    content_index: int = 0
    error: TranscriptionError
    model: str
