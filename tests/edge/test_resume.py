"""A call outlives its peer connection: the caller comes back over another one, and the agent goes on from the last word heard."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aiortc import RTCSessionDescription

from agent.audio import Speech, Word, dbfs
from agent.edge import Returned, connections, resume
from agent.edge.link import Reach
from agent.edge.sdp import OfferError
from agent.edge.watch import SILENT_SECONDS, Watch
from agent.realtime.client_events import ResponseCancel
from agent.realtime.events import OutputAudioBuffer, SessionCreated
from agent.realtime.objects import SessionObject
from agent.simulation.loop import run
from tests.edge.peers import LOOPBACK, connected, footprint, offer, tone, vanish

ENOUGH = 20.0
SESSION = SessionCreated(session=SessionObject(id="call", model="m", instructions=""))


@asynccontextmanager
async def returned(edge):
    """The caller, over another connection."""
    connection, caller = await offer()
    try:
        sdp = await edge.connections.answer(connection.localDescription.sdp, Reach(addresses=LOOPBACK))
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await caller.until(lambda: caller.started)
        while edge.connections._next:  # our end is up a little later
            await asyncio.sleep(0.01)
        yield caller, connection
    finally:
        await connection.close()


def loud(caller) -> float:
    """Seconds of speech that a caller heard."""
    return 0.02 * sum(dbfs(sound.samples) > -25 for sound in caller.ear.sounds)


async def silent(edge) -> None:
    """Wait until the agent has fallen silent, because nobody hears it."""
    while not edge.speaker._held:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["vanished", "closed", "still there"])
async def test_speech_goes_on_where_it_was_heard_last(how):
    async with asyncio.timeout(ENOUGH), connected(waits=10) as (edge, first, connection):
        await edge.speaker.write(Speech(tone(2.0), 48_000, (Word(48_000, 5), Word(96_000, 9))))
        await first.until(lambda: loud(first) > 0.5 or None)
        match how:
            case "vanished":
                vanish(connection)
                await silent(edge)
            case "closed":
                await connection.close()
                await silent(edge)
            case "still there":
                pass
        async with returned(edge) as (second, _):
            await edge.speaker.drained()
            await second.silence(0.2)
            heard = loud(first) + loud(second)
            print(f"{how}: heard {loud(first):.2f} s and {loud(second):.2f} s")
            assert loud(second) > 0.5
            assert heard == pytest.approx(2.0, abs=0.3), "neither lost nor said twice"
            assert edge.speaker.clear().text == 9


async def test_a_caller_who_never_comes_back_has_heard_what_he_was_sent_while_he_was_there():
    async with asyncio.timeout(ENOUGH), connected(waits=0.3) as (edge, caller, connection):
        await edge.speaker.write(Speech(tone(1.5), 48_000, (Word(24_000, 5), Word(72_000, 9))))
        await caller.until(lambda: loud(caller) > 0.8 or None)
        await connection.close()
        async for _ in edge.frames():
            pass
        heard = edge.speaker.clear()
        assert heard.text == 5
        assert heard.seconds == pytest.approx(loud(caller), abs=0.1)


async def test_the_microphone_goes_on_and_nothing_is_heard_between():
    async with asyncio.timeout(ENOUGH), connected(waits=10) as (edge, _, connection):
        frames = edge.frames()
        await anext(frames)
        await connection.close()
        await silent(edge)
        while edge.microphone._queue.qsize():
            await anext(frames)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await anext(edge.frames())
        async with returned(edge) as (caller, _):
            caller.mouth.say(tone(0.3))
            async for frame in edge.frames():
                if dbfs(frame.samples) > -25:
                    assert abs(frame.time - asyncio.get_running_loop().time()) < 0.5
                    break
        assert edge.media.received.received > 0


async def test_the_client_is_told_nothing_before_the_session_and_everything_after():
    async with asyncio.timeout(ENOUGH), connected(waits=10) as (edge, _, connection):
        edge.send(SESSION)
        await connection.close()
        await silent(edge)
        edge.send(OutputAudioBuffer(type="output_audio_buffer.stopped", response_id="missed"))
        async with returned(edge) as (caller, _):
            assert await anext(edge.events()) == Returned()
            edge.send(OutputAudioBuffer(type="output_audio_buffer.stopped", response_id="too early"))
            edge.send(SESSION)
            edge.send(OutputAudioBuffer(type="output_audio_buffer.stopped", response_id="told"))
            await caller.until(lambda: len(caller.events) == 2 or None)
            assert [event.get("response_id") for _, event in caller.events] == [None, "told"]
            caller.send({"type": "response.cancel"})
            assert isinstance(await anext(edge.events()), ResponseCancel)


async def test_a_call_that_may_not_be_resumed_ends_with_its_connection():
    async with asyncio.timeout(ENOUGH), connected() as (edge, _, connection):
        assert edge.connections.tokens.newest is None
        await connection.close()
        async for _ in edge.frames():
            pass


async def test_closing_the_channel_is_a_hang_up():
    async with asyncio.timeout(ENOUGH), connected(waits=60) as (edge, caller, _):
        await caller.until(lambda: caller._channel.readyState == "open" or None)
        token = edge.connections.tokens.newest
        assert token is not None
        caller._channel.close()
        async for _ in edge.frames():
            pass
        assert not edge.connections.tokens.accepts(token)


async def test_a_token_is_good_until_a_later_one_was_used():
    async with asyncio.timeout(ENOUGH), connected(waits=60) as (edge, _, connection):
        first = edge.connections.tokens.newest
        assert first is not None
        assert resume.call_of(first) == "call"
        await connection.close()
        lost, _ = await offer()
        await edge.connections.answer(lost.localDescription.sdp, Reach(addresses=LOOPBACK))  # the answer gets lost
        await lost.close()
        assert edge.connections.tokens.accepts(first)
        async with returned(edge):
            second = edge.connections.tokens.newest
            assert second is not None
            assert edge.connections.tokens.accepts(second)
            for wrong in (first, "call.", second[:-1], second + "x", "", "call.\udcff"):
                assert not edge.connections.tokens.accepts(wrong)


async def test_an_attempt_that_fails_leaves_the_call_as_it_is(monkeypatch):
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.2)
    async with asyncio.timeout(ENOUGH), connected(waits=60) as (edge, caller, _):
        with pytest.raises(OfferError):
            await edge.connections.answer("v=0", Reach(addresses=LOOPBACK))
        other, _ = await offer()
        await edge.connections.answer(other.localDescription.sdp, Reach(addresses=LOOPBACK))
        await asyncio.sleep(0.4)
        await edge.speaker.write(Speech(tone(0.2), 48_000))
        await caller.until(lambda: loud(caller) > 0.1 or None)
        await other.close()


async def test_coming_and_going_leaves_nothing_behind():
    async with asyncio.timeout(ENOUGH), connected(waits=60) as (edge, _, _):
        async with returned(edge):
            await asyncio.sleep(0.2)
        before = None
        for _ in range(6):
            async with returned(edge):
                await asyncio.sleep(0.2)
                before = before or footprint()
                assert footprint() <= tuple(number + 2 for number in before)


class Speaker:
    """Notes what it is told."""

    def __init__(self):
        self.held = []

    def hold(self, since):
        self.held.append(since)

    def go_on(self):
        self.held.append(None)


def test_the_watch_holds_the_speech_while_nothing_comes():
    async def watch() -> list:
        loop, speaker = asyncio.get_running_loop(), Speaker()
        start = loop.time()
        line = SimpleNamespace(heard=start, reached=start - 0.1)
        watching = Watch(speaker, line)
        await asyncio.sleep(SILENT_SECONDS + 0.6)
        line.heard = loop.time()
        await asyncio.sleep(0.6)
        watching.stop()
        told = len(speaker.held)
        await asyncio.sleep(2)
        assert len(speaker.held) == told
        return [since if since is None else since - start for since in speaker.held]

    assert run(watch()) == [None, None, None, pytest.approx(-0.1), None]


def test_a_stall_of_our_own_is_no_silence_of_the_callers():
    async def watch() -> list:
        speaker = Speaker()
        watching = Watch(speaker, SimpleNamespace(heard=-100.0, reached=-100.0))
        due = asyncio.get_running_loop().time()
        watching._look(due - 1.0)
        assert speaker.held == []
        watching._look(due)
        watching.stop()
        return speaker.held

    assert run(watch()) == [-100.0]
