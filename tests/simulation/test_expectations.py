"""What is expected of a call, against calls that are known to the sample: what is met, what is not, and what a tolerance allows."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from agent.audio import INPUT_RATE
from agent.simulation.expectations import EXACT, Expectation, Outcome
from agent.simulation.sound import tone
from agent.traces.trace import Trace

EXPECTATION = TypeAdapter(Expectation)


def spoken(*spans: tuple[float, float], seconds: float = 6.0):
    """The agent's sound, from when to when."""
    samples = np.zeros(round(seconds * INPUT_RATE), np.int16)
    for start, end in spans:
        samples[round(start * INPUT_RATE) : round(end * INPUT_RATE)] = tone(end - start)
    return samples


CALL = Outcome(
    caller=spoken((0.5, 1.5)),
    agent=spoken((2.0, 3.0), (3.02, 4.0), (5.0, 5.5)),
    events=[
        (0.7, {"type": "input_audio_buffer.speech_started", "item_id": "item_1"}),
        (2.0, {"type": "response.created", "response": {"id": "resp_2", "status": "in_progress"}}),
        (4.0, {"type": "response.done", "response": {"id": "resp_2", "status": "completed"}}),
        (5.5, {"type": "response.done", "response": {"id": "resp_4", "status": "cancelled"}}),
    ],
    traces=[
        Trace(
            "call", "resp_2", "completed", {"speech_stopped": 1.5, "turn_ended": 2.0, "done": 4.0}, tries=1, hit=True
        ),
        Trace("call", "resp_4", "cancelled", {"turn_ended": 4.9, "interrupted": 5.5}),
    ],
    history=["caller", "agent: Once upon a time", "caller", "agent: There was a—"],
)


def failure(tolerance=0.0, outcome=CALL, **fields):
    return EXPECTATION.validate_python(fields).failure(outcome, tolerance)


@pytest.mark.parametrize("moment", [2.0, 2.0 + EXACT, 2.0 - EXACT, 3.02, 5.0])
def test_the_agent_begins_within_a_frame_of_the_moment(moment):
    assert failure(agent="begins", at=moment) is None


@pytest.mark.parametrize("moment", [1.979, 2.021, 4.0])
def test_a_frame_more_is_too_much(moment):
    assert "begins at 2.000, 3.020, 5.000 s" in failure(agent="begins", at=moment)


def test_a_tolerance_widens_every_moment():
    assert failure(agent="stops", at=3.7)
    assert failure(0.3, agent="stops", at=3.7) is None
    assert failure(0.1, agent="stops", between=(4.05, 4.1)) is None
    assert failure(agent="stops", between=(4.05, 4.1))


def test_the_agent_speaks_all_the_time():
    assert failure(agent="speaks", **{"from": 2.0, "to": 3.0}) is None
    assert "does not speak all the time" in failure(agent="speaks", **{"from": 2.0, "to": 4.0})
    assert failure(0.5, agent="speaks", **{"from": 1.8, "to": 3.2}) is None


def test_the_gaps_of_a_real_voice_are_speech():
    voice = Outcome(CALL.caller, CALL.agent, CALL.events, CALL.traces, CALL.history, gap=0.3)
    assert failure(outcome=voice, agent="speaks", **{"from": 2.0, "to": 4.0}) is None
    assert failure(outcome=voice, agent="begins", at=3.02)


def test_the_agent_is_silent():
    assert failure(agent="is silent", **{"from": 4.0, "to": 5.0}) is None
    assert "from 5.000 to 5.500 s" in failure(agent="is silent", **{"from": 4.0, "to": 5.02})
    assert failure(0.1, agent="is silent", **{"from": 3.95, "to": 5.05}) is None


def test_events_are_counted_and_timed():
    assert failure(event="response.done", times=2) is None
    assert failure(event="error", times=0) is None
    assert failure(event="response.created", at=2.0) is None
    assert failure(event="response.done", between=(5.4, 5.6)) is None
    assert "sent 2 times (at 4.000, 5.500 s), and not 1" in failure(event="response.done", times=1)
    assert "is sent never, and not" in failure(event="error", at=1.0)


def test_events_are_told_apart_by_what_they_hold():
    cancelled = {"response": {"status": "cancelled"}}
    assert failure(event="response.done", **{"with": cancelled}, at=5.5, times=1) is None
    assert failure(event="response.done", **{"with": cancelled}, at=4.0)
    assert failure(event="response.done", **{"with": {"response": {"status": "cancelled", "id": "resp_2"}}})
    assert failure(event="response.done", **{"with": {"nothing": 1}})


def test_replies_by_their_order():
    assert failure(reply=1, status="completed", tries=1, hit=True) is None
    assert failure(reply=2, status="cancelled", never="playout_started") is None
    assert failure(reply=1, hit=False) == "reply 1: hit is True, and not False"
    assert failure(reply=3) == "there is no reply 3; 2 ended"


def test_marks_from_the_start_of_the_call_or_from_one_another():
    assert failure(reply=1, mark="turn_ended", at=2.0) is None
    assert failure(reply=1, mark="turn_ended", after="speech_stopped", between=(0.49, 0.51)) is None
    assert "0.500 s after speech_stopped" in failure(reply=1, mark="turn_ended", after="speech_stopped", at=0.4)
    assert "no mark first_token" in failure(reply=1, mark="first_token")
    assert "no mark speech_stopped" in failure(reply=2, mark="turn_ended", after="speech_stopped", at=1)


def test_the_history_word_for_word():
    assert failure(history=CALL.history) is None
    assert failure(history=CALL.history[:3])
    assert failure(history=[*CALL.history[:3], "agent: There was a king—"])


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("agent: There was a king—", True),
        ("agent: There was—", True),
        ("agent: There was a king with two—", False),
        ("agent: There was a", False),
        ("agent: Three was a—", False),
    ],
)
def test_in_real_time_an_answer_may_be_cut_two_words_beside(line, right):
    assert (failure(0.2, history=[*CALL.history[:3], line]) is None) is right


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"agent": "begins"},
        {"agent": "begins", "at": 1, "between": (1, 2)},
        {"agent": "speaks", "from": 2},
        {"agent": "is silent", "from": 2, "to": 1},
        {"event": "error", "times": -1},
        {"reply": 0},
        {"reply": 1, "mark": "no_such_mark"},
        {"history": "caller"},
    ],
)
def test_what_says_nothing_is_refused(fields):
    with pytest.raises(ValidationError):
        EXPECTATION.validate_python(fields)
