"""The HTTP side over real sockets on loopback, with a scripted engine: what is served, what is refused, what is left behind."""

import asyncio
import gc
import json
import threading
from pathlib import Path

import aiohttp
import numpy as np
import psutil
import pytest

from agent.audio import Resampler
from agent.caller.peer import CallError, call
from agent.config import Settings
from agent.engine.scripted import ScriptedEngine
from agent.http.routes import MAX_BODY_BYTES
from agent.server import Server
from agent.simulation.sound import LevelVAD, ToneVoice, tone
from agent.stages import Stages
from tests.serving import serving

QUESTION = np.concatenate([np.zeros(4800, np.int16), Resampler(16_000, 48_000)(tone(0.5), last=True)])


TURN = {"urls": "turn:127.0.0.1:9", "username": "u", "credential": "c"}


async def post(url, body, content_type="application/sdp", **headers):
    async with aiohttp.ClientSession() as http:
        response = await http.post(
            f"{url}/v1/realtime/calls", data=body, headers={"Content-Type": content_type, **headers}
        )
        return response.status, (await response.json())["error"]


async def get(url, path, **headers):
    async with aiohttp.ClientSession() as http, http.get(f"{url}{path}", headers=headers) as response:
        return response, await response.text()


async def test_a_spoken_question_is_answered():
    async with serving() as (_server, url), call(url) as caller:
        turn = await caller.ask(QUESTION, 10)
        assert turn.transcript == "Hello there."
        assert turn.v2v_ms > 500
        assert turn.audio_ms == pytest.approx(500, abs=60)
        [trace] = json.loads((await get(url, "/traces"))[1])
        assert trace["status"] == "completed"
        assert trace["marks"] == turn.marks
        needed = [
            "speech_stopped",
            "started",
            "prefill_done",
            "first_token",
            "first_chunk",
            "first_audio",
            "turn_ended",
            "playout_started",
            "done",
        ]
        assert set(needed) <= set(trace["marks"])


@pytest.mark.parametrize(
    ("body", "content_type", "status", "says"),
    [
        ("hello", "application/sdp", 400, "SDP"),
        ("", "application/sdp", 400, "SDP"),
        ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", "application/sdp", 400, "media sections"),
        (b"\xff\xfe\x00" * 100, "application/sdp", 400, "SDP"),
        ("v=0\r\n" + "a=x\r\n" * (MAX_BODY_BYTES // 4), "application/sdp", 413, "524288"),
        ("v=0", "text/plain", 415, "application/sdp"),
    ],
)
async def test_a_bad_offer_is_refused_and_others_do_not_notice(body, content_type, status, says):
    async with serving() as (server, url), call(url) as caller:
        got, error = await post(url, body, content_type)
        assert got == status
        assert says in error["message"]
        assert error["type"] == "invalid_request_error"
        assert len(server.calls) == 1
        assert (await caller.ask(QUESTION, 10)).transcript == "Hello there."


async def test_a_thousand_bad_offers_leave_nothing():
    async with serving() as (server, url):
        async with aiohttp.ClientSession() as http:
            for number in range(1000):
                headers = {"Content-Type": "application/sdp"}
                async with http.post(
                    f"{url}/v1/realtime/calls", data=f"v=0\r\nm=audio {number}\r\n", headers=headers
                ) as response:
                    assert response.status == 400
        assert server.calls == {}


async def test_a_full_server_refuses_the_next_call_and_says_so():
    async with serving(max_calls=1) as (server, url):
        async with call(url) as caller:
            with pytest.raises(CallError, match="full"):
                async with call(url):
                    pass
            assert (await caller.ask(QUESTION, 10)).transcript == "Hello there."
        await ended(server)
        async with call(url):
            pass


async def test_offers_at_the_same_time_do_not_overfill_the_server():
    async def attempt(url):
        try:
            async with call(url):
                await asyncio.sleep(0.5)
        except CallError:
            return "refused"
        return "taken"

    async with serving(max_calls=2) as (_, url):
        assert sorted(await asyncio.gather(*(attempt(url) for _ in range(6)))) == ["refused"] * 4 + ["taken"] * 2


async def test_hanging_up_by_http():
    async with serving() as (server, url), call(url):
        [call_id] = server.calls
        async with aiohttp.ClientSession() as http:
            assert (await http.delete(f"{url}/v1/realtime/calls/{call_id}")).status == 204
            await ended(server)
            assert (await http.delete(f"{url}/v1/realtime/calls/{call_id}")).status == 404


async def test_a_key_is_wanted_where_one_is_set():
    async with serving(key="secret", ice_servers=[TURN]) as (_, url):
        assert (await get(url, "/traces"))[0].status == 401
        assert (await get(url, "/traces", Authorization="Bearer wrong"))[0].status == 401
        assert (await get(url, "/traces", Authorization="Bearer secret"))[0].status == 200
        assert "ice_servers" not in json.loads((await get(url, "/v1/parley"))[1])
        described = json.loads((await get(url, "/v1/parley", Authorization="Bearer secret"))[1])
        assert described["ice_servers"] == [TURN]
        with pytest.raises(CallError, match="Authorization"):
            async with call(url):
                pass
        async with call(url, "secret") as caller:
            assert (await caller.ask(QUESTION, 10)).transcript == "Hello there."


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "10.0.0.1", "localhost.evil.example"])
async def test_a_name_that_was_made_to_resolve_here_is_refused_without_a_key(host):
    async with serving() as (_, url):
        assert (await get(url, "/traces", Host=host))[0].status == 403
        assert (await get(url, "/traces", Host="[::1]:80"))[0].status == 200


