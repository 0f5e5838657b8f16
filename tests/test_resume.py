"""Coming back to a call by HTTP: same session, same conversation; what is refused. The connections themselves: tests/edge."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiortc import RTCSessionDescription

from agent.audio import dbfs
from agent.edge import resume
from agent.engine.scripted import ScriptedEngine
from tests.edge.peers import offer
from tests.serving import serving
from tests.test_server import QUESTION, post

WORDS = "One two three four five six seven eight."
ENOUGH = 30.0


@asynccontextmanager
async def calling(url, token=resume.NEW):
    """A caller over a connection of his own, and the answer's headers."""
    connection, caller = await offer()
    try:
        async with aiohttp.ClientSession() as http:
            response = await http.post(
                f"{url}/v1/realtime/calls",
                data=connection.localDescription.sdp,
                headers={"Content-Type": "application/sdp", resume.HEADER: token},
            )
            assert response.status == 201, await response.text()
            await connection.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
            await caller.until(lambda: caller.started)
            yield caller, response.headers
    finally:
        await connection.close()


def events(caller, kind):
    return [event for _, event in caller.events if event["type"] == kind]


def seconds(caller):
    return 0.02 * sum(dbfs(sound.samples) > -40 for sound in caller.ear.sounds)


async def test_a_page_that_was_reloaded_in_the_middle_of_an_answer_hears_the_rest_and_has_the_history():
    async with asyncio.timeout(ENOUGH), serving(ScriptedEngine([WORDS, "Yes."])) as (server, url):
        async with calling(url) as (first, headers):
            token, place = headers[resume.HEADER], headers["Location"]
            first.mouth.say(QUESTION)
            await first.until(lambda: seconds(first) > 0.5 or None)
        async with calling(url, token) as (second, headers):
            assert headers["Location"] == place
            assert headers[resume.HEADER] != token
            trace = await second.until(lambda: (events(second, "parley.trace") or [None])[0])
            assert trace["status"] == "completed"
            assert trace["heard"] == WORDS
            await second.silence(0.2)
            assert seconds(first) + seconds(second) == pytest.approx(8 * 0.25, abs=0.5), "more exactly: tests/edge"
            kinds = [event["type"] for _, event in second.events]
            assert kinds[0] == "session.created"
            [created] = events(second, "session.created")
            assert created["session"]["id"] == place.rpartition("/")[2]
            shown = [event["item"]["role"] for event in events(second, "conversation.item.added")]
            assert shown == ["user", "assistant"]
            assert kinds.index("output_audio_buffer.started") < kinds.index("output_audio_buffer.stopped")
            answer = await second.ask(QUESTION, 10)
            assert answer.transcript == "Yes."
        assert len(server.calls) == 1, "it waits again"


async def test_what_opens_no_call_is_refused():
    async with asyncio.timeout(ENOUGH), serving() as (server, url):
        async with calling(url) as (caller, headers):
            token = headers[resume.HEADER]
            body = "v=0"
            for wrong in (token + "x", "rtc_0.x", token.partition(".")[0] + ".", "old"):
                status, error = await post(url, body, **{resume.HEADER: wrong})
                assert (status, error["code"]) == (404, "not_found")
            assert (await post(url, body, **{resume.HEADER: token}))[0] == 400
            caller._channel.close()
            while server.calls:
                await asyncio.sleep(0.01)
        status, _ = await post(url, body, **{resume.HEADER: token})
        assert status == 404, "the call is over"


async def test_a_token_does_not_stand_in_for_a_key():
    async with asyncio.timeout(ENOUGH), serving(key="secret") as (_, url):
        status, _ = await post(url, "v=0", **{resume.HEADER: "rtc_0.x"})
        assert status == 401


async def test_a_server_that_keeps_no_calls_gives_no_token():
    async with asyncio.timeout(ENOUGH), serving(resume_seconds=0) as (server, url):
        async with calling(url) as (_, headers):
            assert resume.HEADER not in headers
        while server.calls:
            await asyncio.sleep(0.01)
