"""How long to wait, without audio: probabilities and pauses in, seconds out."""

import itertools
import math
import random
import statistics
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.turns.endpointing import Endpointing, Experience, expectation
from agent.turns.turn import TurnSettings

SETTINGS = TurnSettings()


def calibrated() -> Endpointing:
    return Endpointing(Experience(calibrated=True))


def test_without_evidence_the_wait_is_the_configured_silence():
    for silence in (0.3, 0.5, 0.8):
        assert Endpointing().wait(TurnSettings(silence=silence)) == pytest.approx(silence)


def test_a_probability_of_one_half_says_nothing():
    assert calibrated().wait(SETTINGS, 0.5) == pytest.approx(SETTINGS.silence)


def test_the_wait_falls_continuously_with_the_probability_between_its_bounds():
    waits = [calibrated().wait(SETTINGS, number / 1000) for number in range(1001)]
    assert waits == sorted(waits, reverse=True)
    assert max(before - after for before, after in itertools.pairwise(waits[1:])) < 0.5
    assert (waits[0], waits[-1]) == (SETTINGS.max_silence, SETTINGS.min_silence)
    assert waits[100] > 0.9
    assert waits[900] == SETTINGS.min_silence


@pytest.mark.parametrize("probability", [None, 0.3, 0.6])
def test_the_wait_is_where_few_enough_pauses_would_be_longer(probability):
    endpointing = calibrated()
    endpointing.resumed(0.4, None)
    wait, decision = endpointing.decide(SETTINGS, probability, at=0.2)
    longer = 1 - NormalDist(math.log(decision.median), decision.spread).cdf(math.log(wait))
    assert longer == pytest.approx(decision.allowed * math.exp(decision.evidence))
    assert decision.at == 0.2
    assert endpointing.decide(TurnSettings(adaptive=False, silence=0.7)) == (0.7, None)


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


@pytest.mark.parametrize(("begin", "scale"), [(Endpointing, 1), (Endpointing, 0.001), (calibrated, 1)])
def test_a_probability_that_tells_is_believed_on_whatever_scale(begin, scale):
    endpointing, rng = begin(), random.Random(1)
    for _ in range(30):
        endpointing.resumed(0.3, scale * rng.uniform(0.02, 0.2))
        endpointing.ended(scale * rng.uniform(0.7, 0.99))
    assert endpointing.wait(SETTINGS, scale * 0.9) == SETTINGS.min_silence
    assert endpointing.wait(SETTINGS, scale * 0.05) > 1.0


@pytest.mark.parametrize("probability", [1e-6, 0.01, 0.5, 0.99])
def test_before_it_has_told_anything_it_is_not_believed(probability):
    assert Endpointing().wait(SETTINGS, probability) == pytest.approx(SETTINGS.silence)


def test_what_an_engine_proved_in_one_call_counts_in_the_next():
    experience = Experience()
    first = Endpointing(experience)
    for _ in range(20):
        first.resumed(0.3, 0.1)
        first.ended(0.8)
    assert Endpointing(experience).wait(SETTINGS, 0.8) < 0.35


@pytest.mark.parametrize("begin", [Endpointing, calibrated])
@pytest.mark.parametrize("constant", [0.00001, 0.3, 0.97])
def test_a_probability_that_says_nothing_ends_up_weighing_nothing(begin, constant):
    endpointing, blind = begin(), Endpointing()
    for _ in range(50):
        for each, probability in ((endpointing, constant), (blind, None)):
            each.resumed(0.3, probability)
            each.ended(probability)
    assert endpointing.wait(SETTINGS, constant) == pytest.approx(blind.wait(SETTINGS), abs=0.1)


@pytest.mark.parametrize("ended", [1, 20])
def test_however_often_turns_end(ended):
    endpointing = Endpointing()
    for _ in range(20):
        endpointing.resumed(0.3, 0.01)
    for _ in range(ended):
        endpointing.ended(0.01)
    assert endpointing.wait(SETTINGS, 0.01) == pytest.approx(0.5, abs=0.05)