async def test_the_page_loads_nothing_from_elsewhere():
    async with serving() as (_, url):
        response, text = await get(url, "/")
        assert response.status == 200
        assert "<title>" in text
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert json.loads((await get(url, "/v1/parley"))[1])["suggestions"] == ["Who are you?"]
        assert (await get(url, "/no-such-page"))[0].status == 404
        assert (await get(url, "/../pyproject.toml"))[0].status == 404


async def test_a_port_in_use_is_an_error():
    async with serving() as (_, url):
        with pytest.raises(OSError, match="address already in use"):
            await Server(
                Settings(port=int(url.rsplit(":", 1)[1])), Stages(ScriptedEngine([""]), ToneVoice()), LevelVAD
            ).run(print)


async def test_a_bug_in_one_call_ends_that_call_alone():
    class Broken:
        name = "broken"
        rate = 16_000

        async def synthesize(self, text, speed=1.0):
            if "boom" in text:
                raise ZeroDivisionError
            async for speech in ToneVoice().synthesize(text):
                yield speech

    replies = iter(["boom", "Fine."])
    async with serving(ScriptedEngine(lambda _: next(replies), first_token=0), Broken()) as (_server, url):
        async with call(url) as other:
            async with call(url) as caller:
                with pytest.raises(CallError):
                    await caller.ask(QUESTION, 10)
            assert (await other.ask(QUESTION, 10)).transcript == "Fine."


async def test_stopping_the_server_ends_its_calls():
    async with serving() as (server, url):
        caller = call(url)
        connected = await caller.__aenter__()
    assert server.calls == {}
    with pytest.raises(CallError):
        await connected.until(lambda: None)
    await caller.__aexit__(None, None, None)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_two_hundred_calls_leave_nothing_behind():
    async with serving() as (server, url):
        await short_calls(server, url, 5)
        process, before = psutil.Process(), left()
        await short_calls(server, url, 100)
        half = process.memory_info().rss
        await short_calls(server, url, 100)
        assert left() == before
        # What a call costs for good would show 100 times; allocators need some air.
        assert process.memory_info().rss - half < 100 * 40_000


async def short_calls(server, url, count):
    for number in range(count):
        async with call(url) as caller:
            if number % 20 == 0:
                await caller.ask(QUESTION, 10)
        await ended(server)
    await asyncio.sleep(1)
    gc.collect()


async def ended(server):
    async with asyncio.timeout(15):
        while server.calls:
            await asyncio.sleep(0.01)


def left():
    """Threads, tasks and open files of this process."""
    return threading.active_count(), len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))
