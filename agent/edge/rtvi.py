"""RTVI, the messages of Pipecat's clients, as another form of the Realtime protocol's events: translated both ways, without I/O.

Takes and gives JSON texts of the data channel `chat` (RTVI 2.1: `{"label": "rtvi-ai", "type", "id", "data"}`). What a client asks that
has no counterpart is answered with `error-response`. Pings and the state of its tracks tell nothing that the media do not tell.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.realtime import events
from agent.realtime.client_events import ClientEvent, parse
from agent.realtime.items import FunctionCallOutputItem
from agent.realtime.objects import EventError
from agent.realtime.transcription import TranscriptionCompleted, TranscriptionDelta
from agent.realtime.vendor import WordsTimed

VERSION = "2.1.0"
"""Of the protocol; below 2 clients warn."""

NAME = "rtvi-ai"

SIMPLE = {
    "input_audio_buffer.speech_started": ("user-started-speaking",),
    "input_audio_buffer.speech_stopped": ("user-stopped-speaking",),
    "response.created": ("bot-llm-started",),
    "response.done": ("bot-llm-stopped",),
    "output_audio_buffer.started": ("bot-started-speaking", "bot-tts-started"),
    "output_audio_buffer.stopped": ("bot-tts-stopped", "bot-stopped-speaking"),
    "output_audio_buffer.cleared": ("bot-tts-stopped", "bot-stopped-speaking"),
}
"""Events, and the messages without data that tell of them."""

Message = tuple[str, dict[str, Any]]
"""Its type and its data."""


class RTVI:
    """Implements `Dialect` for one call."""

    label = "chat"

    def __init__(self, hang_up: Callable[[], None]) -> None:
        """`hang_up` is called when the client sends the agent away."""
        self._hang_up = hang_up
        self._heard: dict[str, str] = {}
        """What is written down so far of what the caller says, by item."""
        self._text = ""
        """The newest answer's words."""
        self._told = 0
        """Characters of them that the client knows to be spoken."""
        self._calls: dict[str, str] = {}
        """The client's functions that were called and gave nothing yet, by the calls' ids."""

    def read(self, text: str) -> Sequence[ClientEvent]:
        """What a client's message asks. Raises EventError."""
        if text.startswith("ping"):
            return ()
        message = _read(text)
        if message.get("label") != NAME:
            return ()
        data = message.get("data")
        wanted = self._wanted(str(message.get("type")), data if isinstance(data, dict) else {})
        return [parse(json.dumps({**event, "event_id": _id(message)})) for event in wanted]

    def refuse(self, error: EventError, text: str) -> events.Error:
        """The answer to a message that `read` refused."""
        try:
            return events.Error(error=error.details(_id(_read(text))))
        except EventError:
            return events.Error(error=error.details(None))

    def write(self, event: events.ServerEvent, event_id: str) -> Iterator[str]:
        """The messages that tell a client of an event; some have none."""
        answers = event.error.event_id if isinstance(event, events.Error) else None
        for kind, data in (*((kind, {}) for kind in SIMPLE.get(event.type, ())), *self._messages(event)):
            yield json.dumps({"label": NAME, "type": kind, "id": answers or event_id, "data": data}, ensure_ascii=False)

    def _wanted(self, kind: str, data: dict[str, Any]) -> list[dict[str, Any]]:
        """A message as events of the Realtime protocol. Raises EventError when there are none."""
        match kind, data:
            case "client-ready", _:
                return [{"type": "session.update", "session": {}}]
            case "send-text", {"content": content}:
                options = {"run_immediately": True, "audio_response": True, **_object(data.get("options"))}
                content = [{"type": "input_text", "text": content}]
                typed = _create({"type": "message", "role": "user", "content": content})
                if not options["run_immediately"]:
                    return [typed]
                form = {} if options["audio_response"] else {"output_modalities": ["text"]}
                return [{"type": "output_audio_buffer.clear"}, typed, {"type": "response.create", "response": form}]
            case "llm-function-call-result", {"tool_call_id": call_id, "result": result}:
                output = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
                item = {"type": "function_call_output", "call_id": call_id, "output": output}
                return [_create(item), {"type": "response.create"}]
            case "dtmf", {"buttons": [*keys]}:
                return [{"type": "parley.dtmf", "digits": "".join(map(str, keys))}]
            case "disconnect-bot", _:
                self._hang_up()
                return []
            case _:
                raise EventError(
                    "invalid_value", f"This server does nothing with a message {kind!r} like this.", "type"
                )

    def _messages(self, event: events.ServerEvent) -> Iterator[Message]:  # noqa: C901  one case per event
        """What has data."""
        match event:
            case events.SessionUpdated():
                yield "bot-ready", {"version": VERSION, "about": {"library": "parley"}}
            case TranscriptionDelta(item_id=item_id, delta=delta):
                self._heard[item_id] = self._heard.get(item_id, "") + delta
                yield "user-transcription", _transcript(self._heard[item_id], final=False)
            case TranscriptionCompleted(item_id=item_id, transcript=transcript):
                self._heard.pop(item_id, None)
                yield "user-transcription", _transcript(transcript, final=True)
            case events.ResponseCreated():
                self._text, self._told = "", 0
            case events.TranscriptDelta(delta=delta) | events.TextDelta(delta=delta):
                self._text += delta
                yield "bot-llm-text", {"text": delta}
            case events.TranscriptDone(item_id=item_id, transcript=text) | events.TextDone(item_id=item_id, text=text):
                spoken = isinstance(event, events.TranscriptDone)
                yield (
                    "bot-output",
                    {"text": text, "aggregated_by": "sentence", "segment_id": item_id, "will_be_spoken": spoken},
                )
            case WordsTimed(words=words):
                end = words[-1].text
                yield "bot-tts-text", {"text": self._text[self._told : end]}
                self._told = end
            case events.FunctionCallArgumentsDone(name=name, call_id=call_id, arguments=arguments):
                self._calls[call_id] = name
                yield "llm-function-call-started", {"function_name": name}
                call = {"function_name": name, "tool_call_id": call_id, "arguments": json.loads(arguments)}
                yield "llm-function-call-in-progress", call
            case events.ItemAdded(item=FunctionCallOutputItem(call_id=call_id, output=output)) if (
                call_id in self._calls
            ):
                call = {"function_name": self._calls.pop(call_id), "tool_call_id": call_id, "cancelled": False}
                yield "llm-function-call-stopped", {**call, "result": output}
            case events.Error(error=error):
                kind = "error-response" if error.event_id else "error"
                yield kind, {"error": error.message, "message": error.message, "fatal": False}
            case _:
                pass


def _read(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EventError("invalid_json", f"The message is not valid JSON: {error}.") from None
    return _object(message)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _id(message: dict[str, Any]) -> str | None:
    """By which the client knows a message of its own."""
    message_id = message.get("id")
    return message_id if isinstance(message_id, str) and len(message_id) <= 512 else None


def _create(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": item}


def _transcript(text: str, *, final: bool) -> dict[str, Any]:
    date = datetime.now(UTC).isoformat()  # a date in the world
    return {"text": text, "final": final, "timestamp": date, "user_id": ""}
