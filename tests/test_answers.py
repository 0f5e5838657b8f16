"""What the length of an answer says: seconds in, log-odds out."""

import itertools
import random

import pytest

from agent.turns import answers
from agent.turns.answers import QUESTIONS, Answers, evidence, own


def learned(seconds, count=30, spread=0.1):
    known, rng = Answers(), random.Random(1)
    for _ in range(count):
        known.add("your number?", seconds * rng.lognormvariate(0, spread))
    return known


def test_a_question_never_asked_before_says_next_to_nothing():
    for seconds in (0.5, 1.0, 2.0, 4.0):
        assert abs(evidence(Answers().usual("your number?"), seconds)) < 0.7


def test_the_longer_the_answer_the_more_probable_its_end():
    lengths = learned(4.0).usual("your number?")
    told = [evidence(lengths, 0.1 * step) for step in range(1, 60)]
    assert all(later >= before for before, later in itertools.pairwise(told))
    assert told[0] == -answers.LIMIT
    assert told[-1] > 0.4


def test_answers_of_all_lengths_leave_it_open():
    lengths = learned(2.0, count=100, spread=1.0).usual("your number?")
    assert all(abs(evidence(lengths, seconds)) < 1.0 for seconds in (0.5, 1.0, 2.0, 4.0))


def test_one_callers_answers_do_not_change_what_is_usual():
    known = learned(4.0)
    mine = own(known.usual("your number?"))
    for _ in range(5):
        mine.add(3.0)
    assert known.usual("your number?").mean == pytest.approx(learned(4.0).usual("your number?").mean)


def test_the_question_that_was_asked_least_lately_is_forgotten():
    known = Answers()
    for number in range(QUESTIONS):
        known.add(str(number), 4.0)
    known.add("0", 4.0)
    known.add("one more", 4.0)
    assert known.usual("0").weight > known.usual("1").weight
    assert known.usual("1").weight == Answers().usual("never asked").weight


def test_an_answer_without_length_is_no_error():
    known = Answers()
    known.add("your number?", 0.0)
    assert evidence(known.usual("your number?"), 0.0) <= answers.LIMIT
