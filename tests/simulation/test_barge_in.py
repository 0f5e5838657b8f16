"""The caller speaks over the agent: it stops, and its history ends with the last word that was heard."""

import pytest

from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.simulation.call import Call
from agent.simulation.caller import Say, Send, Wait
from agent.simulation.sound import ToneVoice
from tests.simulation.calls import simulate

STORY = " ".join(f"word{n}" for n in range(40)) + "."
WORD = 0.25
START = 1.0


def interrupted_after(seconds: float) -> Call:
    """A story that starts at 1 s (0.5 s speech, 0.5 s silence, in which it was prepared) and is interrupted so much later."""
    script = [Say(0.5), Wait(START - 0.5 + seconds), Say(0.6), Wait(2)]
    return simulate(script, ScriptedEngine([STORY, "Yes?"], first_token=0.1, per_token=0), ToneVoice(word_seconds=WORD))


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.3, 7.0])
def test_the_agent_stops_within_120_ms_of_the_onset(seconds):
    call = interrupted_after(seconds)
    onset = START + seconds
    start, end = call.caller.audible()[0]
    assert start == pytest.approx(START, abs=0.03)
    assert onset < end <= onset + 0.12


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.3, 7.0])
def test_the_history_is_what_was_heard(seconds):
    call = interrupted_after(seconds)
    start, end = call.caller.audible()[0]
    message = call.session.conversation.messages[1]
    assert words(message.text) == int((end - start) / WORD + 1e-6)
    assert message.interrupted
    assert STORY.startswith(message.text)
    [truncated] = [event for _, event in call.caller.log if isinstance(event, events.ItemTruncated)]
    assert truncated.audio_end_ms == pytest.approx(1000 * (end - start), abs=16), (
        "of the frame in which it fell silent a quarter was heard"
    )


def test_the_response_is_cancelled_exactly_once():
    call = interrupted_after(2.0)
    done = [event.response for _, event in call.caller.log if isinstance(event, events.ResponseDone)]
    assert [(response.status, response.status_details and response.status_details.reason) for response in done] == [
        ("cancelled", "turn_detected"),
        ("completed", None),
    ]
    assert call.traces[0].status == "cancelled"
    assert "interrupted" in call.traces[0].marks


def test_the_interruption_is_answered():
    call = interrupted_after(2.0)
    assert call.session.conversation.messages[-1].text == "Yes?"
    assert len(call.caller.audible()) == 2


def test_an_answer_that_was_cut_before_a_word_was_heard_is_forgotten():
    script = [Say(0.5), Wait(0.5 + 1.2), Say(0.6), Wait(4)]
    call = simulate(script, ScriptedEngine([STORY, "Yes?"], per_token=0), ToneVoice(word_seconds=2.0))
    assert [message.role for message in call.session.conversation.said] == ["user", "user", "assistant"]


def test_speaking_while_the_engine_thinks_withdraws_the_answer():
    engine = ScriptedEngine(["Never heard.", "Heard."], first_token=1.0)
    call = simulate([Say(0.5), Wait(0.7), Say(0.5), Wait(3)], engine)
    assert "Never heard." not in [message.text for message in call.session.conversation.messages]
    assert len(call.caller.audible()) == 1


def test_after_generation_has_finished_playout_is_cut_without_a_second_done():
    short = " ".join(["word"] * 7) + "."  # less than the speaker's two seconds ahead: generated at once
    engine = ScriptedEngine([short, "Yes?"], first_token=0.1, per_token=0)
    call = simulate([Say(0.5), Wait(0.6 + 0.9), Say(0.6), Wait(2)], engine)
    first = call.caller.log[[type(event) for _, event in call.caller.log].index(events.ResponseCreated)][1].response.id
    assert len([e for _, e in call.caller.log if isinstance(e, events.ResponseDone) and e.response.id == first]) == 1
    assert len(call.caller.times(events.OutputAudioBuffer, type="output_audio_buffer.cleared")) == 1
    assert words(call.session.conversation.messages[1].text) == 4


@pytest.mark.parametrize("event", ["response.cancel", "output_audio_buffer.clear"])
def test_the_client_can_cancel(event):
    script = [Say(0.5), Wait(2.0), Send(f'{{"type":"{event}"}}'), Wait(2)]
    call = simulate(script, ScriptedEngine([STORY], first_token=0.1, per_token=0))
    [(_, end)] = call.caller.audible()
    assert end == pytest.approx(2.5, abs=0.021)
    [done] = [event.response for _, event in call.caller.log if isinstance(event, events.ResponseDone)]
    assert done.status_details.reason == "client_cancelled"


def test_cancel_and_create_back_to_back_give_a_second_answer():
    script = [Say(0.5), Wait(2.0), Send('{"type":"response.cancel"}'), Send('{"type":"response.create"}'), Wait(3)]
    call = simulate(script, ScriptedEngine(lambda m: STORY if len(m) == 2 else "Second.", first_token=0.1, per_token=0))
    assert not call.caller.times(events.Error)
    assert call.session.conversation.messages[-1].text == "Second."


def test_a_session_may_forbid_interruptions():
    update = (
        '{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":'
        '{"type":"server_vad","interrupt_response":false}}}}}'
    )
    script = [Send(update), Say(0.5), Wait(2), Say(0.6), Wait(10)]
    call = simulate(script, ScriptedEngine([STORY[:59] + "."], per_token=0))
    assert call.traces[0].status == "completed"


def test_hanging_up_cuts_the_answer():
    call = simulate([Say(0.5), Wait(2)], ScriptedEngine([STORY], first_token=0.1, per_token=0))
    assert call.traces[0].status == "cancelled"
    assert words(call.session.conversation.messages[-1].text) == 6
