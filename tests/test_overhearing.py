"""Which words over the agent's speech interrupt it."""

import pytest

from agent.overhearing import interrupts
from agent.turns.turn import TurnSettings

SHORT, LONGER = 0.2, 0.5
SETTINGS = TurnSettings()


@pytest.mark.parametrize("text", ["Stop.", "No!", "no no", "Wait", "Okay, stop."])
def test_words_that_stop_somebody_interrupt_however_short(text):
    assert interrupts(text, SHORT, SETTINGS)
    assert interrupts(text, LONGER, SETTINGS)


@pytest.mark.parametrize("text", ["Mm-hm.", "Okay", "okay okay", "Yeah, right.", "I see", "", "((noise))", "..."])
def test_backchannels_and_what_is_no_speech_do_not(text):
    assert not interrupts(text, SHORT, SETTINGS)
    assert not interrupts(text, LONGER, SETTINGS)


@pytest.mark.parametrize("text", ["Actually", "Another question", "Okay, but later"])
def test_other_words_do_once_they_are_longer_than_a_backchannel(text):
    assert interrupts(text, LONGER, SETTINGS)


def test_other_words_that_are_as_short_as_a_backchannel_do_not():
    assert not interrupts("seven", SHORT, SETTINGS)


def test_the_words_are_settings():
    german = TurnSettings(backchannels=("ja", "genau"), stops=("halt",))
    assert interrupts("Halt!", SHORT, german)
    assert not interrupts("Ja, genau.", LONGER, german)
    assert interrupts("Okay.", LONGER, german)
