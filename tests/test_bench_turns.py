"""The comparison of waits, on pauses that are made up; and once, marked slow, on speech."""

import asyncio
import json
import math
import random

import pytest

from agent import tts
from agent.bench import overlaps
from agent.bench import turns as bench_turns
from agent.bench.turns import Pause, _best, _compare, _cut


def calls(telling: float | None, seed: int = 1):
    """Pauses of callers with a tempo each, and probabilities whose log-odds lie so far either side of even, with a deviation of 2."""
    rng = random.Random(seed)

    def pause(length):
        if telling is None:
            return Pause(length, None)
        odds = rng.gauss(telling if length == math.inf else -telling, 2)
        return Pause(length, 1 / (1 + math.exp(-odds)))

    return [
        [
            [*(pause(min(max(rng.lognormvariate(tempo, 0.35), 0.2), 1.2)) for _ in range(3)), pause(math.inf)]
            for _ in range(6)
        ]
        for tempo in (math.log(rng.uniform(0.25, 0.9)) for _ in range(12))
    ]


def test_a_pause_that_is_waited_out_is_cut():
    conversation = [[[Pause(0.4, None), Pause(0.9, None), Pause(math.inf, None)]]]
    assert _cut(conversation, [[[0.5, 0.5, 0.5]]]) == 0.5
    assert _cut(conversation, [[[0.2, 0.2, 9.0]]]) == 1.0
    assert _cut([[[Pause(math.inf, None)]]], [[[0.1]]]) == 0.0


def test_the_best_point_within_a_limit():
    points = [(0.2, 0.9), (0.3, 0.5), (0.31, 0.1)]
    assert _best(points, 0.3) == 0.5
    assert _best(points, 0.1) == 0.9


def test_a_fixed_silence_waits_what_it_says():
    result = _compare(calls(None), "anything")
    waits, cuts = zip(*result["vad"], strict=True)
    assert waits == bench_turns.FIXED
    assert list(cuts) == sorted(cuts, reverse=True)


@pytest.mark.parametrize("expected", ["anything", "dictation"])
def test_an_engine_that_can_tell_meets_the_targets(expected):
    result = _compare(calls(2.0), expected)
    assert result["false_cutoff_ratio"] <= 1 / 3
    assert result["wait_ratio"] <= 1 / 2


def test_an_engine_that_cannot_tell_does_no_harm():
    result = _compare(calls(0.0), "anything")
    assert result["false_cutoff_ratio"] < 1.2
    assert result["wait_ratio"] < 1.2


def test_recordings_that_are_not_there_are_named(tmp_path, capsys):
    assert bench_turns.main(["--model", "none", "--digits", str(tmp_path / "no")]) == 2
    assert "holds no recordings" in capsys.readouterr().err


def test_speech_interrupts_once_it_has_lasted():
    word = [0.0] * 5 + [0.9] * 10 + [0.0] * 10
    assert overlaps.interrupts(word, 512, 0.3)
    assert not overlaps.interrupts(word, 512, 0.34)
    assert not overlaps.interrupts([0.55] * 30, 512, 0.1), "over the agent's speech it takes more"


def test_fewer_words_interrupt_where_more_is_needed():
    points = asyncio.run(overlaps.measure([tts.load("en-us")]))
    assert [length for length, _, _ in points] == sorted(overlaps.LENGTHS)
    for shares in list(zip(*points, strict=True))[1:]:
        assert list(shares) == sorted(shares, reverse=True)
        assert shares[0] > 0.9
        assert shares[-1] < 0.7
    assert len(overlaps.table(points).splitlines()) == len(points) + 2


@pytest.mark.slow
def test_on_speech(capsys):
    assert bench_turns.main(["--model", "none", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["overlaps"]) == len(overlaps.LENGTHS)
    result = printed["sentences"]
    assert result["pauses"] > 50
    assert 0 < result["wait_ratio"] < 1.5
