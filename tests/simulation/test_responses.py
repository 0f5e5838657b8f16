"""Responses as clients ask for them, and the conversation as clients edit it: what the engine is given, and what clients are told."""

import base64
import json
from typing import Annotated

import numpy as np
import pytest
from pydantic import Field, TypeAdapter

from agent import g711
from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.simulation.call import simulate as simulated
from agent.simulation.caller import Say, Send, Wait
from agent.simulation.sound import ToneVoice, tone
from agent.stages import Speculation, Stages
from tests.simulation.calls import simulate

sdk = pytest.importorskip("openai.types.realtime", reason="the openai SDK is a development dependency")
SERVER_EVENT = TypeAdapter(Annotated[sdk.RealtimeServerEvent, Field(discriminator="type")])

ANSWER = "One two three four."


def send(kind, **fields):
    return Send(json.dumps({"type": kind, "event_id": "mine", **fields}))


def create(text, role="user", item_id=None, **fields):
    content = [{"type": "output_text" if role == "assistant" else "input_text", "text": text}]
    item = {"type": "message", "role": role, "content": content} | ({"id": item_id} if item_id else {})
    return send("conversation.item.create", item=item, **fields)


def respond(**response):
    return send("response.create", response=response)


class Hearer(ScriptedEngine):
    """Notes what it is asked."""

    def __init__(self, script=(ANSWER,), **times):
        super().__init__(script, **times)
        self.asked = []

    async def reply(self, messages, options=None, usage=None):
        self.asked.append([(message.role, message.text) for message in messages])
        async for delta in super().reply(messages, options, usage):
            yield delta


def call(*script, engine=None, **stages):
    """A call whose every event is one that the SDK knows."""
    done = simulate(script, engine or ScriptedEngine([ANSWER]), **stages)
    for number, (_, event) in enumerate(done.caller.log):
        if not event.type.startswith("parley."):
            SERVER_EVENT.validate_json(events.serialise(event, f"event_{number}"), strict=True)
    return done


def kinds(call, *but):
    return [event.type for _, event in call.caller.log if event.type not in {"parley.trace", *but}]


def of(call, kind):
    return [event for _, event in call.caller.log if isinstance(event, kind)]


def responses(call):
    return [event.response for event in of(call, events.ResponseDone)]


def errors(call):
    return [event.error for event in of(call, events.Error)]


# The session.


def test_every_field_of_a_session_is_echoed():
    wanted = {
        "type": "realtime",
        "output_modalities": ["text"],
        "max_output_tokens": 100,
        "truncation": {
            "type": "retention_ratio",
            "retention_ratio": 0.5,
            "token_limits": {"post_instructions": 900},
        },
        "include": ["item.input_audio_transcription.logprobs"],
        "tracing": {"workflow_name": "test", "group_id": None, "metadata": {"a": "b"}},
        "prompt": None,
        "tools": [{"type": "function", "name": "f", "description": "", "parameters": {"type": "object"}}],
        "tool_choice": "required",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "low"},
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "noise_reduction": {"type": "near_field"},
                "transcription": {"model": "whisper-1", "language": "en", "prompt": "Parley"},
                "turn_detection": None,
            },
            "output": {"format": {"type": "audio/pcma"}, "voice": "marin", "speed": 1.25},
        },
    }
    [updated] = of(call(send("session.update", session=wanted), Wait(0.1)), events.SessionUpdated)
    shown = json.loads(updated.session.model_dump_json())
    assert {key: shown[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"output_modalities": ["audio", "text"]}, "session.output_modalities"),
        ({"max_output_tokens": 0}, "session.max_output_tokens"),
        ({"truncation": "never"}, "session.truncation"),
        ({"prompt": {"id": "pmpt_1"}}, "session.prompt"),
        ({"audio": {"output": {"speed": 9}}}, "session.audio.output.speed"),
        ({"audio": {"input": {"transcription": {"model": 3}}}}, "session.audio.input.transcription.model"),
        ({"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}}}, None),
        ({"type": "transcription"}, "session.type"),
        ({"include": ["everything"]}, "session.include.0"),
        ({"tracing": {"metadata": {"a": 1}}}, "session.tracing.metadata.a"),
    ],
)
def test_what_a_session_cannot_be_is_refused_by_name(changes, param):
    refused = call(send("session.update", session=changes), Wait(0.1))
    assert of(refused, events.SessionUpdated) == []
    [error] = errors(refused)
    assert (error.code, error.event_id) == ("invalid_value", "mine")
    assert error.param == (param or "session.audio.input.turn_detection.threshold")


