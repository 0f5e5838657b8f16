"""The functions that a client offers to the model, and whether the model is to call them (GA shape)."""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

MAX_TOOLS = 128
"""As many as OpenAI takes."""

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class FunctionTool(BaseModel, frozen=True):
    """A function that the client runs."""

    type: Literal["function"] = "function"
    name: FunctionName
    description: str = Field(default="", max_length=16 * 1024)
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON Schema of the arguments, which are one object."""


class FunctionChoice(BaseModel, frozen=True):
    """Call this function, whatever was said."""

    type: Literal["function"]
    name: FunctionName


ToolChoice = Literal["none", "auto", "required"] | FunctionChoice


def check(tools: tuple[FunctionTool, ...]) -> None:
    """Raises ValueError for two tools of one name."""
    names = [tool.name for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"there are two tools named {twice!r}")


def check_choice(choice: ToolChoice, tools: tuple[FunctionTool, ...], others: Collection[str]) -> None:
    """Raises ValueError for the choice of a function that is none of the client's tools and none of the others, which are the server's."""
    if isinstance(choice, FunctionChoice) and choice.name not in {*others, *(tool.name for tool in tools)}:
        raise ValueError(f"tool_choice names {choice.name!r}, which is none of the functions")
