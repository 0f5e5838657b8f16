"""Whole calls over a WebSocket in virtual time, with clients that send anything: nothing crashes, and the call still serves."""

import asyncio
import base64
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.edge.websocket import WebSocketEdge
from agent.engine.scripted import ScriptedEngine
from agent.hearing import Hearing
from agent.realtime.objects import SessionObject
from agent.stages import Stages
from agent.session import Session
from agent.simulation.loop import run
from agent.simulation.sound import LevelVAD, ToneVoice, tone
from agent.turn import TurnSettings
from tests.edge.test_websocket import Line, append

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)

SHAPES = {
    "session.update": {"session": st.fixed_dictionaries({}, optional={
        "type": st.sampled_from(["realtime", "transcription"]),
        "instructions": st.text(max_size=20) | JSON,
        "audio": st.fixed_dictionaries({}, optional={
            "input": st.fixed_dictionaries({}, optional={
                "format": st.sampled_from([{"type": "audio/pcmu"}, {"type": "audio/pcm"}, {"type": "audio/pcma"}]) | JSON,
                "turn_detection": st.sampled_from([None, {"type": "server_vad"}, {"type": "semantic_vad"}]) | JSON,
            }) | JSON,
            "output": st.fixed_dictionaries({}, optional={"format": st.just({"type": "audio/pcma"}) | JSON}) | JSON,
        }) | JSON,
    }) | JSON},
    "input_audio_buffer.append": {"audio": st.binary(max_size=4000).map(lambda data: base64.b64encode(data).decode()) | JSON},
    "input_audio_buffer.commit": {},
    "input_audio_buffer.clear": {},
    "conversation.item.create": {"item": st.fixed_dictionaries({
        "type": st.just("message") | JSON,
        "role": st.sampled_from(["user", "system", "assistant"]) | JSON,
        "content": st.lists(st.fixed_dictionaries({"type": st.just("input_text"), "text": st.text(max_size=9)}), max_size=2) | JSON,
    }) | JSON},
    "conversation.item.truncate": {
        "item_id": st.sampled_from(["item_1", "item_2", "item_3"]) | JSON,
        "content_index": st.just(0) | JSON,
        "audio_end_ms": st.integers(-10, 10_000) | JSON,
    },
    "conversation.item.retrieve": {"item_id": st.sampled_from(["item_1", "item_2", "item_3"]) | JSON},
    "conversation.item.delete": {"item_id": st.sampled_from(["item_1", "item_2", "item_3"]) | JSON},
    "response.create": {},
    "response.cancel": {},
    "output_audio_buffer.clear": {},
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


@given(st.lists(MESSAGE | st.just(SPEECH) | WAIT, max_size=30))
@settings(max_examples=150, deadline=None)
def test_a_call_survives_any_client(steps):
    sent = run(call(steps))
    assert sent[-1]["type"] == "session.updated"
    assert sent[-1]["session"]["instructions"] == "still here"
    kinds = [event["type"] for event in sent]
    assert kinds.count("response.created") == kinds.count("response.done")
    messages = sum(1 if isinstance(step, str) else len(step) for step in steps if not isinstance(step, float))
    assert kinds.count("error") <= messages
    over = set()
    for event in sent:
        if event["type"] == "response.done":
            over.add(event["response"]["id"])
        else:
            assert event.get("response_id") not in over, "nothing of a response comes after its end"
