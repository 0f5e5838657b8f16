"""The edge of a WebSocket call in virtual time, on a socket that is a list: order, media time, audio both ways, bounds."""

import asyncio
import base64
import functools
import json
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest
from aiohttp import WSMessage, WSMsgType

from agent import g711
from agent.audio import Resampler, Speech, Word, dbfs
from agent.edge import Heard
from agent.edge.mailbox import MAX_WAITING_EVENTS
from agent.edge.websocket import AHEAD_BYTES, CLOSE_SECONDS, MAX_EVENT_BYTES, WebSocketEdge
from agent.realtime import events
from agent.realtime.objects import G711, PCM, AudioInput, SessionAudio, SessionObject
from agent.realtime.responses import AudioPart, Response, ResponseAudio, ResponseAudioOutput, TextPart
from agent.simulation.loop import run
from agent.simulation.sound import tone

COMMIT = '{"type":"input_audio_buffer.commit"}'
UPDATE = '{"type":"session.update","session":{}}'


class Line:
    """A socket: what the client says is put in, what it is sent stands in `sent`."""

    def __init__(self):
        self.sent = []
        self.closed = False
        self.reads = asyncio.Event()
        self.reads.set()
        self._said = asyncio.Queue()

    def say(self, *texts):
        for text in texts:
            self._said.put_nowait(WSMessage(WSMsgType.TEXT, text, None))

    def say_bytes(self, data):
        self._said.put_nowait(WSMessage(WSMsgType.BINARY, data, None))

    def vanish(self):
        self._said.put_nowait(None)

    @property
    def unread(self):
        return self._said.qsize()

    async def __aiter__(self):
        while message := await self._said.get():
            yield message

    async def send_str(self, data):
        await self.reads.wait()
        if self.closed:
            raise ConnectionResetError
        self.sent.append(json.loads(data))

    async def close(self, *, code):
        self.closed = code
        self.vanish()

    def types(self):
        return [event["type"] for event in self.sent]

    def audio(self, law=None):
        """All that was sent, as samples."""
        data = b"".join(base64.b64decode(event["delta"]) for event in self.sent if "audio.delta" in event["type"])
        return g711.decode(data, law) if law else np.frombuffer(data, "<i2")


@asynccontextmanager
async def connected():
    """An edge that runs, its socket, and all that its session has got from it, in order."""
    line, got = Line(), []
    edge = WebSocketEdge(line, lambda: got.append("aborted"))

    async def hear():
        async for frame in edge.frames():
            got.append(frame)  # noqa: PERF401  a test looks before the end

    async def obey():
        async for event in edge.events():
            got.append(event.type)  # noqa: PERF401

    async with asyncio.TaskGroup() as tasks:
        for each in (edge.run(), hear(), obey()):
            tasks.create_task(each)
        yield edge, line, got
        await edge.close()


def append(samples, law=None):
    data = g711.encode(samples, law) if law else samples.astype("<i2").tobytes()
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()})


def at(rate, seconds):
    return Resampler(16_000, rate)(tone(seconds), last=True)


def session(form=None):
    audio = SessionAudio(input=AudioInput(format=form or PCM()))
    return events.SessionUpdated(session=SessionObject(id="s", model="m", instructions="", audio=audio))


def opened(edge, item="item_1"):
    edge.send(events.ContentPartAdded(response_id="resp_1", item_id=item, part=AudioPart()))


def frames(got):
    return [each for each in got if not isinstance(each, str)]


def in_virtual_time(test):
    @functools.wraps(test)
    def wrapped(*args, **fields):
        run(test(*args, **fields))

    return wrapped


# What the client says.


@in_virtual_time
async def test_a_burst_of_audio_becomes_frames_without_time():
    async with connected() as (_, line, got):
        await asyncio.sleep(1)
        line.say(append(at(24_000, 60)))
        await asyncio.sleep(0.001)
        assert len(frames(got)) in {2999, 3000}
        heard = np.concatenate([frame.samples for frame in frames(got)])
        assert dbfs(heard) == pytest.approx(dbfs(tone(1)), abs=0.1)
        times = np.array([frame.time for frame in frames(got)])
        assert np.allclose(np.diff(times), 0.02)
        assert times[-1] == pytest.approx(1, abs=0.021)


