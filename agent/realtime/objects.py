"""What the OpenAI Realtime events are made of (GA shape): the session, items, responses, errors.

Validation and JSON by pydantic; unknown keys are ignored, as clients send newer fields than a server knows. Times on the wire are
whole milliseconds.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from agent.realtime.tools import MAX_TOOLS, FunctionName, FunctionTool, ToolChoice, check

MAX_TEXT = 64 * 1024
"""Characters of one text; far beyond what a model's context holds."""


class ServerVAD(BaseModel, frozen=True):
    """`turn_detection` of type server_vad: the turn ends after a fixed silence."""

    type: Literal["server_vad"] = "server_vad"
    threshold: float = Field(default=0.5, ge=0, le=1)
    prefix_padding_ms: int = Field(default=300, ge=0, le=5000)
    silence_duration_ms: int = Field(default=500, ge=0, le=10_000)
    idle_timeout_ms: int | None = Field(default=None, ge=5000, le=30_000)
    """After so long without a word from either side the agent answers the silence."""
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVAD(BaseModel, frozen=True):
    """`turn_detection` of type semantic_vad: the silence that ends a turn is decided in each pause."""

    type: Literal["semantic_vad"] = "semantic_vad"
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


class PCM(BaseModel, frozen=True):
    """16-bit little-endian mono at 24 kHz; WebRTC negotiates its own codec, whatever a session says here."""

    type: Literal["audio/pcm"] = "audio/pcm"
    rate: Literal[24_000] = 24_000


class G711(BaseModel, frozen=True):
    """Mu-law or A-law, 8 kHz mono."""

    type: Literal["audio/pcmu", "audio/pcma"]


AudioFormat = Annotated[PCM | G711, Field(discriminator="type")]


class AudioInput(BaseModel, frozen=True):
    """`session.audio.input`."""

    format: AudioFormat = PCM()
    turn_detection: Annotated[ServerVAD | SemanticVAD, Field(discriminator="type")] | None = ServerVAD()
    """None: the client commits turns itself."""


class AudioOutput(BaseModel, frozen=True):
    """`session.audio.output`; a voice's name is accepted and echoed, the server's voice speaks."""

    format: AudioFormat = PCM()
    voice: str | None = None


class SessionAudio(BaseModel, frozen=True):
    """`session.audio`."""

    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class SessionObject(BaseModel, frozen=True):
    """The effective session, as `session.created` and `session.updated` show it."""

    type: Literal["realtime"] = "realtime"
    object: Literal["realtime.session"] = "realtime.session"
    id: str
    model: str
    output_modalities: tuple[Literal["audio"]] = ("audio",)
    instructions: str = Field(max_length=MAX_TEXT)
    tools: tuple[FunctionTool, ...] = Field(default=(), max_length=MAX_TOOLS)
    tool_choice: ToolChoice = "auto"
    audio: SessionAudio = SessionAudio()

    @model_validator(mode="after")
    def _check(self) -> Self:
        check(self.tools, self.tool_choice)
        return self


ItemId = Annotated[str, Field(min_length=1, max_length=64)]


class InputText(BaseModel, frozen=True):
    """A user's or the system's typed words."""

    type: Literal["input_text"] = "input_text"
    text: str = Field(max_length=MAX_TEXT)


class InputAudio(BaseModel, frozen=True):
    """What the caller said. The audio itself stays with the server."""

    type: Literal["input_audio"] = "input_audio"
    transcript: str | None = None


class OutputText(BaseModel, frozen=True):
    """The agent's words as text."""

    type: Literal["output_text"] = "output_text"
    text: str = Field(max_length=MAX_TEXT)


class OutputAudio(BaseModel, frozen=True):
    """The agent's words as spoken."""

    type: Literal["output_audio"] = "output_audio"
    transcript: str


Content = Annotated[InputText | InputAudio | OutputText | OutputAudio, Field(discriminator="type")]


class FunctionCallItem(BaseModel, frozen=True):
    """A function that the model wants to be called."""

    id: str
    object: Literal["realtime.item"] = "realtime.item"
    type: Literal["function_call"] = "function_call"
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    call_id: str
    name: str
    arguments: str
    """A JSON object as text; empty while the model writes it."""


class FunctionCallOutputItem(BaseModel, frozen=True):
    """What a function gave."""

    id: str
    object: Literal["realtime.item"] = "realtime.item"
    type: Literal["function_call_output"] = "function_call_output"
    status: Literal["completed"] = "completed"
    call_id: str
    output: str


