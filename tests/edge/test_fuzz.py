"""Whole calls over a WebSocket in virtual time, with clients that send anything: nothing crashes, and the call still serves."""

import asyncio
import base64
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.edge.websocket import WebSocketEdge
from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.realtime.objects import SessionObject
from agent.session import Session
from agent.simulation.caller import Say, Send, Wait
from agent.simulation.loop import run
from agent.simulation.sound import LevelVAD, ToneVoice, tone
from agent.stages import Stages
from agent.turns.hearing import Hearing
from agent.turns.turn import TurnSettings
from tests.edge.test_websocket import Line, append
from tests.simulation.calls import simulate
from tests.simulation.test_responses import SERVER_EVENT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)

ID = st.sampled_from(["item_1", "item_2", "item_3", "mine"])
AUDIO = base64.b64encode(bytes(9600)).decode()
PART = st.sampled_from([
    {"type": "input_text", "text": "Hello."}, {"type": "output_text", "text": "Hello."}, {"type": "input_audio", "audio": AUDIO},
])  # fmt: skip
ITEM = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("message"), "role": st.sampled_from(["user", "system", "assistant"]) | JSON, "content": st.lists(PART, max_size=2) | JSON},
        optional={"id": ID},
    ),
    st.just({"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}),
    st.just({"type": "function_call_output", "call_id": "call_1", "output": "3"}),
)  # fmt: skip
TOOL = st.sampled_from(
    [{"type": "function", "name": "f", "parameters": {"type": "object"}}, {"type": "mcp", "server_label": "x"}]
)
CHOICE = st.sampled_from(["none", "auto", "required", {"type": "function", "name": "f"}])

SHAPES = {
    "session.update": {"session": st.fixed_dictionaries({}, optional={
        "type": st.sampled_from(["realtime", "transcription"]),
        "instructions": st.text(max_size=20) | JSON,
        "output_modalities": st.sampled_from([["text"], ["audio"], ["text", "audio"]]) | JSON,
        "max_output_tokens": st.integers(-1, 5000) | st.just("inf") | JSON,
        "truncation": st.sampled_from(["auto", "disabled", {"type": "retention_ratio", "retention_ratio": 0.5}]) | JSON,
        "tools": st.lists(TOOL, max_size=2) | JSON,
        "tool_choice": CHOICE | JSON,
        "tracing": st.just("auto") | JSON,
        "prompt": st.none() | JSON,
        "audio": st.fixed_dictionaries({}, optional={
            "input": st.fixed_dictionaries({}, optional={
                "format": st.sampled_from([{"type": "audio/pcmu"}, {"type": "audio/pcm"}, {"type": "audio/pcma"}]) | JSON,
                "transcription": st.sampled_from([None, {"model": "whisper-1"}]) | JSON,
                "noise_reduction": st.just({"type": "near_field"}) | JSON,
                "turn_detection": st.sampled_from([None, {"type": "server_vad"}, {"type": "semantic_vad"}]) | JSON,
            }) | JSON,
            "output": st.fixed_dictionaries({}, optional={
                "format": st.just({"type": "audio/pcma"}) | JSON,
                "speed": st.floats(0.2, 1.6) | JSON,
                "voice": st.sampled_from(["marin", {"id": "mine"}]) | JSON,
            }) | JSON,
        }) | JSON,
    }) | JSON},
    "input_audio_buffer.append": {"audio": st.binary(max_size=4000).map(lambda data: base64.b64encode(data).decode()) | JSON},
    "input_audio_buffer.commit": {},
    "input_audio_buffer.clear": {},
    "conversation.item.create": {"item": ITEM | JSON, "previous_item_id": st.none() | st.just("root") | ID | JSON},
    "conversation.item.truncate": {
        "item_id": ID | JSON,
        "content_index": st.just(0) | JSON,
        "audio_end_ms": st.integers(-10, 10_000) | JSON,
    },
    "conversation.item.retrieve": {"item_id": ID | JSON},
    "conversation.item.delete": {"item_id": ID | JSON},
    "response.create": {"response": st.fixed_dictionaries({}, optional={
        "conversation": st.sampled_from(["auto", "none"]) | JSON,
        "input": st.lists(ITEM | st.fixed_dictionaries({"type": st.just("item_reference"), "id": ID}), max_size=3) | JSON,
        "instructions": st.text(max_size=20) | JSON,
        "output_modalities": st.sampled_from([["text"], ["audio"]]) | JSON,
        "max_output_tokens": st.integers(1, 5) | JSON,
        "metadata": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2) | JSON,
        "tools": st.lists(TOOL, max_size=1) | JSON,
        "tool_choice": CHOICE | JSON,
        "audio": st.just({"output": {"format": {"type": "audio/pcmu"}, "voice": "marin"}}) | JSON,
    }) | JSON},
    "response.cancel": {"response_id": st.none() | st.sampled_from(["resp_1", "resp_2", "resp_3"]) | JSON},
    "output_audio_buffer.clear": {},
    "parley.dtmf": {"digits": st.sampled_from(["1#", "0", "x"]) | JSON},
    "parley.ping": {"client_ms": st.floats(allow_nan=False) | JSON},
    "parley.heard": {
        "response_id": st.sampled_from(["resp_1", "resp_2", "resp_3"]) | JSON,
        "heard_ms": st.floats(0, 1e6) | JSON,
        "clock_error_ms": st.floats(0, 100) | JSON,
    },
}  # fmt: skip
"""The fields of each event, right or wrong."""

