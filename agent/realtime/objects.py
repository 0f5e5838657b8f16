"""The session and errors of the OpenAI Realtime protocol (GA shape).

Validation and JSON by pydantic; unknown keys are ignored, as clients send newer fields than a server knows. Times on the wire are
whole milliseconds.
"""

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails as ErrorDict

from agent.realtime.tools import MAX_TOOLS, FunctionTool, ToolChoice, check, check_choice

MAX_TEXT = 64 * 1024
"""Characters of one text; far beyond what a model's context holds."""

Name = Annotated[str, Field(max_length=256)]


Modalities = tuple[Literal["audio", "text"]]
"""Speech with its transcript, or text alone; never both."""

MaxTokens = Annotated[int, Field(ge=1, le=4096)] | Literal["inf"]
"""Longest answer; never beyond the server's own limit."""

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]


class VoiceId(BaseModel, frozen=True):
    """A voice of one's own at OpenAI."""

    id: Name


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


class NoiseReduction(BaseModel, frozen=True):
    """Inert: browsers and phones reduce noise before they send, and the model hears the rest."""

    type: Literal["near_field", "far_field"]
    strength: float | None = Field(default=None, ge=0, exclude_if=lambda value: value is None)


class Transcription(BaseModel, frozen=True, use_attribute_docstrings=True):
    """Write down what the caller says. Whatever model is named, the one that answers does it."""

    model: Name | None = None
    language: Name | None = None
    """Inert: the model hears which language is spoken."""
    prompt: str | None = Field(default=None, max_length=MAX_TEXT)
    """Words to expect."""


class AudioInput(BaseModel, frozen=True, use_attribute_docstrings=True):
    """`session.audio.input`."""

    format: AudioFormat = PCM()
    noise_reduction: NoiseReduction | None = None
    transcription: Transcription | None = None
    turn_detection: Annotated[ServerVAD | SemanticVAD, Field(discriminator="type")] | None = ServerVAD()
    """None: the client commits turns itself."""


class AudioOutput(BaseModel, frozen=True, use_attribute_docstrings=True):
    """`session.audio.output`."""

    format: AudioFormat = PCM()
    voice: Name | VoiceId | None = None
    """One of the server's voices, from the next answer on; all other names mean the call's own."""
    speed: float = Field(default=1.0, ge=0.25, le=1.5)
    """How fast the next answers are spoken; espeak's voices do not go below 0.46."""


class SessionAudio(BaseModel, frozen=True, use_attribute_docstrings=True):
    """`session.audio`."""

    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class TokenLimits(BaseModel, frozen=True):
    """Where a conversation is cut before the model's window is full."""

    post_instructions: int | None = Field(default=None, ge=0)
    """Tokens after the instructions."""


class RetentionRatio(BaseModel, frozen=True):
    """Of a conversation that is too long, keep at least this part of what fits."""

    type: Literal["retention_ratio"]
    retention_ratio: float = Field(ge=0, le=1)
    token_limits: TokenLimits | None = None


class Tracing(BaseModel, frozen=True):
    """What OpenAI's dashboard is to show."""

    workflow_name: Name | None = None
    group_id: Name | None = None
    metadata: Metadata | None = None


class Reasoning(BaseModel, frozen=True):
    """Inert: nobody waits on the line for a chain of thought."""

    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class SessionObject(BaseModel, frozen=True, use_attribute_docstrings=True):
    """The effective session, as `session.created` and `session.updated` show it."""

    type: Literal["realtime"] = "realtime"
    object: Literal["realtime.session"] = "realtime.session"
    id: str
    """The server's."""
    model: str
    """The server's; whatever a client names means this one."""
    agent: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Ours: the id of who answers, of those that the server's files describe; chosen when the call begins."""
    expires_at: int = 0
    """The server's; seconds since 1970."""
    output_modalities: Modalities = ("audio",)
    instructions: str = Field(max_length=MAX_TEXT)
    tools: tuple[FunctionTool, ...] = Field(default=(), max_length=MAX_TOOLS)
    tool_choice: ToolChoice = "auto"
    max_output_tokens: MaxTokens = "inf"
    truncation: Literal["auto", "disabled"] | RetentionRatio = "auto"
    prompt: None = None
    """Of OpenAI's stored prompts this server has none."""
    include: tuple[Literal["item.input_audio_transcription.logprobs"], ...] | None = None
    """Inert: there are no log probabilities of a transcript."""
    tracing: Literal["auto"] | Tracing | None = None
    """Inert: OpenAI's dashboard is not here."""
    parallel_tool_calls: bool | None = Field(default=None, exclude_if=lambda value: value is None)
    """Inert: the model decides how many functions it calls."""
    reasoning: Reasoning | None = Field(default=None, exclude_if=lambda value: value is None)
    audio: SessionAudio = SessionAudio()

    @model_validator(mode="after")
    def _check(self) -> Self:
        check(self.tools)
        return self


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


def refusal(error: ValidationError, prefix: str = "", value: Any = None) -> EventError:
    """The first finding of pydantic as OpenAI words it; inputs are not repeated, they may be large or private.

    With the `value` that was checked the field is named by its path in that, without pydantic's names of alternatives.
    """
    findings = [(_path(finding, value), finding) for finding in error.errors(include_url=False, include_input=False)]
    first, _ = findings[0]
    path, finding = max((each for each in findings if each[0][: len(first)] == first), key=lambda each: len(each[0]))
    param = ".".join([prefix, *map(str, path)]).strip(".") or "type"
    missing = finding["type"] in {"missing", "union_tag_not_found"}
    return EventError(
        "missing_required_parameter" if missing else "invalid_value",
        f"{param}: {finding['msg'].removeprefix('Value error, ')}.",
        param,
    )


def _path(finding: ErrorDict, value: Any) -> list[str | int]:
    """Where in a value something was found."""
    path: list[str | int] = []
    for part in finding["loc"]:
        try:
            value = value[part]
        except (LookupError, TypeError):
            if value is not None and (finding["type"] != "missing" or part != finding["loc"][-1]):
                continue
        path.append(part)
    return [*path, "type"] if finding["type"].startswith("union_tag") else path


OWN = {"id", "model", "object", "agent", "expires_at"}
"""What of a session a client cannot change."""


def update_session(session: SessionObject, changes: dict[str, Any], functions: Collection[str] = ()) -> SessionObject:
    """Merge a `session.update` into the effective session: absent stays, null clears. Raises EventError naming the field.

    The id, the agent and the model cannot change: any model name is accepted and means the one that is loaded. `functions` are the
    server's, which `tool_choice` may name, too.
    """
    merged = _merge(
        session.model_dump(),
        {key: value for key, value in changes.items() if key not in OWN},
    )
    try:
        updated = SessionObject.model_validate(merged)
    except ValidationError as error:
        raise refusal(error, "session", merged) from None
    try:
        check_choice(updated.tool_choice, updated.tools, functions)
    except ValueError as error:
        raise EventError("invalid_value", f"session: {error}.", "session.tool_choice") from None
    return updated


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
