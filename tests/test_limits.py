"""Limits of a key: requests and events in a minute, calls at a time."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from agent.http.keys import OWNER, Grant
from agent.http.limits import Limits
from agent.realtime.objects import EventError
from agent.simulation.loop import run
from tests.serving import serving


def test_requests_are_limited_by_the_minute_and_key():
    async def ask():
        limits = Limits(calls=9, per_minute=3, events_per_minute=9)
        for _ in range(3):
            limits.take("alice")
        limits.take("bob")
        with pytest.raises(web.HTTPTooManyRequests) as refused:
            limits.take("alice")
        assert refused.value.headers["Retry-After"] == "20"
        await asyncio.sleep(20)
        limits.take("alice")
        with pytest.raises(web.HTTPTooManyRequests):
            limits.take("alice")
        await asyncio.sleep(3600)
        for _ in range(3):
            limits.take("alice")
        with pytest.raises(web.HTTPTooManyRequests):
            limits.take("alice")

    run(ask())


def test_calls_are_limited_at_a_time():
    limits, going_on = Limits(calls=2, per_minute=9, events_per_minute=9), set()
    for call in ("a", "b"):
        with limits.begin("alice", call, going_on):
            going_on.add(call)
    with pytest.raises(web.HTTPTooManyRequests, match="Too Many"), limits.begin("alice", "c", going_on):
        pass
    with limits.begin("bob", "d", going_on):
        pass
    going_on.remove("a")
    with limits.begin("alice", "c", going_on):
        pass


def test_calls_that_begin_at_the_same_time_count_and_stay_their_keys():
    """While the first call's offer is answered, it is not going on yet."""
    limits, going_on = Limits(calls=2, per_minute=9, events_per_minute=9), set()
    with limits.begin("alice", "a", going_on), limits.begin("alice", "b", going_on):
        with pytest.raises(web.HTTPTooManyRequests), limits.begin("alice", "c", going_on):
            pass
        going_on |= {"a", "b"}
    assert [limits.reaches(Grant({}, whole=True, holder="alice"), call) for call in "abc"] == [True, True, False]
    assert not limits.reaches(Grant({}, whole=True, holder="bob"), "a")


def test_a_call_that_came_to_nothing_is_not_counted():
    limits = Limits(calls=1, per_minute=9, events_per_minute=9)
    with pytest.raises(OSError, match="no port"), limits.begin("alice", "a", ()):
        raise OSError("no port")
    with limits.begin("alice", "b", ()):
        pass


def test_without_a_key_nothing_is_counted():
    limits = Limits(calls=1, per_minute=1, events_per_minute=1)
    for call in ("a", "b"):
        with limits.begin("", call, {"a", "b"}):
            limits.take("")
        limits.take_event("")
        limits.take_event("")
    assert limits.reaches(Grant({}, whole=True), "a")


def test_the_servers_own_key_reaches_all_calls_and_its_secrets_their_own():
    limits = Limits(calls=9, per_minute=9, events_per_minute=9)
    for holder, call in (("alice", "a"), (OWNER, "b")):
        with limits.begin(holder, call, ()):
            pass
    assert [limits.reaches(Grant({}, whole=True, holder=OWNER), call) for call in "ab"] == [True, True]
    assert [limits.reaches(Grant({}, whole=False, holder=OWNER), call) for call in "ab"] == [False, True]


def test_calls_that_are_over_are_forgotten_in_the_end(monkeypatch):
    monkeypatch.setattr("agent.http.limits.REMEMBERED", 3)
    limits, alice = Limits(calls=9, per_minute=9, events_per_minute=9), Grant({}, whole=True, holder="alice")
    for call in "abcde":
        with limits.begin("alice", call, {"a"}):
            pass
    assert [call for call in "abcde" if limits.reaches(alice, call)] == ["a", "d", "e"]


def test_events_are_limited_over_all_calls_of_a_key():
    async def send():
        limits = Limits(calls=9, per_minute=9, events_per_minute=60)
        for _ in range(60):
            limits.take_event("alice")
        limits.take_event("bob")
        with pytest.raises(EventError, match="in 1 s"):
            limits.take_event("alice")
        with pytest.raises(web.HTTPTooManyRequests) as refused:
            limits.take("alice")
        assert refused.value.headers["Retry-After"] == "1"
        await asyncio.sleep(1.5)
        limits.take("alice")
        limits.take_event("alice")
        with pytest.raises(EventError):
            limits.take_event("alice")

    run(send())


async def test_a_flood_of_events_is_answered_and_the_call_goes_on():
    key = {"Authorization": "Bearer secret"}
    async with serving(key="secret", key_events=5) as (_, url), aiohttp.ClientSession(headers=key) as http:
        async with http.ws_connect(f"{url}/v1/realtime") as socket:
            assert (await socket.receive_json())["type"] == "session.created"
            for number in range(5):
                await socket.send_str("{" if number else '{"type": "input_audio_buffer.clear"}')
            audio = {"type": "input_audio_buffer.append", "audio": ""}
            await socket.send_json({"type": "input_audio_buffer.clear", "event_id": "mine"})
            await socket.send_json(audio)
            answers = [await socket.receive_json() for _ in range(6)]
            codes = [answer.get("error", {}).get("code") for answer in answers]
            assert sorted(codes, key=str) == [None, *["invalid_json"] * 4, "rate_limit_exceeded"]
            assert [each["error"].get("event_id") for each in answers if "error" in each][-1] == "mine"
            async with http.get(f"{url}/v1/models") as other:
                assert other.status == 200, "what costs nothing is not limited"
            async with http.post(f"{url}/v1/realtime/client_secrets") as refused:
                assert refused.status == 429
                assert 1 <= int(refused.headers["Retry-After"]) <= 12
