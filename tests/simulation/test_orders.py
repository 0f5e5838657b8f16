"""The order of the server's events in every situation that clients know, over WebRTC and over a WebSocket; each is one that the SDK knows."""

import asyncio

import pytest

from agent.edge.websocket import WebSocketEdge
from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.realtime.objects import AudioInput, ServerVAD, SessionAudio, SessionObject
from agent.session import Session, turn_settings
from agent.simulation.caller import Say, Send, Wait
from agent.simulation.loop import run
from agent.simulation.sound import LevelVAD, ToneVoice, tone
from agent.stages import Speculation, Stages
from agent.turns.hearing import Hearing
from agent.turns.turn import TurnSettings
from tests.edge.test_websocket import Line, append
from tests.simulation.test_responses import SERVER_EVENT, call, create, respond, send
from tests.simulation.test_transcribing import speaking, wanting

ANSWER = "One two three four."


def short(types):
    """Event types without what only Parley's own page reads; a run of one kind of delta is one."""
    types = [kind for kind in types if not kind.startswith("parley.")]
    return [kind for kind, before in zip(types, [None, *types], strict=False) if kind != before or "delta" not in kind]


def over_webrtc(*script, engine=None):
    done = call(*script, engine=engine or ScriptedEngine([ANSWER]), speculation=Speculation(tries=0))
    return short(event.type for _, event in done.caller.log)


def over_websocket(*steps, engine=None):
    """Steps are texts to send, and seconds to wait."""

    async def talk():
        line = Line()
        edge = WebSocketEdge(line, lambda: None)
        stages = Stages(engine or ScriptedEngine([ANSWER]), ToneVoice(), Speculation(tries=0))
        detection = AudioInput(turn_detection=ServerVAD())
        session = SessionObject(id="s", model="m", instructions="", audio=SessionAudio(input=detection))
        hearing = Hearing(LevelVAD(), turn_settings(session, TurnSettings()))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(edge.run())
            serving = tasks.create_task(Session(edge, stages, hearing, session).run())
            for step in steps:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    line.say(*([step.text] if isinstance(step, Send) else step))
            await asyncio.sleep(1)
            line.vanish()
            await serving
        return line.sent

    sent = run(talk())
    for event in sent:
        SERVER_EVENT.validate_python(event, strict=False)
    return short(event["type"] for event in sent)


LONG = ScriptedEngine(["One two three four. " * 5], first_token=0.1, per_token=0.05)
SLOW = ScriptedEngine([ANSWER], per_token=0.5)
SPEECH = [append(tone(0.4)), append(tone(0.4) * 0), append(tone(0.4) * 0)]

ITEM = ["conversation.item.added", "conversation.item.done"]
COMMITTED = ["input_audio_buffer.committed", *ITEM]
STARTED, STOPPED = "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"
TURN = [STARTED, STOPPED, *COMMITTED]
OPENED = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
]
CLOSED = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
]
PLAYED = ["output_audio_buffer.started", "output_audio_buffer.stopped"]
WRITTEN = [
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
]
AUDIO = "response.output_audio.delta"


def detecting(**detection):
    audio = {"input": {"turn_detection": {"type": "server_vad", **detection} if detection else None}}
    return send("session.update", session={"audio": audio})


def test_a_session_is_updated():
    assert over_webrtc(send("session.update", session={}), Wait(0.1)) == ["session.created", "session.updated"]


def test_a_spoken_turn():
    assert over_webrtc(Say(0.5), Wait(4)) == ["session.created", *TURN, *OPENED, *CLOSED, *PLAYED]
    assert over_websocket(SPEECH, 3.0) == ["session.created", *TURN, *OPENED, AUDIO, *CLOSED]


def test_a_long_answer_is_heard_while_it_is_made():
    words = "response.output_audio_transcript.delta"
    order = over_webrtc(Say(0.5), Wait(8), engine=LONG)
    assert order == ["session.created", *TURN, *OPENED, PLAYED[0], words, *CLOSED, PLAYED[1]]


def test_what_was_said_is_written_down_after_its_item():
    kind = "conversation.item.input_audio_transcription"
    order = over_webrtc(wanting(), Say(0.5), Wait(6), engine=speaking("Good day."))
    written = [f"{kind}.delta", f"{kind}.completed"]
    assert order[2:] == [*TURN, *OPENED, *CLOSED, PLAYED[0], *written, PLAYED[1]]


def test_a_typed_turn():
    assert over_webrtc(create("Hi."), respond(), Wait(3))[1:] == [*ITEM, *OPENED, *CLOSED, *PLAYED]
    assert over_webrtc(create("Hi."), respond(output_modalities=["text"]), Wait(3))[1:] == [
        *ITEM,
        *OPENED[:3],
        *WRITTEN,
        *CLOSED[-3:],
    ]


def test_push_to_talk():
    press = [detecting(), [append(tone(0.4))], send("input_audio_buffer.commit"), respond(), 3.0]
    assert over_websocket(*press)[1:] == ["session.updated", *COMMITTED, *OPENED, AUDIO, *CLOSED]
    clear = [detecting(), [append(tone(0.4))], send("input_audio_buffer.clear"), send("input_audio_buffer.commit")]
    assert over_websocket(*clear)[1:] == ["session.updated", "input_audio_buffer.cleared", "error"]


