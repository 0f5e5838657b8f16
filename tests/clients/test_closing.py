"""How a WebSocket ends, as a client sees it: the last event, and the code of the closing."""

import asyncio
import json

import aiohttp
import pytest

from agent.engine.scripted import ScriptedEngine
from tests.serving import serving


async def last_words(socket):
    """All events until the end, and its code."""
    async with asyncio.timeout(10):
        events = [json.loads(message.data) async for message in socket]
    return events, socket.close_code


@pytest.fixture
async def connect():
    async with aiohttp.ClientSession() as client:
        yield lambda url: client.ws_connect(f"{url}/v1/realtime?model=x")


async def test_a_call_that_lasted_as_long_as_it_may(connect):
    async with serving(call_seconds=0.3) as (_, url), connect(url) as socket:
        events, code = await last_words(socket)
    assert (events[-1]["error"]["code"], code) == ("session_expired", 1000)


async def test_a_bug_of_ours_ends_one_call_and_says_so(connect):
    def script(messages):
        raise ZeroDivisionError

    async with serving(ScriptedEngine(script)) as (server, url), connect(url) as socket, connect(url) as other:
        await other.receive_json()
        await socket.send_json({"type": "response.create"})
        events, code = await last_words(socket)
        assert (events[-1]["error"]["code"], events[-1]["error"]["type"], code) == (
            "internal_error",
            "server_error",
            1011,
        )
        await other.send_json({"type": "session.update", "session": {}})
        assert (await other.receive_json())["type"] == "session.updated"
        assert len(server.calls) == 1


async def test_a_server_that_stops(connect):
    async with serving() as (_, url):
        socket = await connect(url)
        await socket.receive_json()
        reading = asyncio.ensure_future(last_words(socket))
    assert (await reading)[1] == 1001


async def test_the_session_says_when_it_ends(connect):
    async with serving(call_seconds=100) as (_, url), connect(url) as socket:
        session = (await socket.receive_json())["session"]
    assert session["expires_at"] > 1_700_000_000
