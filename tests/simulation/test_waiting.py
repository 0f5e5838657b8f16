"""How long the agent waits in a pause: by the engine's judgement, the caller's habits, its own question, and the client's wish."""

import pytest

from agent.engine.scripted import ScriptedEngine
from agent.realtime import events
from agent.simulation.caller import Say, Send, Wait
from agent.stages import Speculation
from agent.turns.turn import TurnSettings
from tests.simulation.calls import simulate

TURN = [Say(1), Wait(6)]
BELIEVED = TurnSettings(calibrated=True)


def judging(probability, **others):
    return ScriptedEngine(["Well."], first_token=0, per_token=0, end_of_turn=lambda messages: probability, **others)


def waits(call):
    return [trace.milliseconds()["turn_ended"] / 1000 for trace in call.traces]


def update(turn_detection):
    return Send(f'{{"type":"session.update","session":{{"audio":{{"input":{{"turn_detection":{turn_detection}}}}}}}}}')


def test_a_turn_that_is_surely_over_is_answered_sooner_than_one_that_is_not():
    over, open_, unknown = (
        waits(simulate(TURN, engine, settings=BELIEVED))[0] for engine in (judging(0.97), judging(0.03), judging(0.5))
    )
    assert over == pytest.approx(TurnSettings().min_silence, abs=0.021)
    assert unknown == pytest.approx(TurnSettings().silence, abs=0.021)
    assert 1.2 < open_ < TurnSettings().max_silence


def test_an_engine_that_cannot_tell_leaves_the_silence_as_configured():
    assert waits(simulate(TURN, ScriptedEngine(["Yes."]))) == [pytest.approx(0.5, abs=0.021)]


def test_a_judgement_that_comes_late_still_counts():
    call = simulate(TURN, judging(0.03, judging=0.3), settings=BELIEVED)
    assert waits(call)[0] > 1.2


def test_a_thinking_pause_is_not_cut():
    script = [Say(1), Wait(0.9), Say(1), Wait(3)]

    def unfinished(messages):
        return 0.05 if messages[-1].content[0].samples.size < 2 * 16_000 else 0.95

    call = simulate(script, ScriptedEngine(["Yes."], end_of_turn=unfinished), settings=BELIEVED)
    assert len(call.caller.times(events.Committed)) == 1
    assert waits(call) == [pytest.approx(0.3, abs=0.021)]
    assert call.traces[0].end_of_turn == 0.95


def test_a_caller_who_pauses_briefly_is_answered_sooner():
    stutter = [step for _ in range(8) for step in (Say(0.5), Wait(0.2))]
    assert waits(simulate([*stutter, Wait(3)], ScriptedEngine(["Yes."])))[0] < 0.42


def test_a_caller_who_was_cut_off_is_waited_for_longer():
    call = simulate([Say(1), Wait(0.7), Say(1), Wait(3), Say(1), Wait(3)], ScriptedEngine(["Yes."], first_token=0.5))
    assert len(waits(call)) == 3
    assert waits(call)[1] > waits(call)[0] + 0.05


def test_a_number_is_waited_for():
    script = [Say(1), Wait(3), Say(1), Wait(0.7), Say(1), Wait(4)]
    number = simulate(script, ScriptedEngine(["What is your phone number?"], per_token=0))
    assert len(number.caller.times(events.Committed)) == 2
    nothing = simulate(script, ScriptedEngine(["What would you like?"], per_token=0))
    assert len(nothing.caller.times(events.Committed)) == 3


@pytest.mark.parametrize(("eagerness", "silence"), [("low", 1.0), ("medium", 0.5), ("auto", 0.5), ("high", 0.25)])
def test_eagerness(eagerness, silence):
    call = simulate([update(f'{{"type":"semantic_vad","eagerness":"{eagerness}"}}'), *TURN], ScriptedEngine(["Yes."]))
    assert waits(call) == [pytest.approx(silence, abs=0.021)]


def test_server_vad_waits_what_it_says_whatever_the_engine_thinks():
    call = simulate([update('{"type":"server_vad","silence_duration_ms":700}'), *TURN], judging(0.99))
    assert waits(call) == [pytest.approx(0.7, abs=0.021)]


def test_the_settings_can_change_in_the_middle_of_a_call():
    patient, eager = (
        update('{"type":"semantic_vad","eagerness":"low"}'),
        update('{"type":"server_vad","silence_duration_ms":200}'),
    )
    call = simulate([Say(1), Wait(2), patient, Say(1), Wait(3), eager, Say(1), Wait(2)], ScriptedEngine(["Yes."]))
    assert waits(call) == [pytest.approx(each, abs=0.021) for each in (0.5, 1.0, 0.2)]


def test_waiting_needs_no_speculation():
    call = simulate(TURN, ScriptedEngine(["Yes."]), speculation=Speculation(tries=0))
    assert waits(call) == [pytest.approx(0.5, abs=0.021)]


def test_the_trace_tells_what_was_decided_and_why():
    [trace] = simulate(TURN, judging(0.97), settings=BELIEVED).traces
    assert (trace.wait, trace.end_of_turn) == (0.3, 0.97)


def test_an_engine_is_believed_once_it_has_proved_itself():
    stutter = [step for _ in range(4) for step in (Say(0.5), Wait(0.3))]
    turns = [step for _ in range(4) for step in (*stutter, Wait(2.5))]

    def knowing(messages):
        return 0.001 if messages[-1].content[0].samples.size < 2.9 * 16_000 else 0.1

    knows = waits(simulate(turns, ScriptedEngine(["Yes."], end_of_turn=knowing)))
    blind = waits(simulate(turns, ScriptedEngine(["Yes."], end_of_turn=lambda messages: 0.001)))
    assert len(knows) == len(blind) == 4
    assert knows[-1] < blind[-1] - 0.1