def test_an_interruption_while_the_answer_is_made():
    cut = ["output_audio_buffer.cleared", "conversation.item.truncated"]
    order = over_webrtc(Say(0.5), Wait(2), Say(1.0), Wait(9), engine=LONG)
    words = "response.output_audio_transcript.delta"
    assert order[1:] == [
        *[*TURN, *OPENED, PLAYED[0], words],
        *[STARTED, *CLOSED, *cut, *TURN[1:]],
        *[*OPENED, PLAYED[0], words, *CLOSED, PLAYED[1]],
    ]
    order = over_websocket(SPEECH, 1.0, [append(tone(0.4))], 1.0, engine=SLOW)
    assert order[1:] == [*TURN, *OPENED, STARTED, *CLOSED], "the client truncates what it plays itself"


def test_an_interruption_after_the_answer_was_made():
    order = over_webrtc(Say(0.5), Wait(1.6), Say(1.0), Wait(5), engine=ScriptedEngine([ANSWER * 2]))
    cut = ["output_audio_buffer.cleared", "conversation.item.truncated"]
    assert order[1:] == [
        *[*TURN, *OPENED, *CLOSED, PLAYED[0]],
        *[STARTED, *cut, *TURN[1:]],
        *[*OPENED, *CLOSED, *PLAYED],
    ]


def test_an_answer_that_may_not_be_interrupted():
    order = over_webrtc(detecting(interrupt_response=False), Say(0.5), Wait(1), Say(0.3), Wait(5), engine=SLOW)
    words = "response.output_audio_transcript.delta"
    assert order[2:] == [*TURN, *OPENED, STARTED, words, STOPPED, *COMMITTED, words, *CLOSED, *PLAYED]


def test_the_client_cancels():
    stop = [send("response.cancel"), send("output_audio_buffer.clear")]
    order = over_webrtc(create("Hi."), respond(), Wait(2), *stop, Wait(2), engine=LONG)
    words = "response.output_audio_transcript.delta"
    cut = ["output_audio_buffer.cleared", "conversation.item.truncated"]
    assert order[1:] == [*ITEM, *OPENED, PLAYED[0], words, *CLOSED, *cut]
    assert over_webrtc(*stop[1:], Wait(0.1)) == ["session.created"], "with nothing playing it is no error"


def test_a_function_of_the_client():
    engine = ScriptedEngine(['{"name": "clock", "parameters": {"city": "Bern"}}', "It is noon."])
    tool = {"type": "function", "name": "clock", "parameters": {"type": "object"}}
    output = {"type": "function_call_output", "call_id": "call_4", "output": "noon"}
    script = [create("What time is it?"), respond(tools=[tool]), Wait(2)]
    order = over_webrtc(*script, send("conversation.item.create", item=output), Wait(0.1), engine=engine)
    arguments = ["response.function_call_arguments.delta", "response.function_call_arguments.done"]
    assert order[1:] == [*ITEM, *OPENED[:3], *arguments, *CLOSED[-3:], *ITEM]


def test_a_response_outside_the_conversation():
    order = over_webrtc(respond(conversation="none", output_modalities=["text"]), Wait(2))
    assert order[1:] == [*OPENED[:2], *WRITTEN, "response.output_item.done", "response.done"]


def test_a_silence_is_answered():
    order = over_webrtc(detecting(idle_timeout_ms=5000), Wait(6.5))
    assert order[2:] == ["input_audio_buffer.timeout_triggered", *COMMITTED, *OPENED, *CLOSED, *PLAYED]


def test_items_are_truncated_shown_and_forgotten():
    script = [create("Hi.", item_id="mine"), send("conversation.item.retrieve", item_id="mine")]
    order = over_webrtc(*script, send("conversation.item.delete", item_id="mine"), Wait(0.1))
    assert order[1:] == [*ITEM, "conversation.item.retrieved", "conversation.item.deleted"]


@pytest.mark.parametrize(
    ("event", "code", "says"),
    [
        (send("response.cancel"), "response_cancel_not_active", "Cancellation failed: no active response found"),
        (send("conversation.item.retrieve", item_id="x"), "item_retrieve_invalid_item_id", "'x'"),
        (send("conversation.item.delete", item_id="x"), "item_delete_invalid_item_id", "'x'"),
        (send("input_audio_buffer.commit"), "input_audio_buffer_commit_empty", "buffer too small"),
        (send("no.such.event"), "invalid_value", "type"),
        (send("conversation.item.retrieve"), "missing_required_parameter", "item_id"),
        (Send('{"event_id": "mine"}'), "missing_required_parameter", "type"),
        (Send("{"), "invalid_json", "not valid JSON"),
        (Send("[]"), "invalid_event", "'type'"),
    ],
)
def test_what_is_refused(event, code, says):
    done = call(event, Wait(0.1))
    [error] = [event.error for _, event in done.caller.log if isinstance(event, events.Error)]
    assert (error.code, error.type) == (code, "invalid_request_error")
    assert says in error.message
    assert error.event_id == ("mine" if "mine" in event.text else None)


def test_a_second_answer_is_refused():
    done = call(create("Hi."), respond(), Wait(0.5), respond(), Wait(4), engine=SLOW)
    [error] = [event.error for _, event in done.caller.log if isinstance(event, events.Error)]
    assert (error.code, error.event_id) == ("conversation_already_has_active_response", "mine")
    assert error.message.startswith("Conversation already has an active response in progress: resp_2")
