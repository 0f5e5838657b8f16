"""Functions that the server itself runs for the model: of Python, and of MCP servers. One protocol, one file per origin.

A function's result is text for the model. Whatever goes wrong in one is a result, too, so that the model can say it or try again:
a function is written by somebody else, and costs neither the turn nor the call.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

import pydantic
from pydantic import ConfigDict, Field, SecretStr

from agent.realtime.tools import FunctionTool

_log = logging.getLogger(__name__)


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(use_attribute_docstrings=True, extra="forbid"))
class MCPServer:
    """A server of the Model Context Protocol: a program that is started, or an address."""

    command: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    """The program and its arguments; it is spoken to over its standard input and output, and ends with Parley."""

    environment: dict[str, SecretStr] = field(default_factory=dict)
    """Environment variables for it, beside PATH, HOME and their like."""

    url: str = ""
    """The address of a server with streamable HTTP, such as http://127.0.0.1:9000/mcp."""

    headers: dict[str, SecretStr] = field(default_factory=dict)
    """HTTP headers for it, such as Authorization."""

    only: tuple[str, ...] = ()
    """Of its functions, those that the model may call; left empty: all."""

    def __post_init__(self) -> None:
        """Raises ValueError unless there is exactly one way to the server."""
        if bool(self.command) == bool(self.url):
            raise ValueError("an MCP server has either a command or a url")


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(use_attribute_docstrings=True, extra="forbid"))
class ToolSettings:
    """The functions that the server runs for the model."""

    functions: tuple[str, ...] = ()
    """Python functions as module:function, such as agent.tools.clock:current_time; modules are also found in the working directory."""

    mcp: tuple[MCPServer, ...] = ()
    """MCP servers, whose functions are all offered."""

    seconds: Annotated[float, Field(gt=0, le=600)] = 20.0
    """How long a function may take; then the model is told so."""

    longest: Annotated[int, Field(ge=100)] = 4000
    """Characters of a result that the model is given; what is longer is cut, and the model is told so."""


class ToolError(ValueError):
    """A function that cannot be offered: the message says which, and what would be right."""


@dataclass(frozen=True)
class Later:
    """A function's result, and words that the agent says after some seconds, when neither side is speaking."""

    result: str
    seconds: float
    words: str


Remind = Callable[[float, str], None]
"""Takes seconds, and the words that are said then."""


@dataclass(frozen=True)
class Tool:
    """A function with what runs it."""

    function: FunctionTool
    run: Callable[[dict[str, object]], Awaitable[object]]
    """Takes the arguments by name; what it gives becomes text: strings as they are, anything but `Later` as JSON. May raise anything."""


@dataclass(frozen=True)
class Toolbox:
    """The functions of one server, shared by all calls."""

    tools: dict[str, Tool] = field(default_factory=dict)
    seconds: float = 20.0
    longest: int = 4000

    @property
    def functions(self) -> tuple[FunctionTool, ...]:
        """What the model is told of them."""
        return tuple(tool.function for tool in self.tools.values())

    async def run(self, name: str, arguments: str, remind: Remind | None = None) -> str:
        """Run a function on arguments in JSON; returns its result, or what went wrong, in words for the model. Raises nothing.

        Without `remind` nothing can be said later.
        """
        tool = self.tools.get(name)
        if tool is None:
            return failure(f"there is no function {name!r}; there are: {', '.join(self.tools) or 'none'}")
        try:
            given = arguments_of(arguments)
            async with asyncio.timeout(self.seconds):
                result = await tool.run(given)
        except TimeoutError:
            _log.warning("%s took longer than %g s", name, self.seconds)
            return failure(f"{name} did not answer within {self.seconds:g} seconds")
        except Exception as error:  # noqa: BLE001 a function is a fault domain: it is not ours, and may raise anything
            _log.warning("%s failed", name, exc_info=error)
            return failure(str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}")
        if isinstance(result, Later):
            if remind is None:
                return failure("nothing can be said later here")
            remind(result.seconds, result.words)
            result = result.result
        return self._cut(result if isinstance(result, str) else _as_json(result))

    def _cut(self, text: str) -> str:
        if len(text) <= self.longest:
            return text
        return f"{text[: self.longest]}… (cut: {len(text)} characters)"


NO_TOOLS = Toolbox()


def arguments_of(text: str) -> dict[str, object]:
    """Read a call's arguments. Raises ValueError, saying what is wrong with them."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the arguments are not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("the arguments must be a JSON object")  # noqa: TRY004  told to the model, as all of these are
    return value


@asynccontextmanager
async def load(settings: ToolSettings) -> AsyncIterator[Toolbox]:
    """The functions that the settings name; MCP servers run as long as this is entered.

    Raises ToolError for what cannot be offered, OSError when an MCP server cannot be reached.
    """
    from agent.tools.functions import function

    tools = [function(reference) for reference in settings.functions]
    async with AsyncExitStack() as servers:
        if settings.mcp:
            from agent.tools.servers import connect

            for server in settings.mcp:
                tools += await servers.enter_async_context(connect(server))
        yield Toolbox(_by_name(tools), settings.seconds, settings.longest)


def _by_name(tools: list[Tool]) -> dict[str, Tool]:
    """Raises ToolError when two have one name."""
    named: dict[str, Tool] = {}
    for tool in tools:
        if tool.function.name in named:
            raise ToolError(f"two functions are named {tool.function.name!r}")
        named[tool.function.name] = tool
    return named


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def failure(reason: str) -> str:
    """A result that tells the model what went wrong."""
    return json.dumps({"error": reason}, ensure_ascii=False)
