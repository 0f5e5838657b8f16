"""Marks: first of a name counts, milliseconds from the first in time."""

import pytest

from agent.trace import Trace


def test_marks_in_order_of_time_from_the_first():
    trace = Trace("call", "resp_1")
    trace.mark("turn_ended", 10.5)
    trace.mark("speech_stopped", 10.0)
    trace.mark("first_token", 10.6)
    trace.mark("first_token", 10.9)
    assert trace.milliseconds() == {"speech_stopped": 0.0, "turn_ended": 500.0, "first_token": 600.0}
    assert list(trace.milliseconds()) == ["speech_stopped", "turn_ended", "first_token"]


def test_the_logs_line():
    trace = Trace("call", "resp_1", status="completed")
    trace.mark("turn_ended", 1.0)
    assert str(trace) == "resp_1 completed turn_ended=0"
    assert Trace("call", "resp_2").milliseconds() == {}


def prepared(**marks) -> Trace:
    return Trace("call", "resp_1", hit=True, tries=1, marks=marks)


def test_what_was_prepared_before_the_turn_was_over_is_saved():
    assert prepared(started=1.0, first_audio=1.3, turn_ended=1.5).saved_ms == 300
    assert prepared(started=1.0, first_audio=1.8, turn_ended=1.5).saved_ms == 500


@pytest.mark.parametrize(
    "trace",
    [
        Trace("call", "resp_1", marks={"started": 1.0, "first_audio": 1.3, "turn_ended": 1.5}),
        prepared(started=1.0, turn_ended=1.5),
        prepared(started=1.5, first_audio=1.7, turn_ended=1.5),
    ],
    ids=["not prepared", "nothing said", "only when it was over"],
)
def test_otherwise_nothing_is(trace):
    assert trace.saved_ms == 0


def test_what_clients_and_reports_are_told():
    trace = Trace("call", "resp_1", "completed", {"speech_stopped": 1.0, "turn_ended": 1.3}, wait=0.2949, tries=2)
    assert trace.as_json() == {
        "status": "completed",
        "marks": {"speech_stopped": 0.0, "turn_ended": 300.0},
        "wait_ms": 295,
        "end_of_turn": None,
        "tries": 2,
        "hit": False,
        "saved_ms": 0.0,
    }