# Text.


def test_an_answer_as_text_has_no_audio():
    done = call(
        send("session.update", session={"output_modalities": ["text"]}),
        Say(0.5),
        Wait(3),
        speculation=Speculation(tries=0),
    )
    assert kinds(done)[7:] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 4,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    assert not done.caller.audible()
    [response] = responses(done)
    assert response.output[0].content[0].text == ANSWER
    assert done.session.conversation.messages[-1].text == ANSWER


def test_a_text_answer_that_is_cancelled_keeps_what_was_shown():
    engine = ScriptedEngine([ANSWER], per_token=1)
    done = call(
        create("Hi."), respond(output_modalities=["text"]), Wait(1.5), send("response.cancel"), Wait(3), engine=engine
    )
    [response] = responses(done)
    assert (response.status, response.status_details.reason) == ("cancelled", "client_cancelled")
    assert response.output[0].content[0].text == "One two"
    assert (response.output[0].status, response.usage.output_tokens) == ("incomplete", 2)


# One response.


def test_a_response_as_the_client_wants_it():
    engine = Hearer()
    done = call(
        create("Hello."),
        respond(instructions="Rhyme.", metadata={"topic": "rhymes"}, max_output_tokens=2),
        Wait(3),
        create("Again."),
        respond(),
        Wait(3),
        engine=engine,
    )
    assert engine.asked[0] == [("system", "Rhyme."), ("user", "Hello.")]
    assert engine.asked[1][0] == ("system", "Be brief.")
    first, second = responses(done)
    assert (first.status, first.status_details.reason) == ("incomplete", "max_output_tokens")
    assert first.output[0].content[0].transcript == "One two"
    assert (first.metadata, first.max_output_tokens) == ({"topic": "rhymes"}, 2)
    assert (second.status, second.metadata, second.max_output_tokens) == ("completed", None, "inf")
    assert done.caller.audible()[0][1] - done.caller.audible()[0][0] == pytest.approx(0.5, abs=0.05)
    assert of(done, events.ResponseCreated)[0].response.metadata == {"topic": "rhymes"}


def test_an_answer_is_spoken_as_fast_as_the_session_says():
    done = call(
        create("Hello."),
        respond(),
        Wait(3),
        send("session.update", session={"audio": {"output": {"speed": 0.5}}}),
        respond(),
        Wait(3),
    )
    first, second = [end - start for start, end in done.caller.audible()]
    assert (first, second) == (pytest.approx(1, abs=0.05), pytest.approx(2, abs=0.05))


def test_a_session_and_a_response_name_their_voice():
    stages = Stages(ScriptedEngine([ANSWER]), ToneVoice(), voices={"slow": ToneVoice(word_seconds=0.5, name="slow")})

    def speak(voice):
        return {"audio": {"output": {"voice": voice}}}

    changed = send("session.update", session=speak("slow"))
    script = [create("Hello."), respond(), Wait(3), respond(**speak("slow")), Wait(3), changed, respond(), Wait(3)]
    done = simulated([*script, respond(**speak("alloy")), Wait(3)], stages)
    lengths = [end - start for start, end in done.caller.audible()]
    assert lengths == [pytest.approx(seconds, abs=0.05) for seconds in (1, 2, 2, 1)]
    assert [trace.voice for trace in stages.traces] == ["tones", "slow", "slow", "tones"]
    assert [response.audio.output.voice for response in responses(done)[1:]] == ["slow", "slow", "alloy"]


def test_what_a_response_took_is_told():
    [first, second] = responses(call(Say(0.5), Wait(3), create("Four words are here."), respond(), Wait(3)))
    usage = first.usage
    assert (usage.input_token_details.text_tokens, usage.input_token_details.audio_tokens) == (2, 5)
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (7, 4, 11)
    assert second.usage.input_token_details.text_tokens == 2 + 4 + 4
    assert second.usage.output_token_details.text_tokens == 4


def test_instructions_alone_are_answered():
    engine = Hearer()
    done = call(respond(instructions="Greet the caller."), Wait(3), engine=engine)
    assert [response.status for response in responses(done)] == ["completed"]
    assert engine.asked == [[("system", "Greet the caller."), ("user", "Greet the caller.")]]


