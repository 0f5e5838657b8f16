"""Voice to voice, barge-in and history in numbers: the targets, in virtual time."""

import random
import statistics

import pytest

from agent.engine.scripted import ScriptedEngine
from agent.simulation.caller import Say, Wait
from agent.simulation.sound import ToneVoice
from agent.turns.turn import TurnSettings
from tests.simulation.calls import simulate


def sentences(seed: int, turns: int = 8):
    """Turns of one to three parts with hesitations between them, and time for an answer after each."""
    rng, script = random.Random(seed), []
    for _ in range(turns):
        for _ in range(rng.randint(1, 3)):
            script += [Say(0.02 * rng.randint(20, 70)), Wait(0.02 * rng.randint(8, 22))]
        script += [Wait(2.5)]
    return script


def knowing(messages) -> float:
    """As probable as an engine finds it that heard about a second: it can tell somewhat."""
    return 0.5 + 0.3 * (messages[-1].content[0].samples.size > 16_000)


@pytest.mark.parametrize("judge", [None, knowing])
@pytest.mark.parametrize("seed", range(3))
def test_an_engine_without_cost_answers_within_40_ms_of_the_decision(seed, judge):
    engine = ScriptedEngine(["Yes."], first_token=0, per_token=0, end_of_turn=judge)
    traces = simulate(sentences(seed), engine, settings=TurnSettings(calibrated=True)).traces
    assert len(traces) >= 8
    for trace in traces:
        v2v = trace.milliseconds()["playout_started"]
        assert v2v <= 1000 * trace.wait + 40


@pytest.mark.parametrize("seed", range(3))
def test_300_ms_of_engine_and_voice_are_hidden_in_four_turns_of_five(seed):
    engine = ScriptedEngine(["Yes, of course."], first_token=0.2, per_token=0)
    traces = simulate(sentences(seed), engine, ToneVoice(first_audio=0.1)).traces
    late = [trace.milliseconds()["playout_started"] - trace.milliseconds()["turn_ended"] for trace in traces]
    assert sum(each <= 40 for each in late) >= 0.8 * len(late)
    assert statistics.median(trace.saved_ms for trace in traces) == pytest.approx(300, abs=5)
