"""Where speech ends: levels by themselves, then Silero's ends against the last audible sample."""

import numpy as np
import pytest

from agent import tts, vad
from agent.audio import INPUT_RATE, Frame
from agent.caller.audio import audible
from agent.turns.floor import Floor
from agent.turns.hearing import Hearing
from agent.turns.turn import TurnEnded, TurnSettings


def judged(*windows: tuple[float, float]) -> list[float]:
    """The probabilities that are believed, of levels and the detector's probabilities."""
    floor = Floor()
    return [floor.judge(level, probability) for level, probability in windows]


def test_a_window_as_quiet_as_silence_is_no_speech_whatever_the_detector_says():
    room = [(-50.0, 0.01)] * 20
    assert judged(*room, (-20.0, 0.9), (-47.0, 0.8), (-50.0, 0.6), (-20.0, 0.7))[-4:] == [0.9, 0.0, 0.0, 0.7]


def test_soft_sounds_above_silence_are_speech():
    room = [(-60.0, 0.01)] * 20
    assert judged(*room, (-25.0, 0.9), (-40.0, 0.8), (-52.0, 0.5))[-3:] == [0.9, 0.8, 0.5]


def test_in_noise_nearly_as_loud_as_speech_the_detector_is_believed():
    street = [(-35.0, 0.05)] * 20
    assert judged(*street, (-20.0, 0.9), (-34.0, 0.8))[-2:] == [0.9, 0.8]


def test_quiet_speech_begins_when_the_detector_says_so():
    assert judged((-70.0, 0.6)) == [0.6]
    assert judged(*[(-96.0, 0.0)] * 20, (-58.0, 0.6))[-1] == 0.6


def test_what_a_codec_leaves_after_a_word_is_silence_over_a_microphone_without_noise():
    assert judged(*[(-96.0, 0.0)] * 20, (-20.0, 0.9), (-75.0, 0.9))[-1] == 0.0


def test_loud_speech_is_forgotten_so_that_a_caller_may_step_back():
    room = [(-45.0, 0.01)] * 100
    assert judged(*room, (-10.0, 0.9), (-41.0, 0.9))[-1] == 0.0
    assert judged(*room, (-10.0, 0.9), *room, (-41.0, 0.9))[-1] == 0.9


@pytest.mark.parametrize("noise", [0, 10], ids=["no noise", "noise at -70 dBFS"])
async def test_speech_ends_in_the_window_of_its_last_audible_sample(noise: int):
    words = await tts.recording(tts.load("en-us"), "What is three plus four?", INPUT_RATE)
    make, chance = vad.load("silero"), np.random.default_rng(1)
    for shift in range(0, 512, 128):
        said = np.concatenate([np.zeros(8_000 + shift, np.int16), words, np.zeros(16_000 - words.size % 320, np.int16)])
        said[: said.size] += (noise * chance.standard_normal(said.size)).astype(np.int16)
        hearing = Hearing(make(), TurnSettings())
        frames = [
            Frame(frame, 0.02 * n) for n, frame in enumerate(np.split(said[: said.size // 320 * 320], said.size // 320))
        ]
        ends = [event.speech_end for frame in frames for event in hearing.push(frame) if isinstance(event, TurnEnded)]
        last = 8_000 + shift + int(audible(words)[-1])
        assert -0.005 <= (ends[-1] - last) / INPUT_RATE <= 0.064