EVENT = st.one_of(
    *(
        st.fixed_dictionaries({"type": st.just(kind), **fields}, optional={"event_id": st.just("mine") | JSON})
        for kind, fields in SHAPES.items()
    )
)
MESSAGE = EVENT.map(json.dumps) | JSON.map(json.dumps) | st.text(max_size=20)
SPEECH = append(tone(0.4)), append(tone(0.4) * 0), append(tone(0.4) * 0)
WAIT = st.floats(0, 3)


async def call(steps):
    """A call in which a client does all the steps, then asks something simple; what it was sent."""
    line = Line()
    edge = WebSocketEdge(line, lambda: None)
    stages = Stages(ScriptedEngine(["One two three."], first_token=0.1, per_token=0.05), ToneVoice())
    session = SessionObject(id="s", model="m", instructions="")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(edge.run())
        serving = tasks.create_task(Session(edge, stages, Hearing(LevelVAD(), TurnSettings()), session).run())
        for step in steps:
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                line.say(*([step] if isinstance(step, str) else step))
        await asyncio.sleep(60)
        line.say('{"type":"session.update","session":{"instructions":"still here"}}')
        await asyncio.sleep(1)
        line.vanish()
        await serving
    return line.sent


def check(sent):
    """What holds of whatever is sent: every event is one that the SDK knows, and each response has one end, after which nothing comes."""
    over = set()
    for event in sent:
        if not event["type"].startswith("parley."):
            SERVER_EVENT.validate_python(event, strict=False)
        if event["type"] == "response.done":
            assert event["response"]["id"] not in over
            over.add(event["response"]["id"])
        elif not event["type"].startswith(("output_audio_buffer.", "parley.")):
            assert event.get("response_id") not in over, "nothing of a response comes after its end"
    assert {event["response"]["id"] for event in sent if event["type"] == "response.created"} == over


@given(st.lists(MESSAGE | st.just(SPEECH) | WAIT, max_size=30))
@settings(max_examples=150, deadline=None)
def test_a_call_survives_any_client(steps):
    sent = run(call(steps))
    assert sent[-1]["type"] == "session.updated"
    assert sent[-1]["session"]["instructions"] == "still here"
    messages = sum(1 if isinstance(step, str) else len(step) for step in steps if not isinstance(step, float))
    assert sum(event["type"] == "error" for event in sent) <= messages
    check(sent)


@given(
    st.lists(MESSAGE.map(Send) | st.just(Say(0.4)) | st.sampled_from([Wait(0.1), Wait(1.0), Wait(3.0)]), max_size=30)
)
@settings(max_examples=60, deadline=None)
def test_a_call_over_webrtc_survives_any_client(steps):
    last = Send('{"type":"session.update","session":{"instructions":"still here"}}')
    done = simulate([*steps, Wait(8), last, Wait(0.1)], ScriptedEngine(["One two three."], per_token=0.05))
    sent = [json.loads(events.serialise(event, f"event_{n}")) for n, (_, event) in enumerate(done.caller.log)]
    assert sent[-1]["session"]["instructions"] == "still here"
    check(sent)


def test_a_thousand_items_and_responses_leave_little_behind():
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x" * 2000}]}
    create = json.dumps({"type": "conversation.item.create", "item": item})
    respond = json.dumps(
        {"type": "response.create", "response": {"conversation": "none", "output_modalities": ["text"]}}
    )
    script = [*[Send(create)] * 10, Send(respond), Wait(0.1)] * 100
    done = simulate([*script, Wait(5)], ScriptedEngine(["One."], first_token=0.01))
    assert len(done.session.conversation.messages) == done.session.conversation.limit
    assert sum(message.size for message in done.session.conversation.messages) <= done.session.conversation.bytes
    assert sum(isinstance(event, events.ResponseDone) for _, event in done.caller.log) == 100
    assert len(done.session._answering._beside.replies) <= 4
