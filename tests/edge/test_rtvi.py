"""RTVI messages and events of the Realtime protocol, translated both ways; and the calls that speak it, over real connections."""

import asyncio
import json
from typing import get_args

import aiohttp
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from hypothesis import given
from hypothesis import strategies as st

from agent.edge.patches import offer_addresses
from agent.edge.rtvi import RTVI
from agent.engine.scripted import ScriptedEngine
from agent.realtime import client_events, events
from agent.realtime.items import FunctionCallOutputItem
from agent.realtime.objects import ErrorDetails, EventError, SessionObject
from agent.realtime.responses import Response
from agent.realtime.transcription import (
    InputTokenDetails,
    TranscriptionCompleted,
    TranscriptionDelta,
    TranscriptionUsage,
)
from agent.realtime.vendor import SpokenWord, WordsTimed
from tests.serving import serving

KINDS = ["client-ready", "send-text", "llm-function-call-result", "dtmf", "disconnect-bot", "client-message"]
KEYS = st.sampled_from(["content", "options", "run_immediately", "tool_call_id", "result", "buttons"])


def rtvi():
    return RTVI(lambda: None)


def message(kind, data=None, **fields):
    return json.dumps({"label": "rtvi-ai", "type": kind, "id": "m1", "data": data, **fields})


def told(*given, dialect=None):
    """The types and data of the messages of some events."""
    dialect = dialect or rtvi()
    messages = [json.loads(text) for event in given for text in dialect.write(event, "event_1")]
    assert all(each["label"] == "rtvi-ai" for each in messages)
    return [(each["type"], each["data"]) for each in messages]


# What clients send.


def test_a_typed_message_interrupts_and_is_answered():
    clear, item, respond = rtvi().read(
        message("send-text", {"content": "Hello.", "options": {"audio_response": False}})
    )
    assert isinstance(clear, client_events.OutputAudioBufferClear)
    assert item.item.content[0].text == "Hello."
    assert respond.response.output_modalities == ("text",)
    assert {each.event_id for each in (clear, item, respond)} == {"m1"}


def test_a_typed_message_may_wait_for_its_answer():
    [item] = rtvi().read(message("send-text", {"content": "Hello.", "options": {"run_immediately": False}}))
    assert isinstance(item, client_events.ConversationItemCreate)


def test_keys_and_results_of_functions():
    [keys] = rtvi().read(message("dtmf", {"buttons": ["1", "#"]}))
    assert keys.digits == "1#"
    call = {"function_name": "f", "tool_call_id": "call_1", "arguments": {}}
    item, respond = rtvi().read(message("llm-function-call-result", {**call, "result": {"city": "Köln"}}))
    assert (item.item.call_id, item.item.output) == ("call_1", '{"city": "Köln"}')
    assert isinstance(respond, client_events.ResponseCreate)


@pytest.mark.parametrize(
    "text",
    ["ping: 1", '{"type": "signalling", "message": {"type": "trackStatus"}}', "[]", '{"label": "other"}', "3"],
)
def test_what_says_nothing_is_left_alone(text):
    assert not rtvi().read(text)


@pytest.mark.parametrize(
    ("text", "code", "answers"),
    [
        ("{", "invalid_json", None),
        (message("client-message", {"t": "x"}), "invalid_value", "m1"),
        (message("send-text", {}), "invalid_value", "m1"),
        (message("send-text", {"content": 3}), "invalid_value", "m1"),
        (message("dtmf", {"buttons": ["x"]}), "invalid_value", "m1"),
        (message("dtmf", {"buttons": ["x"]}, id=7), "invalid_value", None),
        (message("llm-function-call-result", {"tool_call_id": [], "result": 1}), "invalid_value", "m1"),
    ],
)
def test_what_cannot_be_done_is_refused_by_the_messages_id(text, code, answers):
    dialect = rtvi()
    with pytest.raises(EventError) as caught:
        dialect.read(text)
    assert caught.value.code == code
    error = dialect.refuse(caught.value, text)
    [answer] = [json.loads(each) for each in dialect.write(error, "event_1")]
    assert (answer["type"], answer["id"]) == (("error-response", "m1") if answers else ("error", "event_1"))


DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | KEYS, inner, max_size=3),
)


@given(st.sampled_from(KINDS), DATA, DATA)
def test_whatever_is_sent_is_read_or_refused(kind, data, message_id):
    dialect, text = rtvi(), message(kind, data, id=message_id)
    try:
        for event in dialect.read(text):
            assert isinstance(event, get_args(client_events.ClientEvent))
    except EventError as error:
        assert list(dialect.write(dialect.refuse(error, text), "event_1"))  # noqa: PT017  it may be raised or not


def test_the_agent_is_sent_away():
    gone = asyncio.Event()
    assert RTVI(gone.set).read(message("disconnect-bot")) == []
    assert gone.is_set()


# What clients are told.


def test_a_turn_of_the_caller():
    usage = TranscriptionUsage(
        total_tokens=1,
        input_tokens=1,
        output_tokens=0,
        input_token_details=InputTokenDetails(text_tokens=0, audio_tokens=1),
    )
    messages = told(
        events.SpeechStarted(audio_start_ms=0, item_id="a"),
        events.SpeechStopped(audio_end_ms=1, item_id="a"),
        TranscriptionDelta(item_id="a", delta="Good", model="m"),
        TranscriptionDelta(item_id="a", delta=" day", model="m"),
        TranscriptionCompleted(item_id="a", transcript="Good day.", usage=usage, model="m"),
    )
    assert [kind for kind, _ in messages] == [
        "user-started-speaking",
        "user-stopped-speaking",
        *["user-transcription"] * 3,
    ]
    said = [(data["text"], data["final"]) for _, data in messages[2:]]
    assert said == [("Good", False), ("Good day", False), ("Good day.", True)]


def test_words_are_told_as_they_are_spoken():
    ids = {"response_id": "r", "item_id": "i"}
    messages = told(
        events.ResponseCreated(response=Response(id="r")),
        events.TranscriptDelta(**ids, delta="One two"),
        WordsTimed(response_id="r", words=(SpokenWord(text=3, ms=200),)),
        WordsTimed(response_id="r", words=(SpokenWord(text=7, ms=400),)),
        events.TranscriptDone(**ids, transcript="One two"),
        events.OutputAudioBuffer(type="output_audio_buffer.started", response_id="r"),
        events.OutputAudioBuffer(type="output_audio_buffer.cleared", response_id="r"),
    )
    assert [kind for kind, _ in messages] == [
        "bot-llm-started",
        "bot-llm-text",
        "bot-tts-text",
        "bot-tts-text",
        "bot-output",
        "bot-started-speaking",
        "bot-tts-started",
        "bot-tts-stopped",
        "bot-stopped-speaking",
    ]
    assert [data["text"] for _, data in messages[1:5]] == ["One two", "One", " two", "One two"]


def test_a_function_of_the_client():
    ids = {"response_id": "r", "item_id": "i", "output_index": 0, "call_id": "c"}
    output = FunctionCallOutputItem(id="o", call_id="c", output="noon")
    added = events.ItemAdded(previous_item_id="i", item=output)
    started, called, stopped = told(
        events.FunctionCallArgumentsDone(**ids, name="clock", arguments='{"city": "Bern"}'), added, added
    )
    assert started == ("llm-function-call-started", {"function_name": "clock"})
    assert called[1]["arguments"] == {"city": "Bern"}
    assert stopped[1] == {"function_name": "clock", "tool_call_id": "c", "cancelled": False, "result": "noon"}


def test_errors_of_no_message():
    error = events.Error(error=ErrorDetails(code="c", message="Oh."))
    assert told(error) == [("error", {"error": "Oh.", "message": "Oh.", "fatal": False})]


# Calls.


