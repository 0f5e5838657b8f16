"""The items of a conversation (GA shape): as events show them, and as a client writes them."""

import base64
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from agent.realtime.objects import MAX_TEXT
from agent.realtime.tools import FunctionName


def _from_base64(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("Input should be base64 in a string")  # noqa: TRY004  pydantic reports ValueErrors
    return base64.b64decode(value, validate=True)


Base64 = Annotated[bytes, BeforeValidator(_from_base64)]

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


class NewAudio(BaseModel, frozen=True):
    """What a user said, in the session's input format."""

    type: Literal["input_audio"]
    audio: Base64
    transcript: str | None = Field(default=None, max_length=MAX_TEXT)


class NewMessage(BaseModel, frozen=True):
    """A message that the client writes: a user's of text and audio, the system's of text, an assistant's as output_text."""

    id: ItemId | None = None
    type: Literal["message"]
    role: Literal["system", "user", "assistant"]
    content: tuple[Annotated[InputText | NewAudio | OutputText, Field(discriminator="type")], ...] = Field(
        min_length=1, max_length=64
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        kinds = {part.type for part in self.content}
        allowed = {"system": {"input_text"}, "user": {"input_text", "input_audio"}, "assistant": {"output_text"}}
        if refused := kinds - allowed[self.role]:
            raise ValueError(f"a message of the {self.role} has no {min(refused)}")
        return self


NewItem = Annotated[NewMessage | NewFunctionCall | NewFunctionOutput, Field(discriminator="type")]