def test_noise_for_a_probability_ends_up_weighing_little():
    endpointing, rng = Endpointing(), random.Random(2)
    for _ in range(40):
        endpointing.resumed(0.3, rng.random())
        endpointing.ended(rng.random())
    waits = [endpointing.wait(SETTINGS, number / 20) for number in range(1, 20)]
    assert statistics.pstdev(waits) < 0.1


def test_a_fixed_wait_is_fixed():
    settings, endpointing = TurnSettings(adaptive=False, silence=0.7), Endpointing(expected="dictation")
    endpointing.resumed(0.1, 0.9)
    assert endpointing.wait(settings, 0.01) == endpointing.wait(settings, 0.99) == 0.7


def test_dictation_is_waited_for_and_yes_is_not():
    waits = {
        expected: Endpointing(expected=expected).wait(SETTINGS) for expected in ("yes_or_no", "anything", "dictation")
    }
    assert list(waits.values()) == [pytest.approx(0.4), pytest.approx(0.5), pytest.approx(0.8)]


NUMBER = "Thank you. What is your telephone number?"


def asked_for_a_number(experience: Experience) -> Endpointing:
    endpointing = Endpointing(experience)
    endpointing.expect(NUMBER)
    return endpointing


def answers(endpointing: Endpointing, seconds: float) -> None:
    endpointing.ended(None, speech=seconds)
    endpointing.expect(NUMBER)


def test_a_calibrated_probability_is_not_believed_of_numbers():
    endpointing = asked_for_a_number(Experience(calibrated=True))
    assert endpointing.wait(SETTINGS, 0.99) == pytest.approx(0.8)


def test_an_answer_shorter_than_others_to_the_question_is_waited_for():
    experience, rng = Experience(), random.Random(3)
    for _ in range(40):  # calls
        answers(asked_for_a_number(experience), rng.uniform(3.6, 4.4))
    waits = [asked_for_a_number(experience).wait(SETTINGS, speech=speech) for speech in (1.5, 3.0, 4.0, 6.0)]
    assert waits == sorted(waits, reverse=True)
    assert waits[0] > 1.0
    assert waits[2] < 0.8, "shorter than without an idea of its length"


def test_how_long_other_questions_answers_are_says_nothing():
    experience = Experience()
    for _ in range(10):
        answers(asked_for_a_number(experience), 4.0)
    other = Endpointing(experience)
    other.expect("And your account number?")
    assert other.wait(SETTINGS, speech=1.0) == pytest.approx(Endpointing(expected="dictation").wait(SETTINGS), abs=0.1)
    other.expect("What else?")
    assert other.wait(SETTINGS, speech=1.0) == pytest.approx(SETTINGS.silence)


def test_a_number_that_was_cut_off_teaches_nothing_of_its_length():
    experience = Experience()
    for _ in range(20):
        answers(asked_for_a_number(experience), 4.0)
    before = asked_for_a_number(experience).wait(SETTINGS, speech=2.0)
    for _ in range(20):
        caller = asked_for_a_number(experience)
        caller.ended(None, speech=2.0)
        caller.cut_off(0.9, None)
        answers(caller, 2.0)
    assert asked_for_a_number(experience).wait(SETTINGS, speech=2.0) == before


def test_a_caller_who_says_it_slowly_is_known_by_his_second_number():
    experience = Experience()
    for _ in range(40):
        answers(asked_for_a_number(experience), 4.0)
    slow = asked_for_a_number(experience)
    before = slow.wait(SETTINGS, speech=5.0)
    for _ in range(4):
        answers(slow, 7.0)
    assert slow.wait(SETTINGS, speech=5.0) > before + 0.2


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
    endpointing, settings = calibrated(), TurnSettings(silence=silence)
    for length, judged in pauses:
        endpointing.resumed(length, judged)
        endpointing.ended(judged)
    assert settings.min_silence <= endpointing.wait(settings, probability) <= settings.max_silence