@in_virtual_time
async def test_media_time_stands_still_while_nothing_is_appended():
    async with connected() as (_, line, got):
        line.say(append(at(24_000, 0.1)))
        await asyncio.sleep(100)
        assert len(frames(got)) in {4, 5}


@in_virtual_time
async def test_events_and_audio_are_taken_in_their_order():
    async with connected() as (_, line, got):
        line.say(append(at(24_000, 0.2)), UPDATE, append(at(24_000, 0.1)), COMMIT, UPDATE, append(at(24_000, 0.1)))
        await asyncio.sleep(0.1)
        kinds = [each if isinstance(each, str) else "frame" for each in got]
        # 0.2 s are 10 frames, of which the resampler holds back 1 ms; the commit fills up the last of 0.3 s.
        assert kinds == [
            *["frame"] * 9,
            "session.update",
            *["frame"] * 6,
            "input_audio_buffer.commit",
            "session.update",
            *["frame"] * len(kinds[18:]),
        ]
        assert len(kinds) in {22, 23}


@pytest.mark.parametrize("law", ["audio/pcmu", "audio/pcma"])
@in_virtual_time
async def test_telephone_audio_is_heard_from_the_update_on(law):
    async with connected() as (edge, line, got):
        edge.send(session(G711(type=law)))
        line.say(append(at(8_000, 1), law))
        await asyncio.sleep(0.1)
        heard = np.concatenate([frame.samples for frame in frames(got)])
        assert heard.size / 16_000 == pytest.approx(1, abs=0.021)
        assert dbfs(heard) == pytest.approx(dbfs(tone(1)), abs=0.3)


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        ("{", "invalid_json", None),
        ("[]", "invalid_event", None),
        ('{"type":"no.such.event","event_id":"e1"}', "invalid_value", "type"),
        ('{"type":"input_audio_buffer.append","event_id":"e1"}', "missing_required_parameter", "audio"),
        ('{"type":"input_audio_buffer.append","event_id":"e1","audio":7}', "invalid_value", "audio"),
        ('{"type":"input_audio_buffer.append","event_id":"e1","audio":"?"}', "invalid_value", "audio"),
        ('{"type":"input_audio_buffer.append","event_id":"e1","audio":"AAAA"}', "invalid_value", "audio"),
        ('{"type":"' + "x" * MAX_EVENT_BYTES + '"}', "event_too_large", None),
    ],
    ids=lambda value: str(value)[:40],
)
@in_virtual_time
async def test_a_broken_event_is_answered_and_the_call_goes_on(text, code, param):
    async with connected() as (_, line, got):
        line.say(text, UPDATE)
        await asyncio.sleep(0.1)
        [error] = line.sent
        details = error["error"]
        assert (error["type"], details["code"]) == ("error", code)
        assert (details["param"] or "").endswith(param or "")
        assert details.get("event_id") == ("e1" if "e1" in text else None)
        assert got == ["session.update"]


@in_virtual_time
async def test_binary_messages_are_refused():
    async with connected() as (_, line, got):
        line.say_bytes(b"\0\0")
        await asyncio.sleep(0.1)
        assert line.sent[0]["error"]["code"] == "invalid_event"
        assert got == []


@in_virtual_time
async def test_a_client_is_not_read_faster_than_its_session_takes():
    line = Line()
    edge = WebSocketEdge(line, lambda: None)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(edge.run())
        line.say(*[UPDATE] * 10_000)
        await asyncio.sleep(1)
        assert line.unread == 10_000 - MAX_WAITING_EVENTS
        taken = [event.type async for event in edge.events() if line.unread or edge.hang_up()]
        assert len(taken) >= 10_000 - MAX_WAITING_EVENTS


# What the client hears.


