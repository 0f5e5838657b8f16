"""`/traces`: history with filters, as JSON and CSV, and live; what a caller measures itself; when a server is ready."""

import asyncio
import csv
import io
import json
from contextlib import AsyncExitStack

import aiohttp
import pytest

from agent.traces.recent import BEHIND, MAX_FOLLOWERS
from agent.traces.trace import STAGES, Ear, Trace
from tests.serving import serving
from tests.test_routes import asking, error, until
from tests.test_server import ended


def turn(number=1, call="call_1", **fields):
    marks = {"speech_stopped": 1.0, "turn_ended": 1.4, "first_token": 1.5, "first_audio": 1.6, "playout_started": 1.61}
    return Trace(call, f"resp_{number}", "completed", marks, agent="reception", model="demo", **fields)


async def told(response, event):
    """The data of a stream's next event, which is of this kind."""
    while (line := (await response.content.readline()).decode()) in {"\n", ":\n"}:
        pass
    assert line == f"event: {event}\n"
    return json.loads((await response.content.readline()).decode().removeprefix("data: "))


async def tried(http):
    async with http.get("/traces/live") as response:
        return response.status


async def test_history_newest_last_filtered_and_limited():
    async with asking() as (server, http):
        for number in range(5):
            server.stages.traces.append(turn(number, f"call_{number % 2}"))
        rows = await (await http.get("/traces")).json()
        assert [row["response"] for row in rows] == [f"resp_{number}" for number in range(5)]
        assert rows[0]["v2v_ms"] == 610
        assert list(rows[0]["stages"]) == ["silence", "first_word", "voice", "sending"]
        rows = await (await http.get("/traces?call=call_0&limit=2")).json()
        assert [row["response"] for row in rows] == ["resp_2", "resp_4"]
        assert await (await http.get("/traces?limit=0")).json() == []
        assert await (await http.get("/traces?agent=other")).json() == []
        assert len(await (await http.get("/traces?agent=reception&model=demo&outcome=completed")).json()) == 5


async def test_a_further_key_sees_the_turns_of_its_calls_and_the_servers_own_those_of_all(tmp_path):
    async with asking(key="master", keys={"alice": "a-key", "bob": "b-key"}, record=tmp_path) as (server, http):
        of = {
            name: {"Authorization": f"Bearer {key}"}
            for name, key in (("master", "master"), ("alice", "a-key"), ("bob", "b-key"))
        }
        async with http.ws_connect("/v1/realtime", headers=of["alice"]) as socket:
            call = (await until(socket, "session.created"))["session"]["id"]
        await ended(server)
        server.stages.traces.append(turn(1, call))
        seen = {
            name: [row["call"] for row in await (await http.get("/traces", headers=key)).json()]
            for name, key in of.items()
        }
        assert seen == {"master": [call], "alice": [call], "bob": []}
        for name, key in of.items():
            async with http.get("/traces/live", headers=key) as stream:
                await told(stream, "budget")
                assert [row["call"] for row in await told(stream, "history")] == seen[name]
        messages = {}
        for name, key in of.items():
            status, details = await error(await http.get(f"/traces/{call}/resp_1.wav", headers=key))
            assert status == 404
            messages[name] = details["message"]
        assert messages["alice"] == messages["master"] != messages["bob"]


async def test_a_server_that_records_nothing_says_so():
    async with asking() as (_, http):
        status, details = await error(await http.get("/traces/call_1/resp_1.wav"))
        assert status == 404
        assert "--record" in details["message"]


@pytest.mark.parametrize(
    ("query", "param"), [("limit=-1", "limit"), ("colour=red", "colour"), ("format=xml", "format")]
)
async def test_filters_that_there_are_not(query, param):
    async with asking() as (_, http):
        status, details = await error(await http.get(f"/traces?{query}"))
        assert (status, details["param"]) == (400, param)


async def test_as_a_table():
    async with asking() as (server, http):
        trace = turn(media={"lost_packets": 3, "underruns": 1}, withdrawn=({"started": 0.5, "done": 0.7},))
        assert trace.report(0.9, 1.7, Ear(clock_error_ms=0.4, packets_lost=2))
        server.stages.traces.append(trace)
        response = await http.get("/traces?format=csv")
        assert response.content_type == "text/csv"
        assert "turns.csv" in response.headers["Content-Disposition"]
        [row] = csv.DictReader(io.StringIO(await response.text()))
        assert (row["v2v_ms"], row["measured"], row["network_ms"]) == ("800.0", "ear", "90.0")
        assert (row["lost_packets"], row["packets_lost"], row["withdrawn"], row["underruns"]) == ("3", "2", "1", "1")
        assert all(f"{stage}_ms" in row for stage in STAGES)


async def test_live_after_the_history_without_a_gap():
    async with asking() as (server, http):
        server.stages.traces.append(turn(1))
        async with http.get("/traces/live?call=call_1") as stream:
            assert (await told(stream, "budget"))["voice_to_voice"] == 800
            assert [row["response"] for row in await told(stream, "history")] == ["resp_1"]
            server.stages.traces.tell(turn(9, "call_2"))
            server.stages.traces.append(turn(2))
            assert (await told(stream, "turn"))["response"] == "resp_2"


async def test_a_listener_that_does_not_read_is_told_and_dropped():
    async with asking() as (server, http), http.get("/traces/live") as stream:
        await told(stream, "budget")
        await told(stream, "history")
        for number in range(BEHIND + 1):
            server.stages.traces.tell(turn(number))
        assert await told(stream, "behind") is None
        assert await stream.content.read() == b"\n"


async def test_too_many_listeners_are_refused_and_a_place_is_free_again():
    async with asking() as (server, http):
        async with AsyncExitStack() as streams:
            for _ in range(MAX_FOLLOWERS):
                await streams.enter_async_context(http.get("/traces/live"))
            async with http.get("/traces/live") as refused:
                assert refused.status == 503
        async with asyncio.timeout(5):
            while (status := await tried(http)) == 503:
                server.stages.traces.tell(turn())  # a listener's absence is noticed when something is sent
        assert status == 200


async def test_the_stream_ends_with_the_server():
    async with aiohttp.ClientSession() as http:
        async with serving() as (_, url):
            stream = await http.get(f"{url}/traces/live")
            await told(stream, "budget")
            await told(stream, "history")
        assert await told(stream, "behind") is None
        stream.close()


async def test_a_key_guards_history_and_stream():
    async with asking(key="master") as (_, http):
        for path in ("/traces", "/traces/live"):
            assert (await http.get(path)).status == 401
            async with http.get(path, headers={"Authorization": "Bearer master"}) as response:
                assert response.status == 200


async def test_alive_and_ready():
    async with asking(key="master", max_calls=1) as (server, http):
        assert (await http.get("/healthz")).status == (await http.get("/readyz")).status == 200
        with server.room():
            assert (await http.get("/readyz")).status == 503
        assert (await http.get("/readyz")).status == 200
        server.draining = True
        assert (await http.get("/readyz")).status == 503
        assert (await http.get("/healthz")).status == 200
