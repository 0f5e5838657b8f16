"""Limits of a key: requests in a minute, calls at a time."""

import asyncio

import pytest
from aiohttp import web

from agent.http.limits import Limits
from agent.simulation.loop import run


def test_requests_are_limited_by_the_minute_and_key():
    async def ask():
        limits = Limits(calls=9, per_minute=3)
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
    limits, going_on = Limits(calls=2, per_minute=9), set()
    for call in ("a", "b"):
        limits.begin("alice", call, going_on)
        going_on.add(call)
    with pytest.raises(web.HTTPTooManyRequests, match="Too Many"):
        limits.begin("alice", "c", going_on)
    limits.begin("bob", "d", going_on)
    going_on.remove("a")
    limits.begin("alice", "c", going_on)


def test_without_a_key_nothing_is_counted():
    limits = Limits(calls=1, per_minute=1)
    for call in ("a", "b"):
        limits.begin("", call, {"a", "b"})
        limits.take("")
