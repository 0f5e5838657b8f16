"""What goes wrong costs what it must and nothing more: the event, or the turn."""

import json

import pytest

from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.simulation.caller import Say, Send, Wait
from agent.simulation.loop import DeadlockError, run
from agent.simulation.sound import ToneVoice
from tests.simulation.calls import simulate


def answers(call):
    return [event.response for _, event in call.caller.log if isinstance(event, events.ResponseDone)]


@pytest.mark.parametrize("fail_after", [0, 3])
def test_an_engine_that_fails_costs_the_turn(fail_after):
    engine = ScriptedEngine(["One two three four five."], fail_after=fail_after)
    call = simulate([Say(0.5), Wait(3), Say(0.5), Wait(3)], engine)
    assert [answer.status for answer in answers(call)] == ["failed", "failed"]
    assert answers(call)[0].status_details.error.code == "engine_failed"


def test_a_voice_that_fails_costs_the_turn_and_keeps_what_was_heard():
    call = simulate([Say(0.5), Wait(4)], ScriptedEngine(["One two three four five."]), ToneVoice(fail_after=2))
    [answer] = answers(call)
    assert (answer.status, answer.status_details.error.code) == ("failed", "voice_failed")
    assert call.session.conversation.messages[-1].text == "One two"


def test_an_engine_with_nothing_to_say_ends_its_response():
    call = simulate([Say(0.5), Wait(2), Say(0.5), Wait(2)], ScriptedEngine([""]))
    assert [answer.status for answer in answers(call)] == ["completed", "completed"]
    assert not call.caller.audible()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "invalid_json"),
        ("[]", "invalid_event"),
        ('"hello"', "invalid_event"),
        ("{}", "missing_required_parameter"),
        ('{"type":"no.such.event","event_id":"mine"}', "invalid_value"),
        ('{"type":"response.cancel","event_id":"mine"}', "response_cancel_not_active"),
        (
            '{"type":"session.update","session":{"audio":{"input":{"turn_detection":{"type":"server_vad","threshold":2}}}}}',
            "invalid_value",
        ),
        ('{"type":"session.update","session":"x"}', "invalid_value"),
        ('{"type":"input_audio_buffer.commit"}', "input_audio_buffer_commit_empty"),
        ('{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[]}}', "invalid_value"),
        ("[" * 100_000, "invalid_json"),
        ("x" * 300_000, "event_too_large"),
    ],
)
def test_a_broken_event_is_answered_and_the_call_goes_on(text, code):
    call = simulate([Send(text), Say(0.5), Wait(2)], ScriptedEngine(["Still here."]))
    [error] = [event.error for _, event in call.caller.log if isinstance(event, events.Error)]
    assert error.code == code
    assert error.event_id == ("mine" if "mine" in text else None)
    assert call.session.conversation.messages[-1].text == "Still here."


def test_a_second_response_is_refused_and_the_first_goes_on():
    script = [Say(0.5), Wait(0.55), Send('{"type":"response.create","event_id":"mine"}'), Wait(3)]
    call = simulate(script, ScriptedEngine(["The only answer."], first_token=0.6))
    [error] = [event.error for _, event in call.caller.log if isinstance(event, events.Error)]
    assert (error.code, error.event_id) == ("conversation_already_has_active_response", "mine")
    assert [answer.status for answer in answers(call)] == ["completed"]


def test_a_broken_session_update_changes_nothing():
    good = {"type": "session.update", "session": {"instructions": "Speak like a pirate."}}
    bad = {"type": "session.update", "session": {"instructions": "x" * 70_000}}
    call = simulate([Send(json.dumps(good)), Send(json.dumps(bad)), Wait(0.1)], ScriptedEngine(["-"]))
    [updated] = [event.session for _, event in call.caller.log if isinstance(event, events.SessionUpdated)]
    assert updated.instructions == "Speak like a pirate."
    assert [event.error.param for _, event in call.caller.log if isinstance(event, events.Error)] == [
        "session.instructions"
    ]


def test_a_call_that_would_hang_is_reported():
    async def waits_for_ever():
        import asyncio

        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run(waits_for_ever())
