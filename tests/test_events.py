"""Wire events: what is read, what is refused and how, what is written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.realtime import client_events, events
from agent.realtime.items import Item, OutputAudio
from agent.realtime.objects import EventError, ServerVAD, SessionObject, update_session

SESSION = SessionObject(id="call", model="demo", instructions="Be kind.")


def test_every_client_event_is_read():
    assert client_events.parse('{"type":"response.create","event_id":"e1","response":{"unknown":1}}').event_id == "e1"
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    assert (
        client_events.parse(json.dumps({"type": "conversation.item.create", "item": item})).item.content[0].text == "Hi"
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json_is_read_or_refused(value):
    text = json.dumps(value)
    with pytest.raises(EventError):
        client_events.parse(text)


@given(st.text() | st.binary())
def test_anything_else_is_refused_too(text):
    with pytest.raises(EventError) as caught:
        client_events.parse(text)
    assert events.refuse(caught.value, text).error.event_id is None


def test_a_refusal_names_the_field_and_the_event_but_not_the_value():
    text = '{"type":"conversation.item.create","event_id":"mine","item":{"type":"message","role":"my secret","content":[]}}'
    with pytest.raises(EventError) as caught:
        client_events.parse(text)
    error = events.refuse(caught.value, text).error
    assert (error.code, error.event_id) == ("invalid_value", "mine")
    assert "role" in (error.param or "")
    assert "secret" not in error.message


def test_a_server_event_carries_its_id_and_type():
    item = Item(id="item_1", role="assistant", content=(OutputAudio(transcript="Grüße"),))
    written = events.serialise(events.ItemAdded(previous_item_id=None, item=item), "event_7")
    assert "Grüße" in written
    assert json.loads(written) == {
        "event_id": "event_7",
        "type": "conversation.item.added",
        "previous_item_id": None,
        "item": {
            "id": "item_1",
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_audio", "transcript": "Grüße"}],
        },
    }


def test_an_error_without_an_event_id_leaves_it_out():
    error = events.Error(error=EventError("invalid_json", "No.").details(None))
    assert "event_id" not in json.loads(events.serialise(error, "event_1"))["error"]


def test_a_session_update_merges():
    changed = update_session(
        SESSION, {"audio": {"input": {"turn_detection": {"silence_duration_ms": 300}}}, "model": "other"}
    )
    assert changed.instructions == "Be kind."
    assert changed.model == "demo"
    assert changed.audio.input.turn_detection == ServerVAD(silence_duration_ms=300)


def test_another_type_of_turn_detection_replaces_the_old_ones_keys():
    semantic = update_session(
        SESSION, {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}}}
    )
    assert semantic.audio.input.turn_detection.model_dump() == {
        "type": "semantic_vad",
        "eagerness": "high",
        "create_response": True,
        "interrupt_response": True,
    }
    off = update_session(semantic, {"audio": {"input": {"turn_detection": None}}})
    assert off.audio.input.turn_detection is None


def test_a_bad_session_update_names_its_field():
    with pytest.raises(EventError) as caught:
        update_session(
            SESSION, {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": -1}}}}
        )
    assert caught.value.param.startswith("session.audio.input.turn_detection")


TOOL = {"type": "function", "name": "get_weather", "description": "Tell the weather.", "parameters": {"type": "object"}}


def test_tools_are_validated_and_cleared():
    with_tool = update_session(SESSION, {"tools": [TOOL], "tool_choice": {"type": "function", "name": "get_weather"}})
    assert with_tool.model_dump()["tools"] == (TOOL,)
    assert with_tool.tool_choice.name == "get_weather"
    cleared = update_session(with_tool, {"tools": [], "tool_choice": "auto"})
    assert cleared.tools == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": [TOOL, TOOL]},
        {"tools": [{**TOOL, "name": "get weather"}]},
        {"tools": [{**TOOL, "parameters": "city"}]},
        {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://example.org"}]},
        {"tool_choice": {"type": "function", "name": "unknown"}},
        {"tool_choice": "always"},
    ],
)
def test_tools_that_cannot_be_called_are_refused(changes):
    with pytest.raises(EventError) as caught:
        update_session(SESSION, changes)
    assert caught.value.code == "invalid_value"
