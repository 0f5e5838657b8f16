"""The caller makes a sound while the agent speaks: it falls silent at once, and within 400 ms stops for good or goes on."""

import numpy as np
import pytest

from agent.audio import dbfs
from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.simulation.call import Call
from agent.simulation.caller import Room, Say, Send, Wait
from agent.simulation.sound import ToneVoice
from agent.transcribing import PROMPT, SENTENCE
from tests.simulation.calls import simulate

STORY = " ".join(f"word{n}" for n in range(24)) + "."
WORD = 0.25
START = 1.0
ENGINE = ScriptedEngine(["Yes?", STORY, "I see."], first_token=0.1, per_token=0)
VOICE = ToneVoice(word_seconds=WORD)
GREETED = [Say(0.5), Wait(2.5), Say(0.5), Wait(0.5)]
"""Two questions: the story begins at 4 s, when the first second of the agent's speech in this call is not over yet."""
STORY_STARTS = 4.0


def overlapped(*sounds, before=()) -> Call:
    """Sounds of the caller, 2 s into the story."""
    return simulate([*before, *GREETED, Wait(2.0), *sounds, Wait(9)], ENGINE, VOICE)


def story(call: Call) -> events.Response:
    [_, done, *_] = [event.response for _, event in call.caller.log if isinstance(event, events.ResponseDone)]
    return done


def loud(call: Call) -> list[np.ndarray]:
    return [frame for frame in call.caller.heard if dbfs(frame) > -50]


BACKCHANNELS = {
    "click": [Say(0.08)],
    "cough": [Say(0.16)],
    "okay": [Say(0.24)],
    "mm-hm": [Say(0.12), Wait(0.06), Say(0.14)],
    "right, right": [Say(0.2), Wait(0.6), Say(0.2)],
}


@pytest.mark.parametrize("seconds", [0.6, 1.5])
def test_an_interruption_silences_the_agent_within_100_ms_and_ends_its_reply_within_400(seconds):
    call = overlapped(Say(seconds))
    onset = STORY_STARTS + 2.0
    assert onset < call.caller.audible()[1][1] <= onset + 0.1
    assert story(call).status == "cancelled"
    cancelled = next(time for time, event in call.caller.log if getattr(event, "response", None) == story(call))
    assert cancelled <= onset + 0.4
    assert call.session.conversation.messages[-1].text == "I see."


def test_the_history_ends_where_the_agent_fell_silent():
    call = overlapped(Say(1.0))
    message = call.session.conversation.messages[3]
    start, end = call.caller.audible()[1]
    assert len(message.text.split()) == int((end - start) / WORD + 1e-6)
    assert message.interrupted


@pytest.mark.parametrize("sounds", BACKCHANNELS.values(), ids=BACKCHANNELS)
def test_a_backchannel_does_not_end_a_reply(sounds):
    call = overlapped(*sounds)
    assert story(call).status == "completed"
    assert [message.text for message in call.session.conversation.messages] == ["", "Yes?", "", STORY]
    assert not any(message.interrupted for message in call.session.conversation.messages)
    assert len(call.caller.times(events.SpeechStarted)) == 2


@pytest.mark.parametrize("sounds", BACKCHANNELS.values(), ids=BACKCHANNELS)
def test_the_voice_comes_back_where_it_was(sounds):
    held, whole = overlapped(*sounds), overlapped()
    assert len(loud(held)) - len(loud(whole)) in {0, 1, 2}, "of a frame in which it falls silent a quarter is heard"
    assert held.caller.audible()[-1][1] > whole.caller.audible()[-1][1]


def test_the_pause_for_a_backchannel_is_short():
    call = overlapped(Say(0.24))
    _, (_, silent), (back, _) = call.caller.audible()
    assert silent == pytest.approx(STORY_STARTS + 2.08, abs=0.021)
    assert back - silent <= 0.45


def test_a_backchannel_leaves_a_mark_and_nothing_else():
    call, whole = overlapped(Say(0.24)), overlapped()
    assert [type(event) for _, event in call.caller.log] == [type(event) for _, event in whole.caller.log]
    assert "overlap" in call.traces[1].marks
    assert "overlap" not in whole.traces[1].marks