class Peer:
    """A client of its own: one connection, and what came over it."""

    def __init__(self):
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channel = self.connection.createDataChannel("chat")
        self.messages = asyncio.Queue()
        self.channel.on("message", lambda text: self.messages.put_nowait(json.loads(text)))
        self.connection.addTransceiver("audio")

    async def offer(self, **fields):
        with offer_addresses(["127.0.0.1"]):
            await self.connection.setLocalDescription(await self.connection.createOffer())
        return {"sdp": self.connection.localDescription.sdp, "type": "offer", **fields}

    async def take(self, answer):
        await self.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))

    async def next(self, kind):
        async with asyncio.timeout(10):
            while (got := await self.messages.get())["type"] != kind:
                pass
        return got["data"]


async def test_a_call_its_change_to_another_connection_and_its_end():
    engine = ScriptedEngine(["One two."], first_token=0.01, per_token=0)
    async with serving(engine) as (server, url), aiohttp.ClientSession() as http:
        offers, first, second = f"{url}/api/offer", Peer(), Peer()
        session = {"instructions": "Sing."}
        answer = await (await http.post(offers, json=await first.offer(requestData={"session": session}))).json()
        await first.take(answer)
        candidate = {"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdp_mid": "0", "sdp_mline_index": 0}
        end = {"candidate": "", "sdp_mid": "0", "sdp_mline_index": 0}
        found = {"pc_id": answer["pc_id"], "candidates": [candidate, end]}
        assert (await http.patch(offers, json=found)).status == 200
        first.channel.on("open", lambda: first.channel.send(message("client-ready")))
        assert (await first.next("bot-ready"))["version"].startswith("2.")
        first.channel.send(message("send-text", {"content": "Hello."}))
        assert (await first.next("bot-output"))["text"] == "One two."
        [call] = server.calls
        assert call == answer["pc_id"]
        again = await http.post(offers, json=await second.offer(pc_id=call, restart_pc=True))
        await second.take(await again.json())
        second.channel.on("open", lambda: second.channel.send(message("client-ready")))
        await second.next("bot-ready")
        assert list(server.calls) == [call]
        await first.connection.close()
        await second.connection.close()
        async with asyncio.timeout(5):
            while server.calls:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("method", "body", "status", "says"),
    [
        ("POST", {"sdp": "hello", "type": "offer"}, 400, "SDP"),
        ("POST", {"type": "offer"}, 400, "sdp"),
        ("POST", {"sdp": "v=0", "type": "offer", "pc_id": "rtc_1", "restart_pc": True}, 404, "no such call"),
        ("POST", {"sdp": "v=0", "type": "offer", "pc_id": "rtc_1"}, 400, "restart_pc"),
        ("POST", {"sdp": "v=0", "type": "offer", "requestData": {"session": {"tools": 3}}}, 400, "session.tools"),
        ("PATCH", {"pc_id": "rtc_1", "candidates": []}, 404, "no such call"),
        ("PATCH", {}, 400, "pc_id"),
    ],
)
async def test_what_cannot_be_offered_is_refused(method, body, status, says):
    async with serving() as (_, url), aiohttp.ClientSession() as http:
        answer = await http.request(method, f"{url}/api/offer", json=body)
        assert answer.status == status
        assert says in (await answer.json())["error"]["message"]


async def test_another_page_needs_the_key():
    async with serving(key="secret") as (_, url), aiohttp.ClientSession() as http:
        page = {"Origin": "https://app.example", "Access-Control-Request-Headers": "authorization"}
        async with http.options(f"{url}/api/offer", headers=page) as allowed:
            assert "PATCH" in allowed.headers["Access-Control-Allow-Methods"]
            assert allowed.headers["Access-Control-Allow-Origin"] == "https://app.example"
        async with http.post(f"{url}/api/offer", json={}) as refused:
            assert refused.status == 401


def test_the_agent_is_ready_when_the_client_is():
    dialect = rtvi()
    session = SessionObject(id="s", model="m", instructions="")
    assert told(events.SessionCreated(session=session), dialect=dialect) == []
    assert [kind for kind, _ in told(events.SessionUpdated(session=session), dialect=dialect)] == ["bot-ready"]
