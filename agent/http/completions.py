"""OpenAI's chat completions for recorded speech: typed and recorded messages in, one answer as text out, whole or as it is made.

The calls' engine answers; it takes no sampling parameters, so these are accepted without effect, as unknown fields are. What would change the meaning of the answer (tools, several choices, spoken answers) is refused.
"""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from agent import wav
from agent.audio import INPUT_RATE
from agent.conversation import Audio, Message, Role, Text
from agent.engine import Engine, EngineError, Options, Usage
from agent.realtime.objects import MAX_TEXT, EventError, refusal

MAX_BODY_BYTES = 24 * 1024 * 1024
"""About 5 minutes of speech as 16-bit WAV at 24 kHz, as base64."""

MAX_MESSAGES = 200
"""As many as a call's conversation keeps."""

ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class TextPart(BaseModel, frozen=True):
    """Typed words."""

    type: Literal["text"]
    text: str = Field(max_length=MAX_TEXT)


class InputAudio(BaseModel, frozen=True):
    """A recording, as base64 of a file."""

    data: str
    format: Literal["wav", "mp3"]


class AudioPart(BaseModel, frozen=True):
    """Recorded words."""

    type: Literal["input_audio"]
    input_audio: InputAudio


Part = Annotated[TextPart | AudioPart, Field(discriminator="type")]


def _as_parts(content: object) -> object:
    return ({"type": "text", "text": content},) if isinstance(content, str) else content


class ChatMessage(BaseModel, frozen=True):
    """One turn of one party."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[tuple[Part, ...], BeforeValidator(_as_parts)]


class StreamOptions(BaseModel, frozen=True):
    """What a stream holds besides the answer."""

    include_usage: bool = False
    """At its end, in a chunk without choices."""


def _refuse_functions(value: object) -> None:
    if value:
        raise ValueError("no functions are called here; in a realtime session they are")


NoFunctions = Annotated[None, BeforeValidator(_refuse_functions)]


class ChatRequest(BaseModel, frozen=True):
    """The body of a request; any model's name means the one that is loaded."""

    messages: tuple[ChatMessage, ...] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_completion_tokens: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    """The older name of the same."""
    n: Literal[1] | None = 1
    modalities: tuple[Literal["text"], ...] | None = None
    tools: NoFunctions = None
    functions: NoFunctions = None


async def complete(request: web.Request, engine: Engine) -> web.StreamResponse:
    """Answer one request. Raises EventError for what cannot be taken, HTTPInternalServerError when the engine fails."""
    body = await request.clone(client_max_size=MAX_BODY_BYTES).read()
    try:
        chat = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise refusal(error) from None
    messages = await asyncio.to_thread(_messages, chat)  # a long recording takes a while to read and resample
    head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": _date(), "model": engine.name}
    options, usage = Options(max_tokens=chat.max_completion_tokens or chat.max_tokens), Usage()
    try:
        async with aclosing(engine.reply(messages, options, usage)) as deltas:
            if chat.stream:
                counted = bool(chat.stream_options and chat.stream_options.include_usage)
                return await _stream(request, head, deltas, usage, counted=counted)
            text = "".join([delta async for delta in deltas])
    except EngineError as error:
        raise web.HTTPInternalServerError(text=str(error)) from error
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": _finish(usage), "logprobs": None}
    return web.json_response({**head, "object": "chat.completion", "choices": [choice], "usage": _counts(usage)})


async def _stream(
    request: web.Request, head: dict[str, Any], deltas: AsyncIterator[str], usage: Usage, *, counted: bool
) -> web.StreamResponse:
    """Send the answer as server-sent events. Raises EngineError if the first word fails; a later failure is sent as an event."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})

    async def send(delta: dict[str, str], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        await _send(response, {**head, "object": "chat.completion.chunk", "choices": [choice]})

    first = await anext(deltas, "")
    await response.prepare(request)
    await send({"role": "assistant", "content": first})
    try:
        async for delta in deltas:
            await send({"content": delta})
        await send({}, _finish(usage))
        if counted:
            last = {"object": "chat.completion.chunk", "choices": [], "usage": _counts(usage)}
            await _send(response, {**head, **last})
    except EngineError as error:
        await _send(
            response, {"error": {"type": "server_error", "code": "engine_failed", "message": str(error), "param": None}}
        )
    await response.write(b"data: [DONE]\n\n")
    return response


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")


def _finish(usage: Usage) -> Literal["stop", "length"]:
    return "stop" if usage.complete else "length"


def _counts(usage: Usage) -> dict[str, Any]:
    """What an answer took, in tokens."""
    asked = usage.text + usage.audio
    cached = usage.cached_text + usage.cached_audio
    return {
        "prompt_tokens": asked,
        "completion_tokens": usage.output,
        "total_tokens": asked + usage.output,
        "prompt_tokens_details": {"audio_tokens": usage.audio, "cached_tokens": cached},
    }


def _messages(chat: ChatRequest) -> tuple[Message, ...]:
    return tuple(
        Message(f"message_{number}", ROLES[message.role], tuple(map(_part, message.content)))
        for number, message in enumerate(chat.messages)
    )


def _part(part: TextPart | AudioPart) -> Text | Audio:
    """A part as the engine takes it. Raises EventError for audio that cannot be read."""
    if isinstance(part, TextPart):
        return Text(part.text)
    try:
        return Audio(wav.decode(base64.b64decode(part.input_audio.data, validate=True), INPUT_RATE))
    except ValueError as error:  # WAVError is one, and base64's errors are
        raise EventError("invalid_value", f"input_audio: {error}", "messages") from None


def _date() -> int:
    return int(time.time())  # noqa: TID251  a date in the world, not a duration
