"""A small MCP server for tests: over standard input and output, or with a port over streamable HTTP."""

import os
import sys
import time

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("test")


@server.tool()
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@server.tool()
def fail(reason: str) -> str:
    """Fail."""
    raise ToolError(reason)


@server.tool()
def hang() -> str:
    """Take very long."""
    time.sleep(60)
    return "at last"


@server.tool()
def die() -> str:
    """End the server."""
    os._exit(1)


@server.tool(name="odd.name")
def odd() -> str:
    """Tell an environment variable."""
    return os.environ.get("ODD", "unset")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
