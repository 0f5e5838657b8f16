"""The functions that the server runs for the model: how they are found and offered, and what the model is told of each outcome."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from agent.tools import MCPServer, Toolbox, ToolError, ToolSettings, load
from agent.tools.functions import as_tool, function

SERVER = (sys.executable, str(Path(__file__).parent / "mcp_server.py"))


def order(number: int, size: Literal["small", "large"] = "small", extras: list[str] | None = None) -> dict[str, object]:
    """Order something.

    number is how many.
    """
    return {"number": number, "size": size, "extras": extras}


async def greet(name: str) -> str:
    """Greet somebody."""
    await asyncio.sleep(0)
    return f"Grüezi, {name}"


def box(*functions, seconds=5.0, longest=1000) -> Toolbox:
    tools = [as_tool(made, made.__name__) for made in functions]
    return Toolbox({tool.function.name: tool for tool in tools}, seconds, longest)


def test_a_function_is_described_by_its_signature_and_docstring():
    [tool] = box(order).functions
    assert tool.name == "order"
    assert tool.description == "Order something.\n\nnumber is how many."
    assert tool.parameters["required"] == ["number"]
    assert tool.parameters["properties"]["number"]["type"] == "integer"
    assert tool.parameters["properties"]["size"]["enum"] == ["small", "large"]
    assert box(greet).functions[0].parameters["type"] == "object"


async def test_results_are_text():
    tools = box(order, greet)
    assert json.loads(await tools.run("order", '{"number": 2}')) == {"number": 2, "size": "small", "extras": None}
    assert await tools.run("greet", '{"name": "Ada"}') == "Grüezi, Ada"


def fails(kind: str) -> str:
    """Fail."""
    raise {"key": KeyError, "own": type("OwnError", (BaseException,), {})}[kind]("no such thing")


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("order", "{", "not valid JSON"),
        ("order", "[1]", "must be a JSON object"),
        ("order", "{}", "number: Field required"),
        ("order", '{"number": "many"}', "number: Input should be a valid integer"),
        ("order", '{"number": 1, "colour": "red"}', "colour: Extra inputs are not permitted"),
        ("fails", '{"kind": "key"}', "KeyError: 'no such thing'"),
        ("nothing", "{}", "there is no function 'nothing'; there are: order, fails"),
    ],
)
async def test_what_goes_wrong_is_told(name, arguments, error):
    assert error in json.loads(await box(order, fails).run(name, arguments))["error"]


async def test_a_function_that_hangs_is_given_up():
    stopped, go = [], threading.Event()

    async def waits() -> None:
        """Wait."""
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(True)
            raise

    def blocks() -> None:
        """Block."""
        go.wait(60)

    tools = box(waits, blocks, seconds=0.05)
    assert "did not answer within 0.05 seconds" in await tools.run("waits", "{}")
    assert "did not answer within 0.05 seconds" in await tools.run("blocks", "{}")
    assert stopped == [True]
    go.set()


async def test_a_plain_function_does_not_hold_up_the_loop():
    go = threading.Event()

    def waits() -> str:
        """Wait."""
        return "done" if go.wait(5) else "late"

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(box(waits).run("waits", "{}"))
        await asyncio.sleep(0)
        go.set()
    assert waiting.result() == "done"


async def test_a_long_result_is_cut():
    def talks() -> str:
        """Talk."""
        return "x" * 500

    assert await box(talks, longest=100).run("talks", "{}") == "x" * 100 + "… (cut: 500 characters)"


def nameless(*given: int) -> None:
    """Take anything."""


def untyped(given) -> None:
    """Take something."""


def unspoken(given: threading.Lock) -> None:
    """Take what has no JSON."""


def silent() -> None:
    pass  # without a docstring


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (nameless, "has no name of its own"),
        (untyped, "'given' needs a type"),
        (unspoken, "cannot be written as JSON"),
        (silent, "needs a docstring"),
    ],
)
def test_a_function_that_a_model_could_not_call_is_refused(made, reason):
    with pytest.raises(ToolError, match=rf"shop:it.*{reason}"):
        as_tool(made, "shop:it")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("agent.tools.clock", "write it as module:function"),
        ("agent.tools.no_such:thing", "cannot be imported: No module named"),
        ("agent.tools.clock:no_such", "cannot be imported: .*no_such"),
        ("sys:path", "is not a function but list"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(reference, reason):
    with pytest.raises(ToolError, match=reason):
        function(reference)


def test_a_module_in_the_working_directory_is_found(tmp_path, monkeypatch):
    (tmp_path / "my_own_shop.py").write_text('def close(door: str) -> str:\n    "Close a door."\n    return door\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert function("my_own_shop:close").function.description == "Close a door."


async def test_the_clock():
    async with load(
        ToolSettings(functions=("agent.tools.clock:current_time", "agent.tools.clock:current_date"))
    ) as tools:
        assert (await tools.run("current_time", '{"time_zone": "UTC"}')).endswith(", UTC")
        assert await tools.run("current_time", "{}")
        assert len((await tools.run("current_date", '{"time_zone": "Asia/Tokyo"}')).split()) == 4
        assert "there is no time zone 'Mars'" in await tools.run("current_date", '{"time_zone": "Mars"}')


async def test_two_functions_of_one_name_are_refused():
    clock = "agent.tools.clock:current_time"
    with pytest.raises(ToolError, match="two functions are named 'current_time'"):
        async with load(ToolSettings(functions=(clock, clock))):
            pass


async def check_server(tools: Toolbox):
    assert [tool.name for tool in tools.functions] == ["add", "fail", "hang", "die", "odd_name"]
    add = tools.functions[0]
    assert add.description == "Add two numbers."
    assert add.parameters["required"] == ["a", "b"]
    assert await tools.run("add", '{"a": 2, "b": 3}') == "5"
    assert "broken door" in json.loads(await tools.run("fail", '{"reason": "broken door"}'))["error"]
    assert "error" in json.loads(await tools.run("add", '{"a": "many"}'))
    assert await tools.run("odd_name", "{}") == "strange"


async def test_an_mcp_server_that_is_started():
    pytest.importorskip("mcp")
    settings = ToolSettings(mcp=(MCPServer(command=SERVER, environment={"ODD": "strange"}),))
    async with load(settings) as tools:
        await check_server(tools)
        assert "did not answer within" in await replace(tools, seconds=0.5).run("hang", "{}")
        assert await tools.run("add", '{"a": 2, "b": 3}') == "5"
        assert "ended before it answered" in json.loads(await tools.run("die", "{}"))["error"]
        await comes_back(tools, says="not there at the moment")


async def comes_back(tools, says):
    """A server's functions say that they are not there, until they are."""
    complaints = set()
    async with asyncio.timeout(30):
        while (answer := await tools.run("add", '{"a": 2, "b": 3}')) != "5":
            complaints.add(json.loads(answer)["error"])
            await asyncio.sleep(0.02)
    assert [complaint for complaint in complaints if says in complaint], complaints


