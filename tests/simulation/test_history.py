"""The conversation as it is told by a call's events."""

from agent.engine.scripted import ScriptedEngine
from agent.replies.prompts import Prompts
from agent.simulation.caller import Say, Send, Wait
from agent.simulation.history import history
from tests.simulation.calls import simulate

STORY = " ".join(f"word{n}" for n in range(40)) + "."


def told(call):
    return history(event.model_dump(mode="json") for _, event in call.caller.log)


def typed(text, **fields):
    extra = "".join(f',"{name}":"{value}"' for name, value in fields.items())
    return Send(
        f'{{"type":"conversation.item.create","item":{{"type":"message","role":"user"{extra},"content":[{{"type":"input_text","text":"{text}"}}]}}}}'
    )


def test_what_both_said_in_order():
    call = simulate([Say(1), Wait(3), Say(1), Wait(3)], ScriptedEngine(["Yes?", "I see."], per_token=0))
    assert told(call) == ["caller", "agent: Yes?", "caller", "agent: I see."]


def test_an_answer_that_is_cut_while_it_is_made():
    call = simulate([Say(0.5), Wait(2.5), Say(1), Wait(3)], ScriptedEngine([STORY, "Yes?"], per_token=0))
    heard = call.session.conversation.messages[1].text
    assert told(call) == ["caller", f"agent: {heard}—", "caller", "agent: Yes?"]


def test_an_answer_that_is_cut_after_it_was_made():
    """Its `response.done` told the whole of it; what was heard is told by its trace."""
    short = " ".join(STORY.split()[:8]) + "."
    call = simulate([Say(0.5), Wait(2.0), Say(1), Wait(3)], ScriptedEngine([short, "Yes?"], per_token=0))
    heard = call.session.conversation.messages[1].text
    assert len(heard.split()) < 8
    assert told(call)[1] == f"agent: {heard}—"


def test_an_answer_of_which_nothing_was_heard_is_left_out():
    engine = ScriptedEngine(["Never heard.", "Heard."], first_token=1.0)
    assert told(simulate([Say(0.5), Wait(0.7), Say(0.5), Wait(3)], engine)) == ["caller", "caller", "agent: Heard."]


def test_a_greeting_comes_first():
    call = simulate([Wait(3), Say(1), Wait(2)], ScriptedEngine(["Yes."]), prompts=Prompts(greeting="Hello."))
    assert told(call) == ["agent: Hello.", "caller", "agent: Yes."]


def test_what_was_typed_and_what_was_deleted():
    delete = Send('{"type":"conversation.item.delete","item_id":"mine"}')
    call = simulate([typed("Hello", id="mine"), typed("Hi"), Wait(0.1), delete, Wait(0.1)], ScriptedEngine(["-"]))
    assert told(call) == ["caller: Hi"]


def test_calls_of_functions_and_their_results():
    item = {"id": "a", "type": "function_call", "name": "add", "arguments": '{"a":1}'}
    output = {"id": "b", "type": "function_call_output", "output": "3"}
    events = [{"type": "conversation.item.added", "item": each} for each in (item, output)]
    assert history(events) == ['agent calls add({"a":1})', "tool: 3"]


def test_nothing_happened():
    assert history([]) == []
    assert history([{"type": "session.created"}]) == []
