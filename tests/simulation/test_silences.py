"""What the agent says of its own accord: at the beginning of a call, and when nobody has spoken for long."""

import pytest

from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.replies.prompts import Prompts
from agent.simulation.caller import Say, Send, Wait
from agent.simulation.sound import ToneVoice
from tests.simulation.calls import simulate

ENGINE = ScriptedEngine(["Yes."], per_token=0)


def server_vad(**fields):
    text = "".join(f',"{name}":{value}' for name, value in fields.items())
    update = f'{{"type":"session.update","session":{{"audio":{{"input":{{"turn_detection":{{"type":"server_vad"{text}}}}}}}}}}}'
    return Send(update)


def texts(call):
    return [(message.role, message.text) for message in call.session.conversation.messages]


def test_the_agent_greets_as_soon_as_the_caller_can_hear():
    call = simulate([Wait(2)], ENGINE, ToneVoice(first_audio=0.1), prompts=Prompts(greeting="Hello, this is Parley."))
    [(start, end)] = call.caller.audible()
    assert start <= 0.3
    assert end - start == pytest.approx(1.0, abs=0.021)
    assert texts(call) == [("assistant", "Hello, this is Parley.")]
    assert [trace.status for trace in call.traces] == ["completed"]


def test_a_greeting_can_be_interrupted():
    prompts = Prompts(greeting="Hello, this is Parley, what can I do for you on this fine day?")
    call = simulate([Wait(1.5), Say(1.0), Wait(3)], ENGINE, prompts=prompts)
    assert [role for role, _ in texts(call)] == ["assistant", "user", "assistant"]
    assert call.session.conversation.messages[0].interrupted
    assert texts(call)[-1] == ("assistant", "Yes.")


def test_without_a_greeting_the_caller_speaks_first():
    assert not simulate([Wait(3)], ENGINE).caller.audible()


def test_a_long_silence_is_broken_and_not_for_ever():
    prompts = Prompts(idle="Are you still there?", idle_after=5.0)
    call = simulate([Say(0.5), Wait(60)], ENGINE, prompts=prompts)
    starts = [start for start, _ in call.caller.audible()]
    assert len(starts) == 3  # the answer, and two prompts
    (_, answered), *_ = call.caller.audible()
    assert starts[1] - answered == pytest.approx(5.0, abs=0.1)
    assert texts(call)[1:] == [("assistant", "Yes."), *[("assistant", "Are you still there?")] * 2]


def test_a_caller_who_speaks_again_can_be_waited_for_again():
    prompts = Prompts(idle="Well?", idle_after=5.0, idle_times=1)
    call = simulate([Wait(20), Say(0.5), Wait(20)], ENGINE, prompts=prompts)
    assert [text for role, text in texts(call) if role == "assistant"] == ["Well?", "Yes.", "Well?"]


def test_while_somebody_speaks_it_is_not_silent():
    prompts = Prompts(idle="Well?", idle_after=3.0)
    long = ScriptedEngine(["word " * 40 + "end."], per_token=0)
    call = simulate([Say(6.0), Wait(9)], long, prompts=prompts)
    assert "Well?" not in [text for _, text in texts(call)]


def test_the_client_may_ask_for_it_and_the_model_then_answers_the_silence():
    call = simulate([server_vad(idle_timeout_ms=5000), Wait(7)], ENGINE)
    [triggered] = [event for _, event in call.caller.log if isinstance(event, events.TimeoutTriggered)]
    [committed] = [event for _, event in call.caller.log if isinstance(event, events.Committed)]
    assert committed.item_id == triggered.item_id
    assert triggered.audio_end_ms == pytest.approx(5000, abs=40)
    assert texts(call) == [("user", ""), ("assistant", "Yes.")]


def test_push_to_talk_is_left_alone():
    off = Send('{"type":"session.update","session":{"audio":{"input":{"turn_detection":null}}}}')
    assert not simulate([off, Wait(20)], ENGINE, prompts=Prompts(idle="Well?", idle_after=5.0)).caller.audible()


def test_the_model_is_told_that_it_was_interrupted():
    seen = []
    engine = ScriptedEngine(
        lambda messages: seen.append([message.text for message in messages]) or "One two three four five six.",
        per_token=0,
    )
    call = simulate([Say(0.5), Wait(1.4), Say(0.8), Wait(3)], engine)
    assert call.session.conversation.messages[1].interrupted
    assert seen[-1][2] == call.session.conversation.messages[1].text + "—"
    assert not call.session.conversation.messages[1].text.endswith("—")