def test_input_takes_the_place_of_the_conversation():
    engine = Hearer()
    question = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Only this."}]}
    done = call(
        create("Hello.", item_id="first"),
        create("Forget me."),
        respond(input=[{"type": "item_reference", "id": "first"}, question]),
        Wait(3),
        respond(input=[{"type": "item_reference", "id": "nobody"}]),
        Wait(1),
        engine=engine,
    )
    assert engine.asked == [[("system", "Be brief."), ("user", "Hello."), ("user", "Only this.")]]
    assert [error.param for error in errors(done)] == ["response.input.0.id"]
    assert [message.text for message in done.session.conversation.messages] == ["Hello.", "Forget me.", ANSWER]


# Out of band.


def test_a_response_out_of_band_leaves_no_trace_in_the_conversation():
    engine = Hearer()
    done = call(
        create("Hello."),
        respond(
            conversation="none", output_modalities=["text"], metadata={"purpose": "classify"}, instructions="Classify."
        ),
        Wait(3),
        engine=engine,
    )
    assert kinds(done)[3:] == [
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 4,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    [response] = responses(done)
    assert (response.conversation_id, response.metadata) == (None, {"purpose": "classify"})
    assert [message.text for message in done.session.conversation.messages] == ["Hello."]
    assert engine.asked == [[("system", "Classify."), ("user", "Hello.")]]


def test_written_ones_run_beside_what_is_said_and_are_cancelled_by_name():
    beside = [respond(conversation="none", output_modalities=["text"], metadata={"n": str(n)}) for n in range(5)]
    done = call(
        Say(0.5),
        Wait(0.7),
        *beside,
        send("response.cancel", response_id="resp_4"),
        Wait(4),
        engine=ScriptedEngine([ANSWER], first_token=0.3),
    )
    assert [error.code for error in errors(done)] == ["conversation_already_has_active_response"], (
        "the fifth is one too many"
    )
    status = {response.id: response.status for response in responses(done)}
    assert len(status) == 5
    assert sorted(status.values()) == ["cancelled", *["completed"] * 4]
    assert status["resp_4"] == "cancelled"
    assert done.caller.audible()[0][1] - done.caller.audible()[0][0] == pytest.approx(1.0, abs=0.05)


def test_speech_does_not_end_them():
    engine = ScriptedEngine([ANSWER], per_token=1)
    done = call(
        create("Hi."),
        respond(conversation="none", output_modalities=["text"]),
        Wait(0.5),
        Say(0.5),
        Wait(9),
        engine=engine,
    )
    assert [response.status for response in responses(done)] == ["completed", "completed"]


def test_a_spoken_one_needs_the_voice():
    done = call(
        create("Hello."),
        respond(),
        Wait(0.05),
        respond(conversation="none"),
        Wait(4),
        respond(conversation="none"),
        Wait(4),
    )
    assert [error.code for error in errors(done)] == ["conversation_already_has_active_response"]
    assert [response.conversation_id for response in responses(done)] == ["call", None]
    assert len(done.caller.audible()) == 2
    assert len(done.session.conversation.messages) == 2


def test_a_hang_up_ends_all():
    engine = ScriptedEngine([ANSWER], per_token=9)
    done = call(
        create("Hi."), respond(conversation="none", output_modalities=["text"]), respond(), Wait(1), engine=engine
    )
    assert [response.status for response in responses(done)] == ["cancelled", "cancelled"]


# Items.


def test_items_are_inserted_where_the_client_wants_them():
    engine = Hearer()
    done = call(
        create("B", item_id="b"),
        create("D", item_id="d"),
        create("A", role="system", item_id="a", previous_item_id="root"),
        create("C", role="assistant", item_id="c", previous_item_id="b"),
        create("E", previous_item_id="nobody"),
        create("Again", item_id="b"),
        respond(),
        Wait(3),
        engine=engine,
    )
    assert engine.asked[0] == [
        ("system", "Be brief."),
        ("system", "A"),
        ("user", "B"),
        ("assistant", "C"),
        ("user", "D"),
    ]
    added = [(event.item.id, event.previous_item_id) for event in of(done, events.ItemAdded)[:4]]
    assert added == [("b", None), ("d", "b"), ("a", None), ("c", "b")]
    assert [error.param for error in errors(done)] == ["previous_item_id", "item.id"]


def test_calls_and_outputs_of_functions_are_items():
    made = {"type": "function_call", "id": "f", "call_id": "call_1", "name": "get_weather", "arguments": "{}"}
    gave = {"type": "function_call_output", "id": "g", "call_id": "call_1", "output": "Rain."}
    done = call(
        send("conversation.item.create", item=made),
        send("conversation.item.create", item=gave),
        send("conversation.item.retrieve", item_id="f"),
        send("conversation.item.retrieve", item_id="g"),
        Wait(0.1),
    )
    shown = [event.item.model_dump(exclude={"object", "status"}) for event in of(done, events.ItemRetrieved)]
    assert shown == [made, gave]


def test_an_answer_over_webrtc_is_cut_further_when_the_client_says_so():
    item = "item_3"
    done = call(
        Say(0.5),
        Wait(4),
        send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=600),
        send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=99_000),
        send("conversation.item.truncate", item_id="nobody", content_index=0, audio_end_ms=1),
        Wait(1),
    )
    assert [event.audio_end_ms for event in of(done, events.ItemTruncated)] == [600, 1000]
    assert done.session.conversation.find(item).text == "One two"
    assert [error.code for error in errors(done)] == ["item_truncate_invalid_item_id"]


