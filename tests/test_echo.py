"""Levels of both directions in, echo or not out."""

import random

import pytest

from agent.turns.echo import Echo

SILENCE = -96.0


def speech(seed, frames=150, loud=-20.0):
    """Levels like speech's: syllables of 60 to 200 ms, and gaps."""
    rng, levels = random.Random(seed), []
    while len(levels) < frames:
        levels += [loud + rng.uniform(-8, 0)] * rng.randint(3, 10) + [rng.uniform(-70, -55)] * rng.randint(1, 6)
    return levels[:frames]


def explained(heard, played):
    """Of the loud frames that are heard, the share that is echo."""
    echo, verdicts = Echo(), []
    for mine, theirs in zip(heard, played, strict=True):
        echo.push(mine, theirs)
        if mine > -50:
            verdicts.append(echo.explains())
    return sum(verdicts) / len(verdicts)


@pytest.mark.parametrize("quieter", [6, 15, 25])
@pytest.mark.parametrize("delay", [0, 3, 10, 20])
def test_an_echo_is_explained(quieter, delay):
    played = speech(1)
    heard = ([SILENCE] * delay + [max(level - quieter, -65) for level in played])[: len(played)]
    assert explained(heard, played) > 0.95


@pytest.mark.parametrize("seed", range(5))
def test_another_voice_is_not(seed):
    played = speech(1)
    heard = [SILENCE] * 60 + speech(100 + seed, 90)
    assert explained(heard, played) < 0.35


def test_nothing_explains_speech_while_the_agent_is_silent():
    assert explained(speech(3), [SILENCE] * 150) == 0


def test_an_echo_that_comes_much_later_is_not_one():
    played = speech(1, 60) + [SILENCE] * 90
    heard = [SILENCE] * 105 + speech(1, 45)
    assert explained(heard, played) == 0