def test_an_interruption_after_a_backchannel_counts_only_itself():
    call = overlapped(Say(0.24), Wait(0.4), Say(0.24), Wait(0.4), Say(0.24))
    assert story(call).status == "completed"


@pytest.mark.parametrize("level", [-6, -20, -30])
@pytest.mark.parametrize("delay", [0.04, 0.14, 0.3])
def test_the_agent_does_not_interrupt_itself(level, delay):
    call = overlapped(before=[Room(echo=level, delay=delay)])
    assert story(call).status == "completed"
    assert "overlap" not in call.traces[1].marks
    assert len(call.caller.times(events.SpeechStarted)) == 2


@pytest.mark.parametrize("level", [-20, -30])
def test_the_caller_is_heard_through_an_echo(level):
    call = overlapped(Say(1.0), before=[Room(echo=level)])
    assert story(call).status == "cancelled"
    assert call.caller.audible()[1][1] <= STORY_STARTS + 2.0 + 0.2


def test_in_the_agents_first_second_more_is_needed():
    early = [Say(0.5), Wait(0.5 + 0.4), Say(0.4), Wait(9)]
    assert simulate(early, ScriptedEngine([STORY], per_token=0), VOICE).traces[0].status == "completed"
    late = [Say(0.5), Wait(0.5 + 1.4), Say(0.4), Wait(9)]
    assert simulate(late, ScriptedEngine([STORY], per_token=0), VOICE).traces[0].status == "cancelled"


def test_an_agent_that_may_not_be_interrupted_speaks_on():
    forbid = (
        '{"type":"session.update","session":{"audio":{"input":{"turn_detection":'
        '{"type":"semantic_vad","interrupt_response":false}}}}}'
    )
    call = overlapped(Say(1.0), before=[Send(forbid)])
    assert story(call).status == "completed"
    assert len(call.caller.audible()) == 2


def test_push_to_talk_gives_a_held_voice_back():
    off = Send('{"type":"session.update","session":{"audio":{"input":{"turn_detection":null}}}}')
    call = overlapped(Say(0.2), off, Say(1.0))
    assert story(call).status == "completed"
    assert len(loud(call)) - len(loud(overlapped())) in {0, 1}


def test_a_client_that_cancels_a_held_voice_cancels_it():
    call = overlapped(Say(0.2), Send('{"type":"response.cancel"}'), Send('{"type":"output_audio_buffer.clear"}'))
    assert story(call).status == "cancelled" or call.traces[1].status == "completed"
    assert len(call.caller.audible()) == 2


def overheard(words: str, seconds: float, first_token: float = 0.05) -> Call:
    """A cough, at which the engine's ability is tried, and then these words over the story."""
    written = iter([SENTENCE, *["((noise))"] * (first_token < 0.5), words])

    def script(messages):
        if PROMPT in messages[-1].text:
            return next(written)
        return ["Yes?", STORY, "I see."][sum(message.role == "user" for message in messages) - 1]

    engine = ScriptedEngine(script, first_token=first_token, per_token=0)
    return simulate([*GREETED, Wait(0.5), Say(0.16), Wait(1.34), Say(seconds), Wait(9)], engine, VOICE)


@pytest.mark.parametrize(("words", "seconds"), [("Stop.", 0.2), ("No.", 0.16), ("A question.", 0.5), ("Stop", 0.9)])
def test_words_that_interrupt_do_so_however_short_they_are(words, seconds):
    call = overheard(words, seconds)
    assert story(call).status == "cancelled"
    assert call.session.conversation.messages[-1].text == "I see."
    assert len(call.caller.times(events.SpeechStarted)) == 3


@pytest.mark.parametrize(("words", "seconds"), [("Okay.", 0.24), ("Yeah, right.", 0.5), ("((noise))", 0.6)])
def test_backchannels_do_not_end_a_reply_however_long_they_are(words, seconds):
    call = overheard(words, seconds)
    assert story(call).status == "completed"
    assert [message.text for message in call.session.conversation.messages] == ["", "Yes?", "", STORY]


def test_the_agent_goes_on_when_the_words_take_too_long():
    call = overheard("Stop.", 0.2, first_token=0.8)
    assert story(call).status == "completed"
