"""Clients that send anything, over real sockets to a running server: no crash, no stuck call, no lost answer, nothing left behind.

`PARLEY_FUZZ_EVENTS=10000 pytest tests/edge/test_fuzz_live.py` sends so many events over each transport; without it a few hundred.
"""

import asyncio
import gc
import itertools
import json
import os
import weakref
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import psutil
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.edge.channel import LABEL
from agent.edge.patches import offer_addresses
from agent.engine.scripted import ScriptedEngine
from tests.edge.test_fuzz import MESSAGE, check
from tests.serving import serving

EVENTS = int(os.environ.get("PARLEY_FUZZ_EVENTS", "300"))
BATCH = 10
MOST_GROWTH = 64 * 1024 * 1024
"""Bytes by which the process may grow after the first tenth: what one conversation may hold."""


class Client:
    """One end of a call: what it was sent, and how it sends."""

    def __init__(self, send):
        self.send = send
        self.sent = []
        self.news = asyncio.Event()

    def take(self, text):
        self.sent.append(json.loads(text))
        self.news.set()

    async def until(self, found):
        async with asyncio.timeout(20):
            while not found():
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def websocket(url):
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/v1/realtime", max_msg_size=0) as socket:
        client = Client(socket.send_str)

        async def read():
            async for message in socket:
                client.take(message.data)

        reading = asyncio.ensure_future(read())
        yield client
        reading.cancel()


@asynccontextmanager
async def webrtc(url):
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel, opened = connection.createDataChannel(LABEL), asyncio.Event()
    connection.addTransceiver("audio")
    channel.on("open", opened.set)

    async def send(text):
        while channel.bufferedAmount > 100_000:
            await asyncio.sleep(0.001)
        channel.send(text)

    client = Client(send)
    channel.on("message", client.take)
    with offer_addresses(["127.0.0.1"]):
        await connection.setLocalDescription(await connection.createOffer())
    async with aiohttp.ClientSession() as http:
        headers = {"Content-Type": "application/sdp"}
        async with http.post(
            f"{url}/v1/realtime/calls", data=connection.localDescription.sdp, headers=headers
        ) as answer:
            await connection.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
    await opened.wait()
    yield client
    await connection.close()


def still_open(sent):
    """Responses that have begun and not ended."""
    begun = {event["response"]["id"] for event in sent if event["type"] == "response.created"}
    return begun - {event["response"]["id"] for event in sent if event["type"] == "response.done"}


async def survives(client, messages, number):
    """Send a batch: the call still serves, and each answer that began has ended."""
    for text in messages:
        await client.send(text)
    mark = f"still here {number}"
    await client.send(json.dumps({"type": "session.update", "session": {"instructions": mark}}))
    await client.until(lambda: any(event.get("session", {}).get("instructions") == mark for event in client.sent))
    await client.until(lambda: not still_open(client.sent))
    assert sum(event["type"] == "error" for event in client.sent) <= len(messages)
    check(client.sent)
    client.sent.clear()


async def gone(server):
    async with asyncio.timeout(20):
        while server.calls:
            await asyncio.sleep(0.01)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("transport", [websocket, webrtc])
def test_a_call_over_real_sockets_survives_any_client(transport):
    numbers, sizes, process = itertools.count(1), [], psutil.Process()
    with asyncio.Runner() as runner:
        serves, calls = AsyncExitStack(), AsyncExitStack()
        engine = ScriptedEngine(["One two three."], first_token=0, per_token=0)
        server, url = runner.run(serves.enter_async_context(serving(engine)))
        client = runner.run(calls.enter_async_context(transport(url)))
        edge = weakref.ref(*server.calls.values())

        @given(st.lists(MESSAGE, min_size=BATCH, max_size=BATCH))
        @settings(max_examples=EVENTS // BATCH, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def batch(messages):
            runner.run(survives(client, messages, next(numbers)))
            sizes.append(process.memory_info().rss)

        batch()
        assert max(sizes) - sizes[len(sizes) // 10] < MOST_GROWTH
        runner.run(calls.aclose())
        runner.run(gone(server))
        runner.run(serves.aclose())
        assert asyncio.all_tasks(runner.get_loop()) == set()
        gc.collect()
        assert edge() is None, "nothing keeps a call that is over"
