"""How long to wait, without audio: probabilities and pauses in, seconds out."""

import itertools
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.endpointing import Endpointing, expectation
from agent.turn import TurnSettings

SETTINGS = TurnSettings()


def test_without_evidence_the_wait_is_the_configured_silence():
    for silence in (0.3, 0.5, 0.8):
        assert Endpointing().wait(TurnSettings(silence=silence)) == pytest.approx(silence)


def test_a_probability_of_one_half_says_nothing():
    assert Endpointing().wait(SETTINGS, 0.5) == pytest.approx(SETTINGS.silence)


def test_the_wait_falls_continuously_with_the_probability_between_its_bounds():
    waits = [Endpointing().wait(SETTINGS, number / 1000) for number in range(1001)]
    assert waits == sorted(waits, reverse=True)
    assert max(before - after for before, after in itertools.pairwise(waits)) < 0.5
    assert (waits[0], waits[-1]) == (pytest.approx(2.6, abs=0.5), SETTINGS.min_silence)
    assert waits[100] > 0.9
    assert waits[900] == SETTINGS.min_silence


def test_the_callers_own_pauses_move_it():
    hasty, slow = Endpointing(), Endpointing()
    for _ in range(10):
        hasty.resumed(0.18, None)
        slow.resumed(0.7, None)
    assert hasty.wait(SETTINGS) < 0.35
    assert 0.8 < slow.wait(SETTINGS) < 1.5


def test_old_pauses_fade():
    endpointing = Endpointing()
    for pause in [1.0] * 20 + [0.2] * 20:
        endpointing.resumed(pause, None)
    assert endpointing.wait(SETTINGS) < 0.5


def test_an_informative_probability_goes_on_to_be_believed():
    endpointing, rng = Endpointing(), random.Random(1)
    for _ in range(30):
        endpointing.resumed(0.3, rng.uniform(0.02, 0.2))
        endpointing.ended(rng.uniform(0.7, 0.99))
    assert endpointing.wait(SETTINGS, 0.9) < 0.3
    assert endpointing.wait(SETTINGS, 0.05) > 1.2


@pytest.mark.parametrize("constant", [0.01, 0.3, 0.97])
def test_a_probability_that_says_nothing_ends_up_weighing_nothing(constant):
    endpointing, blind = Endpointing(), Endpointing()
    for _ in range(12):
        for each, probability in ((endpointing, constant), (blind, None)):
            each.resumed(0.3, probability)
            each.ended(probability)
    assert endpointing.wait(SETTINGS, constant) == pytest.approx(blind.wait(SETTINGS), abs=0.1)


def test_noise_for_a_probability_ends_up_weighing_little():
    endpointing, rng = Endpointing(), random.Random(2)
    for _ in range(40):
        endpointing.resumed(0.3, rng.random())
        endpointing.ended(rng.random())
    waits = [endpointing.wait(SETTINGS, number / 20) for number in range(1, 20)]
    assert statistics.pstdev(waits) < 0.1


def test_an_engine_without_trust_is_not_asked():
    settings = TurnSettings(trust=0)
    assert Endpointing().wait(settings, 0.01) == Endpointing().wait(settings, 0.99) == pytest.approx(0.5)


def test_a_fixed_wait_is_fixed():
    settings, endpointing = TurnSettings(adaptive=False, silence=0.7), Endpointing(expected="dictation")
    endpointing.resumed(0.1, 0.9)
    assert endpointing.wait(settings, 0.01) == endpointing.wait(settings, 0.99) == 0.7


def test_dictation_is_waited_for_and_yes_is_not():
    waits = {expected: Endpointing(expected).wait(SETTINGS) for expected in ("yes_or_no", "anything", "dictation")}
    assert list(waits.values()) == [pytest.approx(0.4), pytest.approx(0.5), pytest.approx(0.8)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is your phone number?", "dictation"),
        ("Sure. Could you spell that for me?", "dictation"),
        ("Please tell me the six digits on the card.", "dictation"),
        ("Is that right?", "yes_or_no"),
        ("I found two. Would you like the first one?", "yes_or_no"),
        ("So, do you want to go on?", "yes_or_no"),
        ("Your number is saved. What else can I do?", "anything"),
        ("It is ten past four.", "anything"),
        ("", "anything"),
    ],
)
def test_what_the_agent_asked_for(text, expected):
    assert expectation(text) == expected


@given(
    st.one_of(st.none(), st.floats(0, 1)),
    st.lists(st.tuples(st.floats(0, 10), st.one_of(st.none(), st.floats(0, 1))), max_size=30),
    st.floats(0, 3),
)
def test_the_wait_stays_within_its_bounds(probability, pauses, silence):
    endpointing, settings = Endpointing(), TurnSettings(silence=silence)
    for length, judged in pauses:
        endpointing.resumed(length, judged)
        endpointing.ended(judged)
    assert settings.min_silence <= endpointing.wait(settings, probability) <= settings.max_silence
