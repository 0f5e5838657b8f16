"""The functions of servers that speak the Model Context Protocol, through its official package (`pip install 'parley[mcp]'`).

A server is started, or connected to, with Parley and let go with it. One that ends meanwhile is started, or connected to, again; until
then the model is told that its functions are not there, as it is told of whatever goes wrong in a call.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED, CallToolResult, TextContent
from mcp_types import Tool as Listed
from pydantic import SecretStr

from agent.realtime.tools import FunctionTool
from agent.tools import MCPServer, Tool, ToolError

CONNECT_SECONDS = 60.0
"""How long a server may take to answer first: some are fetched by a package manager."""

PING_SECONDS = 5.0
"""How often an idle server is asked whether it is there."""

RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.5, 60.0
"""How long after its end a server is tried again; twice as long each time that it fails."""

_log = logging.getLogger(__name__)


class RefusedError(ValueError):
    """A server's function failed; the message is what it says of that."""


@asynccontextmanager
async def connect(server: MCPServer) -> AsyncIterator[list[Tool]]:
    """A server's functions, as long as this is entered. Raises ToolError when it cannot be reached or lacks one of `only`."""
    connection = Connection(server)
    try:
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(connection.keep())
            await connection.opened.wait()
            yield [connection.tool(tool) for tool in connection.functions]
            keeping.cancel()
    except BaseExceptionGroup as group:  # the package's task groups wrap whatever passes through them
        raise _first(group) from group


class Connection:
    """One server, for all calls; `keep` it connected in a task of its own."""

    def __init__(self, server: MCPServer) -> None:
        self.functions: list[Listed] = []
        """Those that are offered; known once `opened`."""
        self.opened = asyncio.Event()
        self._server = server
        self._name = server.url or " ".join(server.command)
        self._client: Client | None = None
        self._lost = asyncio.Event()

    async def keep(self) -> None:
        """Connect, and connect again whenever the server is lost. Raises ToolError when it cannot be used at first."""
        wait = RETRY_SECONDS
        while True:
            try:
                async with AsyncExitStack() as stack:
                    await self._open(stack)
                    wait = RETRY_SECONDS
                    await self._watch()
            except (ToolError, BaseExceptionGroup) as error:
                if not self.opened.is_set() or not isinstance(_first(error), _FAILURES):
                    raise
                _log.warning("%s", _first(error))
            self._client = None
            _log.warning("the MCP server %s is gone; it is tried again in %g s", self._name, wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_RETRY_SECONDS)

    def tool(self, listed: Listed) -> Tool:
        """One of its functions."""

        async def run(arguments: dict[str, object]) -> str:
            if self._client is None:
                raise RefusedError("this function is not there at the moment; it is being started again")
            try:
                return _text(await self._client.call_tool(listed.name, arguments))
            except MCPError as error:
                if error.code != CONNECTION_CLOSED:
                    raise
                self._lost.set()
                raise RefusedError("this function ended before it answered; it is being started again") from error

        name = re.sub(r"[^A-Za-z0-9_-]", "_", listed.name)[:64]
        return Tool(FunctionTool(name=name, description=listed.description or "", parameters=listed.input_schema), run)

    async def _open(self, stack: AsyncExitStack) -> None:
        """Raises ToolError when the server cannot be used."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                client = await stack.enter_async_context(_client(self._server, stack))
                listed = await _list(client)
        except TimeoutError:
            raise ToolError(f"the MCP server {self._name} did not answer within {CONNECT_SECONDS:g} seconds") from None
        except (*_FAILURES, ExceptionGroup) as error:
            raise ToolError(f"the MCP server {self._name} cannot be used: {_first(error)}") from error
        only = self._server.only
        if missing := set(only) - {tool.name for tool in listed}:
            raise ToolError(f"the MCP server {self._name} has no function {', '.join(sorted(missing))}")
        if not self.opened.is_set():
            self.functions = [tool for tool in listed if not only or tool.name in only]
        self._client = client
        self._lost.clear()
        self.opened.set()

    async def _watch(self) -> None:
        """Wait until the server is lost: a call finds out, or it does not answer a ping. One that is busy is not lost."""
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await self._lost.wait()
            except TimeoutError:
                await self._ping()

    async def _ping(self) -> None:
        """Ask for what every server must have; the protocol's own ping was removed in 2026."""
        assert self._client
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._client.list_tools(cache_mode="bypass")
        except TimeoutError:
            pass
        except MCPError:
            self._lost.set()


_FAILURES = (MCPError, OSError, ValueError, httpx2.HTTPError)
"""What goes wrong with a server; a ToolError is a ValueError."""


def _first(error: BaseException) -> BaseException:
    """The first error of a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _client(server: MCPServer, stack: AsyncExitStack) -> Client:
    """What talks to the server; how long it may take is for the caller to say."""
    if server.url:
        http = httpx2.AsyncClient(headers=_plain(server.headers), timeout=httpx2.Timeout(None))
        stack.push_async_callback(http.aclose)
        return Client(streamable_http_client(server.url, http_client=http))
    program, *arguments = server.command
    return Client(StdioServerParameters(command=program, args=arguments, env=_plain(server.environment)))


def _plain(secrets: dict[str, SecretStr]) -> dict[str, str]:
    return {name: secret.get_secret_value() for name, secret in secrets.items()}


async def _list(client: Client) -> list[Listed]:
    """All functions, page by page."""
    page = await client.list_tools()
    listed = list(page.tools)
    while page.next_cursor:
        page = await client.list_tools(cursor=page.next_cursor)
        listed += page.tools
    return listed


def _text(result: CallToolResult) -> str:
    """A result's words; of what is no text, its kind. Raises RefusedError when it is an error."""
    words = "\n".join(
        block.text if isinstance(block, TextContent) else f"[{block.type}, which cannot be shown]"
        for block in result.content
    )
    if result.is_error:
        raise RefusedError(words)
    return words