async def test_an_mcp_server_at_an_address(monkeypatch):
    pytest.importorskip("mcp")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("ODD", "strange")
    started = subprocess.Popen([*SERVER, str(port)], stderr=subprocess.DEVNULL)  # noqa: ASYNC220  it returns at once
    try:
        await asyncio.to_thread(answers, port)
        server = MCPServer(url=f"http://127.0.0.1:{port}/mcp", headers={"Authorization": "Bearer secret"})
        async with load(ToolSettings(mcp=(server,))) as tools:
            await check_server(tools)
        async with load(ToolSettings(mcp=(MCPServer(url=server.url, only=("add",)),))) as tools:
            assert [tool.name for tool in tools.functions] == ["add"]
            started.kill()
            started.wait()
            assert "error" in await tools.run("add", "{}")
            started = subprocess.Popen([*SERVER, str(port)], stderr=subprocess.DEVNULL)  # noqa: ASYNC220
            await comes_back(tools, says="")
    finally:
        started.kill()
        started.wait()


def answers(port: int) -> None:
    """Wait until somebody listens."""
    while True:
        with socket.socket() as caller:
            if caller.connect_ex(("127.0.0.1", port)) == 0:
                return


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (MCPServer(command=("/no/such/program",)), "cannot be used"),
        (MCPServer(command=(sys.executable, "-c", "print('hello')")), "cannot be used"),
        (MCPServer(url="http://127.0.0.1:9/mcp"), "cannot be used"),
        (MCPServer(command=SERVER, only=("add", "fly")), "has no function fly"),
    ],
)
async def test_an_mcp_server_that_cannot_be_used_is_told_at_the_start(server, reason):
    pytest.importorskip("mcp")
    with pytest.raises(ToolError, match=reason):
        async with load(ToolSettings(mcp=(server,))):
            pass


async def test_an_error_beside_an_mcp_server_stays_what_it_is():
    pytest.importorskip("mcp")
    with pytest.raises(OSError, match="port"):
        async with load(ToolSettings(mcp=(MCPServer(command=SERVER),))):
            raise OSError("port is taken")


@pytest.mark.parametrize("fields", [{}, {"command": ("x",), "url": "http://x"}])
def test_there_is_one_way_to_an_mcp_server(fields):
    with pytest.raises(ValueError, match="either a command or a url"):
        MCPServer(**fields)


async def test_a_timer_is_set_for_the_caller():
    asked = []
    async with load(ToolSettings(functions=("agent.tools.clock:set_timer",))) as tools:
        said = await tools.run("set_timer", '{"seconds": 60}', lambda *reminder: asked.append(reminder))
        assert said == "The timer is set to 60 seconds."
        assert asked == [(60.0, "Your timer is over.")]
        assert "error" in await tools.run("set_timer", '{"seconds": -1}', lambda *_: None)
        assert "error" in await tools.run("set_timer", '{"seconds": 60}')
        assert tools.functions[0].parameters["properties"]["seconds"]["maximum"] == 3600
