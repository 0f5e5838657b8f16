"""Marks, the stages and the outcome computed from them, and what a caller's report adds."""

import pytest

from agent.traces.trace import STAGES, Budget, Decision, Ear, Pause, Trace, full_json

EAR = Ear(clock_error_ms=1.5, round_trip_ms=20)


def test_marks_in_order_of_time_from_the_last_syllable():
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


def turn(**marks) -> Trace:
    usual = {
        "speech_stopped": 10.0,
        "started": 10.15,
        "prefill_done": 10.2,
        "first_token": 10.3,
        "first_chunk": 10.32,
        "turn_ended": 10.4,
        "first_audio": 10.45,
        "playout_started": 10.46,
    }
    return Trace("call", "resp_1", marks=usual | marks)


def test_stages_add_up_to_voice_to_voice_and_work_done_ahead_has_no_length():
    trace = turn(spoken=9.98, heard=10.55)
    stages = trace.stages()
    assert list(stages) == list(STAGES)
    assert sum(stages.values()) == pytest.approx(trace.voice_to_voice) == pytest.approx(0.57)
    assert stages["silence"] == pytest.approx(0.42)
    assert stages["hearing"] == stages["first_word"] == stages["first_clause"] == 0
    assert stages["network"] == pytest.approx(0.09)


def test_without_a_report_the_server_stands_in():
    assert turn().voice_to_voice == pytest.approx(0.46)
    assert "network" not in turn().stages()
    assert full_json(turn(), Budget())["measured"] == "server"
    assert Trace("call", "resp_1", marks={"speech_stopped": 1.0, "turn_ended": 1.4}).voice_to_voice is None


def test_a_report_counts_once_and_only_if_it_can_be_true():
    trace = turn()
    assert not trace.report(9.9, 9.0, EAR), "heard before it was sent"
    assert not trace.report(9.9, 16.0, EAR), "seconds too late"
    assert trace.voice_to_voice == pytest.approx(0.46)
    assert trace.report(9.9, 10.6, EAR)
    assert not trace.report(9.9, 10.7, EAR)
    assert trace.voice_to_voice == pytest.approx(0.7)
    assert full_json(trace, Budget())["measured"] == "ear"


@pytest.mark.parametrize("spoken", [None, 8.9, 10.5], ids=["unknown", "too early", "after the answer"])
def test_what_cannot_have_been_the_last_syllable_is_left_out(spoken):
    trace = turn()
    assert trace.report(spoken, 10.6, EAR)
    assert trace.zero == 10.0


def test_nothing_that_was_never_audible_is_heard():
    trace = Trace("call", "resp_1", marks={"speech_stopped": 1.0, "turn_ended": 1.4})
    assert not trace.report(1.0, 1.5, EAR)


def test_the_stage_that_broke_the_budget():
    budget = Budget(voice_to_voice=0.5, silence=0.45, voice=0.02)
    assert turn().over(budget) is None
    assert turn(turn_ended=10.6, first_audio=10.65, playout_started=10.66).over(budget) == "silence"
    assert turn(first_audio=10.6, playout_started=10.62).over(budget) == "voice"


@pytest.mark.parametrize(
    ("status", "reason", "marks", "outcome"),
    [
        ("in_progress", None, {}, "in_progress"),
        ("completed", None, {}, "completed"),
        ("completed", "turn_detected", {"interrupted": 13.0}, "barge_in"),
        ("cancelled", "turn_detected", {"interrupted": 10.8}, "false_start"),
        ("cancelled", "client_cancelled", {"interrupted": 10.8}, "cancelled"),
        ("failed", None, {}, "failed"),
    ],
)
def test_how_a_turn_ended(status, reason, marks, outcome):
    trace = turn(**marks)
    trace.status, trace.reason = status, reason
    assert trace.outcome == outcome


def test_an_answer_that_was_cut_before_it_was_audible_was_a_false_start():
    marks = {"speech_stopped": 10.0, "turn_ended": 10.4, "interrupted": 12.0}
    assert Trace("call", "r", "cancelled", marks, reason="turn_detected").outcome == "false_start"


def test_what_clients_are_told():
    trace = Trace("call", "resp_1", "completed", {"speech_stopped": 1.0, "turn_ended": 1.3}, wait=0.2949, tries=2)
    assert trace.as_json() == {
        "status": "completed",
        "marks": {"speech_stopped": 0.0, "turn_ended": 300.0},
        "wait_ms": 295,
        "end_of_turn": None,
        "tries": 2,
        "hit": False,
        "saved_ms": 0.0,
        "unasked": False,
    }


def test_what_reports_are_told_counts_from_the_last_syllable():
    trace = turn()
    trace.report(9.98, 10.55, EAR)
    decision = Decision(at=0.18, median=0.3, spread=0.6, evidence=1.23456, allowed=0.2)
    trace.pauses = (Pause(8.0, 0.5, 0.2, "dictation", 0.3, decision), Pause(10.0, 0.4, 0.9, "anything"))
    trace.withdrawn = ({"started": 8.15, "first_token": 8.2, "done": 8.3},)
    told = full_json(trace, Budget(voice_to_voice=0.5))
    assert told["marks"]["spoken"] == 0
    assert told["marks"]["heard"] == told["v2v_ms"] == 570
    assert told["pauses"][0] == {
        "start": -1980,
        "wait_ms": 500,
        "length_ms": 300,
        "end_of_turn": 0.2,
        "expected": "dictation",
        "decision": {"at_ms": 180, "median_ms": 300.0, "spread": 0.6, "evidence": 1.235, "allowed": 0.2},
    }
    assert told["withdrawn"] == [{"started": -1830, "first_token": -1780, "done": -1680}]
    assert (told["over"], told["ear"]["clock_error_ms"]) == ("network", 1.5)


def test_nobody_waits_for_what_is_said_unasked():
    trace = Trace("call", "resp", marks={"started": 1.0, "turn_ended": 1.0, "playout_started": 1.01}, unasked=True)
    assert (trace.voice_to_voice, trace.stages(), trace.over(Budget(voice_to_voice=0.001))) == (None, {}, None)