@in_virtual_time
async def test_speech_is_sent_at_once_in_pieces_that_add_up():
    async with connected() as (edge, line, _):
        opened(edge)
        await edge.speaker.write(Speech(tone(3), 16_000, (Word(16_000, 3), Word(48_000, 7))))
        edge.send(events.OutputAudioDone(response_id="resp_1", item_id="item_1"))
        await edge.speaker.drained()
        assert asyncio.get_running_loop().time() == 0
        assert await edge.speaker.started() == 0
        await asyncio.sleep(0.1)
        assert line.types() == [
            "response.content_part.added",
            *["response.output_audio.delta"] * (len(line.sent) - 2),
            "response.output_audio.done",
        ]
        assert {event["item_id"] for event in line.sent} == {"item_1"}
        assert all(len(event.get("delta", "")) < 16_000 for event in line.sent)
        assert line.audio().size == 72_000
        assert dbfs(line.audio()) == pytest.approx(dbfs(tone(3)), abs=0.1)
        assert len({event["event_id"] for event in line.sent}) == len(line.sent)


@pytest.mark.parametrize("law", ["audio/pcmu", "audio/pcma"])
@in_virtual_time
async def test_speech_is_sent_as_its_response_asks(law):
    async with connected() as (edge, line, _):
        audio = ResponseAudio(output=ResponseAudioOutput(format=G711(type=law)))
        edge.send(events.ResponseCreated(response=Response(id="resp_1", audio=audio)))
        opened(edge)
        written = Response(id="resp_2", audio=ResponseAudio(), output_modalities=("text",))
        edge.send(events.ResponseCreated(response=written))
        edge.send(events.ContentPartAdded(response_id="resp_2", item_id="item_2", part=TextPart()))
        await edge.speaker.write(Speech(tone(1), 16_000))
        edge.speaker.flush()
        await asyncio.sleep(0.1)
        assert line.audio(law).size == 8_000
        assert dbfs(line.audio(law)) == pytest.approx(dbfs(tone(1)), abs=0.3)


@in_virtual_time
async def test_all_that_was_sent_counts_as_heard():
    async with connected() as (edge, _, _):
        opened(edge, "item_1")
        await edge.speaker.write(Speech(tone(1), 16_000, (Word(8_000, 3), Word(16_000, 7))))
        await edge.speaker.write(Speech(tone(1), 16_000, (Word(16_000, 12),)))
        assert edge.speaker.clear() == Heard(2.0, 12)
        opened(edge, "item_2")
        assert edge.speaker.clear() == edge.speaker.clear() == Heard(0.0, 0)


@in_virtual_time
async def test_the_voice_waits_for_a_client_that_does_not_read():
    async with connected() as (edge, line, _):
        opened(edge)
        line.reads.clear()
        written = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                while True:
                    await edge.speaker.write(Speech(tone(1), 16_000))
                    written += 1
        assert written == pytest.approx(AHEAD_BYTES / (48_000 * 4 / 3), abs=1.5)
        line.reads.set()
        await edge.speaker.write(Speech(tone(1), 16_000))


# The end.


@in_virtual_time
async def test_the_last_events_go_out_before_the_socket_is_closed():
    async with connected() as (edge, line, _):
        edge.send(session())
        await edge.close()
        assert line.types() == ["session.updated"]
        assert line.closed
        edge.send(session())
    assert line.types() == ["session.updated"]


@in_virtual_time
async def test_a_client_that_hangs_up_ends_the_frames_and_the_events():
    line = Line()
    edge = WebSocketEdge(line, lambda: None)
    line.say(append(at(24_000, 60)))
    line.vanish()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(edge.run())
        assert len([frame async for frame in edge.frames()]) <= 3000
        assert [event async for event in edge.events()] == []


@in_virtual_time
async def test_a_client_that_does_not_read_is_dropped():
    async with connected() as (edge, line, got):
        line.reads.clear()
        edge.send(session())
        await edge.close()
        assert asyncio.get_running_loop().time() == CLOSE_SECONDS
        assert got == ["aborted"]
        line.reads.set()
