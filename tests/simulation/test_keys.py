"""Keys of a telephone: heard as events, answered when the entry is complete, and the agent falls silent over them."""

from agent.engine.scripted import ScriptedEngine
from agent.simulation.caller import Say, Send, Wait
from tests.simulation.calls import simulate

PRESS = '{"type": "parley.dtmf", "digits": "%s"}'


def of_type(call, kind):
    return [event for _, event in call.caller.log if event.type == kind]


def test_an_entry_is_answered_once_it_is_complete():
    script = [Wait(0.5), Send(PRESS % "4"), Wait(1), Send(PRESS % "2"), Wait(4)]
    call = simulate(script, ScriptedEngine(lambda messages: f"You pressed {messages[-1].text.split()[-1]}."))
    assert [event.event for event in of_type(call, "input_audio_buffer.dtmf_event_received")] == ["4", "2"]
    [done] = of_type(call, "response.done")
    assert done.response.output[0].content[0].transcript == "You pressed 42."
    assert call.session.conversation.messages[0].text == "Keys pressed: 42"


def test_the_agent_falls_silent_over_a_key():
    engine = ScriptedEngine(["One two three four five six seven.", "Yes."])
    call = simulate([Say(0.5), Wait(1.5), Send(PRESS % "1#"), Wait(2)], engine)
    first, second = of_type(call, "response.done")
    assert "seven" not in call.session.conversation.find(first.response.output[0].id).text
    assert second.response.output[0].content[0].transcript == "Yes."


def test_without_answers_by_itself_keys_are_only_put_down():
    update = '{"type": "session.update", "session": {"audio": {"input": {"turn_detection": null}}}}'
    call = simulate([Send(update), Send(PRESS % "1#"), Wait(1)], ScriptedEngine(["Yes."]))
    assert of_type(call, "response.done") == []
    assert [message.text for message in call.session.conversation.messages] == ["Keys pressed: 1#"]
