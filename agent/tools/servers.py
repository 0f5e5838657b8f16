"""The functions of servers that speak the Model Context Protocol, through its official package (`pip install 'parley[mcp]'`).

A server is started, or connected to, with Parley and let go with it. What goes wrong in a call is told to the model.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent
from mcp_types import Tool as Listed
from pydantic import SecretStr

from agent.realtime.tools import FunctionTool
from agent.tools import MCPServer, Tool, ToolError

CONNECT_SECONDS = 60.0
"""How long a server may take to answer first: some are fetched by a package manager."""


class RefusedError(ValueError):
    """A server's function failed; the message is what it says of that."""


@asynccontextmanager
async def connect(server: MCPServer) -> AsyncIterator[list[Tool]]:
    """A server's functions, as long as this is entered. Raises ToolError when it cannot be reached or lacks one of `only`."""
    try:
        async with AsyncExitStack() as stack:
            yield await _open(server, stack)
    except BaseExceptionGroup as group:  # the package's task groups wrap whatever passes through them
        raise _first(group) from group


async def _open(server: MCPServer, stack: AsyncExitStack) -> list[Tool]:
    name = server.url or " ".join(server.command)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            client = await stack.enter_async_context(_client(server, stack))
            listed = await _list(client)
    except TimeoutError:
        raise ToolError(f"the MCP server {name} did not answer within {CONNECT_SECONDS:g} seconds") from None
    except (MCPError, OSError, ValueError, httpx2.HTTPError, ExceptionGroup) as error:
        raise ToolError(f"the MCP server {name} cannot be used: {_first(error)}") from error
    if missing := set(server.only) - {tool.name for tool in listed}:
        raise ToolError(f"the MCP server {name} has no function {', '.join(sorted(missing))}")
    return [_tool(client, tool) for tool in listed if not server.only or tool.name in server.only]


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


def _tool(client: Client, listed: Listed) -> Tool:
    async def run(arguments: dict[str, object]) -> str:
        return _text(await client.call_tool(listed.name, arguments))

    name = re.sub(r"[^A-Za-z0-9_-]", "_", listed.name)[:64]
    return Tool(FunctionTool(name=name, description=listed.description or "", parameters=listed.input_schema), run)


def _text(result: CallToolResult) -> str:
    """A result's words; of what is no text, its kind. Raises RefusedError when it is an error."""
    words = "\n".join(
        block.text if isinstance(block, TextContent) else f"[{block.type}, which cannot be shown]"
        for block in result.content
    )
    if result.is_error:
        raise RefusedError(words)
    return words
