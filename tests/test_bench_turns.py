"""The comparison of waits, on pauses that are made up; and once, marked slow, on speech."""

import asyncio
import itertools
import json
import math
import random

import numpy as np
import pytest

from agent import tts
from agent.bench import overlaps
from agent.bench import turns as bench_turns
from agent.bench.turns import FOR_DIGITS, FOR_SENTENCES, Pause, _best, _compare, _cut
from agent.engine.scripted import ScriptedEngine


def calls(telling: float | None, seed: int = 1):
    """Pauses of callers with a tempo each, and probabilities whose log-odds lie so far either side of even, with a deviation of 2."""
    rng = random.Random(seed)

    def pause(length, speech):
        if telling is None:
            return Pause(length, None, speech)
        odds = rng.gauss(telling if length == math.inf else -telling, 2)
        return Pause(length, 1 / (1 + math.exp(-odds)), speech)

    def utterance(tempo):
        ends = list(itertools.accumulate(rng.lognormvariate(0, 0.5) for _ in range(4)))
        lengths = [min(max(rng.lognormvariate(tempo, 0.35), 0.2), 1.2) for _ in range(3)]
        return [pause(length, speech) for length, speech in zip([*lengths, math.inf], ends, strict=True)]

    return [[utterance(tempo) for _ in range(6)] for tempo in (math.log(rng.uniform(0.25, 0.9)) for _ in range(12))]


def test_a_pause_that_is_waited_out_is_cut():
    conversation = [[[Pause(0.4, None, 1), Pause(0.9, None, 2), Pause(math.inf, None, 3)]]]
    assert _cut(conversation, [[[0.5, 0.5, 0.5]]]) == 0.5
    assert _cut(conversation, [[[0.2, 0.2, 9.0]]]) == 1.0
    assert _cut([[[Pause(math.inf, None, 1)]]], [[[0.1]]]) == 0.0


def test_the_best_point_within_a_limit():
    points = [(0.2, 0.9), (0.3, 0.5), (0.31, 0.1)]
    assert _best(points, 0.3) == 0.5
    assert _best(points, 0.1) == 0.9


def test_a_fixed_silence_waits_what_it_says():
    result = _compare(calls(None), FOR_SENTENCES)
    waits, cuts = zip(*result["vad"], strict=True)
    assert waits == bench_turns.FIXED
    assert list(cuts) == sorted(cuts, reverse=True)


@pytest.mark.parametrize("question", [FOR_SENTENCES, FOR_DIGITS])
def test_an_engine_that_can_tell_meets_the_targets(question):
    result = _compare(calls(2.0), question)
    assert result["false_cutoff_ratio"] <= 1 / 3
    assert result["wait_ratio"] <= 1 / 2


def test_an_engine_that_cannot_tell_does_no_harm():
    result = _compare(calls(0.0), FOR_SENTENCES)
    assert result["false_cutoff_ratio"] < 1.2
    assert result["wait_ratio"] < 1.2


def test_recordings_that_are_not_there_are_named(tmp_path, capsys):
    assert bench_turns.main(["--model", "none", "--digits", str(tmp_path / "no")]) == 2
    assert "holds no recordings" in capsys.readouterr().err


def word(probabilities):
    return overlaps.Word(np.zeros(512 * len(probabilities), np.int16), probabilities, 512)


OKAY = word([0.0] * 5 + [0.9] * 10 + [0.0] * 20)


def test_speech_interrupts_once_it_has_lasted():
    assert overlaps.by_length_interrupts(OKAY, 0.3)
    assert not overlaps.by_length_interrupts(OKAY, 0.34)
    assert not overlaps.by_length_interrupts(word([0.55] * 30), 0.1), "over the agent's speech it takes more"


@pytest.mark.parametrize(("said", "interrupts"), [("Okay.", False), ("Stop.", True), ("Perhaps.", False)])
async def test_speech_interrupts_by_its_words(said, interrupts):
    assert await overlaps.by_words_interrupts(OKAY, ScriptedEngine([said], first_token=0)) is interrupts


async def test_long_speech_interrupts_whatever_it_says():
    assert await overlaps.by_words_interrupts(word([0.9] * 30), ScriptedEngine(["Okay."], first_token=0))


def test_fewer_words_interrupt_where_more_is_needed():
    measured = asyncio.run(overlaps.measure([tts.load("en-us")], ScriptedEngine(["I answer, and do not repeat."])))
    assert list(measured.by_length) == sorted(overlaps.LENGTHS)
    for shares in zip(*measured.by_length.values(), strict=True):
        assert list(shares) == sorted(shares, reverse=True)
        assert shares[0] > 0.9
        assert shares[-1] < 0.7
    assert measured.by_words is None
    assert len(overlaps.table(measured).splitlines()) == len(overlaps.LENGTHS) + 2


@pytest.mark.slow
def test_on_speech(capsys):
    assert bench_turns.main(["--model", "none", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["overlaps"]["by_length"]) == len(overlaps.LENGTHS)
    result = printed["sentences"]
    assert result["pauses"] > 50
    assert 0 < result["wait_ratio"] < 1.5