def test_truncating_an_answer_that_plays_stops_it():
    done = call(
        Say(0.5),
        Wait(1.2),
        send("conversation.item.truncate", item_id="item_3", content_index=0, audio_end_ms=300),
        Wait(3),
        engine=ScriptedEngine(["One two three four five six seven eight."]),
    )
    assert done.session.conversation.find("item_3").text == "One"
    assert "output_audio_buffer.cleared" in kinds(done)
    assert of(done, events.ItemTruncated)[-1].audio_end_ms == 300
    assert sum(end - start for start, end in done.caller.audible()) < 1.5


# Audio that a client brings along.


def spoken(seconds, rate=24_000, **part):
    data = np.full(round(seconds * rate), 900, "<i2").tobytes()
    return {"type": "input_audio", "audio": base64.b64encode(data).decode(), **part}


def test_a_users_message_holds_text_and_audio_in_order():
    asked = []

    def script(messages):
        asked.append(messages[-1].content)
        return ANSWER

    content = [
        {"type": "input_text", "text": "Hear: "},
        spoken(1.0, transcript="nine"),
        {"type": "input_text", "text": "Well?"},
    ]
    item = {"id": "mine", "type": "message", "role": "user", "content": content}
    retrieve = send("conversation.item.retrieve", item_id="mine")
    done = call(
        send("conversation.item.create", item=item),
        Wait(0.1),
        respond(),
        Wait(3),
        retrieve,
        Wait(0.1),
        engine=ScriptedEngine(script),
    )
    [(before, audio, after)] = asked
    assert (before.text, after.text, audio.samples.size) == ("Hear: ", "Well?", 16_000)
    assert abs(int(audio.samples[8000]) - 900) < 5
    [shown] = of(done, events.ItemRetrieved)
    assert [part.type for part in shown.item.content] == ["input_text", "input_audio", "input_text"]
    assert shown.item.content[1].transcript == "nine"


def test_audio_is_in_the_sessions_format():
    form = send("session.update", session={"audio": {"input": {"format": {"type": "audio/pcmu"}}}})
    content = [{"type": "input_audio", "audio": base64.b64encode(g711.encode(tone(1.0)[::2], "audio/pcmu")).decode()}]
    item = {"type": "message", "role": "user", "content": content}
    done = call(form, send("conversation.item.create", item=item), Wait(0.1))
    [message] = done.session.conversation.messages
    assert message.content[0].samples.size == 16_000


@pytest.mark.parametrize(
    "content",
    [
        [spoken(0.05)],
        [spoken(301)],
        [{"type": "input_audio", "audio": "AAA="}],
        [{"type": "input_audio", "audio": "not base64"}],
        [{"type": "input_audio"}],
        [{"type": "output_text", "text": "I said that."}],
        [{"type": "input_image", "image_url": "data:,"}],
    ],
)
def test_content_that_cannot_be_taken_is_refused(content):
    item = {"type": "message", "role": "user", "content": content}
    done = call(send("conversation.item.create", item=item), Wait(0.1), create("Still here."), Wait(0.1))
    assert len(errors(done)) == 1
    assert [message.text for message in done.session.conversation.messages] == ["Still here."]