class Item(BaseModel, frozen=True):
    """A message of the conversation."""

    id: str
    object: Literal["realtime.item"] = "realtime.item"
    type: Literal["message"] = "message"
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    role: Literal["system", "user", "assistant"]
    content: tuple[Content, ...]


AnyItem = Item | FunctionCallItem | FunctionCallOutputItem


class NewFunctionCall(BaseModel, frozen=True):
    """An earlier call of a function, of a conversation that the client brings along."""

    id: ItemId | None = None
    type: Literal["function_call"]
    call_id: str | None = Field(default=None, min_length=1, max_length=64)
    name: FunctionName
    arguments: str = Field(max_length=MAX_TEXT)


class NewFunctionOutput(BaseModel, frozen=True):
    """What a function gave."""

    id: ItemId | None = None
    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1, max_length=64)
    output: str = Field(max_length=MAX_TEXT)


class NewMessage(BaseModel, frozen=True):
    """A message that the client writes: text only, an assistant's as output_text."""

    id: ItemId | None = None
    type: Literal["message"]
    role: Literal["system", "user", "assistant"]
    content: tuple[Annotated[InputText | OutputText, Field(discriminator="type")], ...] = Field(
        min_length=1, max_length=64
    )


NewItem = Annotated[NewMessage | NewFunctionCall | NewFunctionOutput, Field(discriminator="type")]


class AudioPart(BaseModel, frozen=True):
    """A part of a response (part types are `audio`, item content types `output_audio`)."""

    type: Literal["audio"] = "audio"
    transcript: str = ""


class Failure(BaseModel, frozen=True):
    """Why a response failed."""

    type: str = "server_error"
    code: str
    message: str


class StatusDetails(BaseModel, frozen=True):
    """Why a response did not complete."""

    type: Literal["cancelled", "failed"]
    reason: Literal["turn_detected", "client_cancelled"] | None = None
    error: Failure | None = None


class Response(BaseModel, frozen=True):
    """A response, as `response.created` and `response.done` show it."""

    id: str
    object: Literal["realtime.response"] = "realtime.response"
    status: Literal["in_progress", "completed", "cancelled", "failed"]
    status_details: StatusDetails | None = None
    output: tuple[AnyItem, ...] = ()
    conversation_id: str
    output_modalities: tuple[Literal["audio"]] = ("audio",)
    usage: None = None
    metadata: None = None


class ErrorDetails(BaseModel, frozen=True):
    """What was wrong with a client's event, or what went wrong at the server."""

    type: str = "invalid_request_error"
    code: str
    message: str
    param: str | None = None
    event_id: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Left out rather than null: agents-js does not recognise an error with a null here."""


class EventError(ValueError):
    """A client event that cannot be taken: the call goes on, and `details` is the answer."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        """`code` is OpenAI's where it has one; `param` names the field."""
        super().__init__(message)
        self.code = code
        self.param = param

    def details(self, event_id: str | None) -> ErrorDetails:
        """The `error` event's content, in answer to the client's `event_id`."""
        return ErrorDetails(code=self.code, message=str(self), param=self.param, event_id=event_id)


def refusal(error: ValidationError, prefix: str = "") -> EventError:
    """The first finding of pydantic as OpenAI words it; inputs are not repeated, they may be large or private."""
    finding = error.errors(include_url=False, include_input=False)[0]
    param = ".".join([prefix, *map(str, finding["loc"])]).strip(".") or "type"
    missing = finding["type"] in {"missing", "union_tag_not_found"}
    return EventError(
        "missing_required_parameter" if missing else "invalid_value", f"{param}: {finding['msg']}.", param
    )


def update_session(session: SessionObject, changes: dict[str, Any]) -> SessionObject:
    """Merge a `session.update` into the effective session: absent stays, null clears. Raises EventError naming the field.

    The id and the model cannot change: any model name is accepted and means the one that is loaded.
    """
    merged = _merge(
        session.model_dump(), {key: value for key, value in changes.items() if key not in {"id", "model", "object"}}
    )
    try:
        return SessionObject.model_validate(merged)
    except ValidationError as error:
        raise refusal(error, "session") from None


def _merge(current: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` over `current`, objects key by key, unless the object's type changes: then nothing of the old one stays."""
    merged = dict(current)
    for key, value in changes.items():
        match current.get(key), value:
            case dict() as old, dict() if value.get("type", old.get("type")) == old.get("type"):
                merged[key] = _merge(old, value)
            case _:
                merged[key] = value
    return merged
