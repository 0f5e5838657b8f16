"""Transcripts of what the caller says: when, in which order, and what is no transcript."""

import pytest

from agent.conversation import Message, Text
from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.realtime.objects import Transcription
from agent.realtime.transcription import TranscriptionCompleted, TranscriptionFailed
from agent.simulation.caller import Say, Wait
from agent.simulation.sound import ToneVoice
from agent.stages import Stages
from agent.transcribing import MAX_WAITING, PROMPT, SENTENCE, Transcribing, request
from tests.simulation.test_responses import call, errors, kinds, of, send

KIND = "conversation.item.input_audio_transcription"


def speaking(said, answer="It is noon.", repeats=SENTENCE, **times):
    """An engine that answers, and repeats what it is told was said, and the sentence that it is tried with."""

    def script(messages):
        if messages[-1].id == "sentence":
            return repeats
        return said if messages[-1].text == PROMPT else answer

    return ScriptedEngine(script, **times)


def wanting(**transcription):
    return send(
        "session.update", session={"audio": {"input": {"transcription": {"model": "whisper-1", **transcription}}}}
    )


def test_what_was_said_is_told_after_the_answer_and_stays_with_the_item():
    retrieve = send("conversation.item.retrieve", item_id="item_1")
    done = call(wanting(), Say(1.0), Wait(4), retrieve, Wait(0.1), engine=speaking("What time is it?"))
    order = kinds(done, "response.output_audio_transcript.delta")
    assert order.index("response.done") < order.index(f"{KIND}.delta") == order.index(f"{KIND}.completed") - 1
    [completed] = of(done, TranscriptionCompleted)
    assert (completed.item_id, completed.transcript, completed.model) == ("item_1", "What time is it?", "scripted")
    assert completed.usage.input_token_details.audio_tokens == 8
    assert completed.usage.output_tokens == 4
    [shown] = of(done, events.ItemRetrieved)
    assert shown.item.content[0].transcript == "What time is it?"
    assert errors(done) == []


def test_nothing_is_written_down_unless_it_is_wanted():
    done = call(Say(1.0), Wait(4), engine=speaking("What time is it?"))
    assert not [kind for kind in kinds(done) if kind.startswith(KIND)]


def test_transcripts_do_not_change_what_the_model_is_told():
    asked = []

    def script(messages):
        if messages[-1].text == PROMPT:
            return SENTENCE if messages[-1].id == "sentence" else "What time is it?"
        asked.append(messages)
        return "It is noon."

    call(wanting(), Say(1.0), Wait(4), Say(1.0), Wait(4), engine=ScriptedEngine(script))
    assert [message.text for message in asked[-1]] == ["Be brief.", "", "It is noon.", ""]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "no words"),
        ("...", "no words"),
        ("It is noon!", "answered instead"),
        ("one two three four five six seven eight nine ten", "more words"),
        ("on and " * 99, "more words"),
    ],
)
def test_what_cannot_have_been_said_is_a_failure(said, why):
    done = call(wanting(), Say(1.0), Wait(6), engine=speaking(said))
    [failed] = of(done, TranscriptionFailed)
    assert why in failed.error.message
    assert not of(done, TranscriptionCompleted)
    assert f"{KIND}.delta" not in kinds(done)
    assert done.session.conversation.find("item_1").transcript is None


def test_an_engine_that_cannot_repeat_is_not_believed():
    """The demo model answers whatever it is told to do with what it hears."""
    engine = speaking("Please say that again.", repeats="Sorry, I did not understand that.")
    done = call(wanting(), Say(2.0), Wait(5), Say(2.0), Wait(5), engine=engine)
    assert ["cannot repeat" in event.error.message for event in of(done, TranscriptionFailed)] == [True, True]
    assert not of(done, TranscriptionCompleted)


def test_it_is_tried_once_and_may_err_a_little():
    tried = []

    def script(messages):
        tried.append(messages[-1].id)
        if messages[-1].id == "sentence":
            return "my sisters keep seven yellow boat near a bridge"
        return "What time is it?" if messages[-1].text == PROMPT else "It is noon."

    done = call(wanting(), Say(2.0), Wait(5), Say(2.0), Wait(5), engine=ScriptedEngine(script))
    assert tried.count("sentence") == 1
    assert [event.transcript for event in of(done, TranscriptionCompleted)] == ["What time is it?"] * 2


def test_an_engine_that_fails_costs_the_transcript():
    done = call(wanting(), Say(1.0), Wait(4), engine=ScriptedEngine(["Noon."], fail_after=0))
    [failed] = of(done, TranscriptionFailed)
    assert "scripted failure" in failed.error.message


def test_it_waits_for_answers_that_come_meanwhile():
    ask = send("response.create", response={})
    manual = send("session.update", session={"audio": {"input": {"turn_detection": None}}})
    commit = send("input_audio_buffer.commit")
    engine = speaking("What time is it?", first_token=1)
    done = call(wanting(), manual, Say(1.0), commit, Wait(0.02), ask, Wait(5), engine=engine)
    order = kinds(done)
    assert order.index("response.done") < order.index(f"{KIND}.completed")


def test_of_too_many_turns_the_oldest_is_not_written_down():
    sent = []

    class Line:
        send = sent.append

    transcribing = Transcribing(Line(), Stages(speaking(""), ToneVoice()), None, lambda: True)
    for number in range(MAX_WAITING + 2):
        transcribing.put(Message(f"item_{number}", "user", ()), Transcription())
    assert [event.item_id for event in sent] == ["item_0", "item_1"]


def test_the_client_tells_which_words_to_expect():
    turn = Message("a", "user", (Text("typed"),))
    assert [message.text for message in request(turn, Transcription(prompt="Parley"))] == [
        "Words that may occur: Parley",
        PROMPT,
    ]
    assert len(request(turn, Transcription())) == 1
