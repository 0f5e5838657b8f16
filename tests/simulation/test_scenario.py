"""A scenario as a value: what is said when, what disturbs it, and what a change makes of it."""

import json

import numpy as np
import pytest

from agent.audio import INPUT_RATE
from agent.simulation.caller import Line, Play, Room, Send
from agent.simulation.play import cast, detector
from agent.simulation.scenario import Scenario, ScenarioError, set_value
from agent.simulation.sound import LevelVAD, tone
from agent.tts.espeak import EspeakTTS


def scenario(**values) -> Scenario:
    return Scenario.model_validate({"title": "A call", "lasts": 3.0, **values})


def sound(script):
    return np.concatenate([step.samples for step in script if isinstance(step, Play)])


def changes(script):
    """What happens beside the sounds, with the seconds that were heard before it."""
    found, heard = [], 0
    for step in script:
        if isinstance(step, Play):
            heard += step.samples.size
        else:
            found.append((round(heard / INPUT_RATE, 4), step))
    return found


SPOKEN = ({"says": "One.", "from": 0.5, "to": 1.0}, {"says": "Two.", "from": 1.2505, "to": 2.0})


def test_sounds_begin_where_they_are_said_to_the_sample():
    line = sound(scenario(caller=SPOKEN).script({0: tone(0.5), 1: tone(0.7495)}))
    assert line.size == 3 * INPUT_RATE
    expected = np.zeros_like(line)
    expected[8000:16_000] = tone(0.5)
    expected[20_008:32_000] = tone(0.7495)
    assert np.array_equal(line, expected)


def test_sounds_at_the_same_time_are_heard_together():
    both = ({"says": "One.", "from": 0.0, "to": 1.0}, {"coughs": True, "from": 0.5, "to": 0.6})
    line = sound(scenario(caller=both).script({0: tone(1.0), 1: tone(0.1)}))
    assert np.array_equal(line[:8000], tone(1.0)[:8000])
    assert np.array_equal(line[8000:9600], tone(1.0)[8000:9600] + tone(0.1))


def test_a_sound_that_is_longer_than_the_call_ends_with_it():
    assert sound(scenario(caller=SPOKEN).script({1: tone(9.0)})).size == 3 * INPUT_RATE


def test_events_are_sent_in_their_place():
    act = {"at": 1.5, "sends": {"type": "response.cancel"}}
    [(time, step)] = changes(scenario(caller=[*SPOKEN, act]).script({}))
    assert time == 1.5
    assert isinstance(step, Send)
    assert json.loads(step.text) == {"type": "response.cancel"}


def test_disturbances_begin_and_end():
    around = [{"from": 0.5, "to": 1.5, "noise": -50}, {"from": 1.0, "loss": 0.1}, {"echo": -20, "delay": 0.2}]
    found = changes(scenario(around=around).script({}))
    rooms = {time: step for time, step in found if isinstance(step, Room)}
    lines = {time: step.loss for time, step in found if isinstance(step, Line)}
    assert [(time, room.noise) for time, room in rooms.items()] == [(0.0, None), (0.5, -50), (1.0, -50), (1.5, None)]
    assert {(room.echo, room.delay) for room in rooms.values()} == {(-20, 0.2)}
    assert lines == {0.0: 0.0, 0.5: 0.0, 1.0: 0.1, 1.5: 0.1}


def test_without_disturbances_nothing_happens_beside_the_sounds():
    assert changes(scenario(caller=SPOKEN).script({})) == []


def test_the_detector_fits_the_speech():
    assert detector(scenario(caller=SPOKEN)) is LevelVAD
    assert detector(scenario(caller=SPOKEN, speech="en-us")) is not LevelVAD
    assert detector(scenario(caller=[{"at": 0, "plays": "call.wav"}])) is not LevelVAD


def test_what_answers_is_as_the_scenario_says():
    values = {
        "engine": {"answers": ["A.", "B."], "first_token": 0.3, "per_token": 0.05, "fail_after": 2, "judging": 0.1},
        "voice": {"first_audio": 0.2, "word": 0.5},
        "prompts": {"greeting": "Hello."},
        "speculation": {"tries": 1},
        "turn": {"calibrated": True},
    }
    with cast(scenario(**values)) as stages:
        engine, voice = stages.engine, stages.voice
        assert (engine.script, engine.first_token, engine.per_token) == (("A.", "B."), 0.3, 0.05)
        assert (engine.fail_after, engine.judging, engine.end_of_turn) == (2, 0.1, None)
        assert (voice.first_audio, voice.word_seconds) == (0.2, 0.5)
        assert (stages.prompts.greeting, stages.speculation.tries) == ("Hello.", 1)
        assert stages.experience.judgement("anything").evidence(0.9) > 0, "a calibrated probability is taken as it is"


def test_judgements_come_in_the_order_of_the_pauses_and_the_last_one_stays():
    with cast(scenario(engine={"end_of_turn": [0.1, 0.9]})) as stages:
        assert [stages.engine.end_of_turn(()) for _ in range(4)] == [0.1, 0.9, 0.9, 0.9]


def test_a_real_voice_speaks_by_itself_in_real_time():
    with cast(scenario(voice={"name": "en-us"}), live=True) as stages:
        assert isinstance(stages.voice, EspeakTTS)
    with cast(scenario(voice={"name": "en-us"})) as stages:
        assert not isinstance(stages.voice, EspeakTTS)
        assert (stages.voice.name, stages.voice.rate) == ("en-us", 22_050)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("lasts=5", {"lasts": 5}),
        ("turn.silence = 0.3", {"turn": {"silence": 0.3, "pause": 0.1}}),
        ("turn.adaptive=false", {"turn": {"adaptive": False, "pause": 0.1}}),
        ("engine.model=demo", {"engine": {"model": "demo"}}),
        ('title="A = B"', {"title": "A = B"}),
        ("around=[{ loss = 0.1 }]", {"around": [{"loss": 0.1}]}),
    ],
)
def test_a_change_sets_one_value(change, value):
    values = {"turn": {"pause": 0.1}}
    set_value(values, change)
    assert values == {"turn": {"pause": 0.1}, **value}


@pytest.mark.parametrize("change", ["lasts", "=5", ".x=1", "title.x=1"])
def test_a_change_that_cannot_be_made_is_refused(change):
    with pytest.raises(ScenarioError):
        set_value({"title": "A call"}, change)
