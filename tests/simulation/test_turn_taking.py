"""Whole calls without interruptions: when a turn ends, what is said, which events go out in which order."""

import pytest

from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.simulation.caller import Say, Send, Wait
from agent.simulation.sound import ToneVoice
from agent.turns.turn import TurnSettings
from tests.simulation.calls import simulate


def test_a_question_is_answered_after_the_end_of_turn_silence():
    call = simulate(
        [Wait(0.5), Say(1.0), Wait(3.0)], ScriptedEngine(["Good morning to you."], first_token=0.1, per_token=0)
    )
    [(start, end)] = call.caller.audible()
    # Speech ends at 1.5 s; 0.5 s of silence, in which the answer is prepared; the frame in which the voice is handed over.
    assert start == pytest.approx(2.0, abs=0.021)
    assert end - start == pytest.approx(1.0, abs=0.021)
    assert call.session.conversation.messages[-1].text == "Good morning to you."
    [trace] = call.traces
    marks = trace.milliseconds()
    assert marks["speech_stopped"] == 0
    assert marks["turn_ended"] == pytest.approx(500, abs=20)
    assert marks["first_token"] - marks["started"] == pytest.approx(100, abs=1)
    assert marks["playout_started"] - marks["turn_ended"] <= 20


def test_a_turns_events_come_in_the_order_that_clients_need():
    call = simulate([Say(1.0), Wait(2.0)], ScriptedEngine(["Hello."]))
    assert [event.type for _, event in call.caller.log] == [
        "session.created",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "parley.words",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "parley.trace",
    ]


def test_the_turns_audio_holds_the_speech_its_padding_and_the_first_pause():
    call = simulate([Wait(1.0), Say(0.8), Wait(1.0)], ScriptedEngine(["Yes."]))
    [audio] = call.session.conversation.messages[0].content
    assert audio.samples.size / 16_000 == pytest.approx(0.3 + 0.8 + 0.15, abs=0.02)


def test_the_voice_starts_before_the_text_is_complete():
    text = "That is a good question, and " + "here is a long answer to it " * 8
    call = simulate([Say(0.5), Wait(30)], ScriptedEngine([text], per_token=0.2))
    marks = call.traces[0].milliseconds()
    written = 200 * len(text.split())
    assert marks["playout_started"] - marks["first_token"] < written / 4
    assert len(call.caller.audible()) >= 1
    assert call.session.conversation.messages[-1].text == text


def test_a_pause_shorter_than_the_silence_does_not_end_the_turn():
    call = simulate([Say(0.5), Wait(0.4), Say(0.5), Wait(2)], ScriptedEngine(["Yes."]))
    assert len(call.caller.times(events.Committed)) == 1


def test_a_click_is_no_turn():
    call = simulate([Wait(0.2), Say(0.06), Wait(2)], ScriptedEngine(["Yes."]))
    assert not call.caller.times(events.SpeechStarted)
    assert not call.caller.audible()


def test_a_turn_that_never_ends_is_cut():
    call = simulate([Say(12), Wait(2)], ScriptedEngine(["Yes."]), settings=TurnSettings(max_turn=5.0))
    assert len(call.caller.times(events.Committed)) == 3


def test_typed_words_are_answered():
    item = '{"type":"message","role":"user","content":[{"type":"input_text","text":"Hello"}]}'
    script = [
        Wait(0.1),
        Send(f'{{"type":"conversation.item.create","item":{item}}}'),
        Send('{"type":"response.create"}'),
        Wait(2),
    ]
    call = simulate(script, ScriptedEngine(lambda messages: f"You wrote {messages[-1].text}."))
    assert call.session.conversation.messages[-1].text == "You wrote Hello."
    assert len(call.caller.audible()) == 1


def test_push_to_talk_leaves_the_turns_to_the_client():
    off = '{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":null}}}}'
    commit, answer = Send('{"type":"input_audio_buffer.commit"}'), Send('{"type":"response.create"}')
    clear = Send('{"type":"input_audio_buffer.clear"}')
    call = simulate(
        [Send(off), Wait(0.1), Say(1), clear, Say(0.5), Wait(0.6), commit, answer, Wait(2)], ScriptedEngine(["Done."])
    )
    [audio] = call.session.conversation.messages[0].content
    assert audio.samples.size / 16_000 == pytest.approx(1.1, abs=0.04)
    assert not call.caller.times(events.SpeechStarted)
    assert len(call.caller.audible()) == 1


def test_push_to_talk_that_begins_in_a_pause_commits_what_was_said_since():
    off = Send('{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":null}}}}')
    commit, answer = Send('{"type":"input_audio_buffer.commit"}'), Send('{"type":"response.create"}')
    call = simulate([Say(1), Wait(0.3), off, Say(2), commit, answer, Wait(2)], ScriptedEngine(["Done."]))
    [audio] = call.session.conversation.messages[0].content
    assert audio.samples.size / 16_000 == pytest.approx(2.0, abs=0.04)
    assert [(trace.tries, trace.hit) for trace in call.traces] == [(1, False)]


def test_a_sessions_silence_is_waited_for():
    update = '{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":{"type":"server_vad","silence_duration_ms":200}}}}}'
    call = simulate([Send(update), Say(1), Wait(2)], ScriptedEngine(["Yes."]))
    assert call.traces[0].milliseconds()["turn_ended"] == pytest.approx(200, abs=20)


def test_two_runs_of_one_conversation_are_equal():
    script = [Say(1), Wait(1.2), Say(0.5), Wait(2), Say(1.5), Wait(6)]
    engine = ScriptedEngine(["One two three four five six.", "Seven eight.", "Nine ten, eleven twelve."])
    first, second = (simulate(script, engine, ToneVoice(first_audio=0.05)) for _ in range(2))
    assert [(time, event) for time, event in first.caller.log] == [(time, event) for time, event in second.caller.log]


def test_the_instructions_and_the_history_reach_the_engine():
    seen = []
    engine = ScriptedEngine(
        lambda messages: seen.append([(m.role, m.text) for m in messages]) or f"Answer {len(seen)}."
    )
    simulate([Say(1), Wait(3), Say(1), Wait(3)], engine)
    assert seen[1] == [("system", "Be brief."), ("user", ""), ("assistant", "Answer 1."), ("user", "")]
