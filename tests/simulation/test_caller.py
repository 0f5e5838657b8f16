"""The language of the simulated caller: each step does what it says, in its place, the same every time."""

import itertools

import numpy as np
import pytest

from agent.audio import INPUT_FRAME, INPUT_RATE, dbfs
from agent.edge.rtp import MAX_CONCEALED
from agent.simulation.caller import Caller, Line, Microphone, Play, Room, Say, Send, Wait, audible
from agent.simulation.loop import run
from agent.simulation.sound import LevelVAD, noise, syllables, tone

SILENCE = np.zeros(INPUT_FRAME, np.int16)


def heard(*script):
    """What the agent hears of a script, while it says nothing."""

    async def listen():
        caller = Caller(script)
        return [frame async for frame in caller.frames()]

    return run(listen())


def captured(*script, played=()):
    """What a microphone takes of a script, frame by frame, and what was sent, with the number of the frame that followed."""
    sent, frames, played = [], [], iter(played)
    microphone = Microphone(script, lambda text: sent.append((len(frames), text)))
    for samples in microphone.frames():
        frames.append(microphone.capture(samples, next(played, SILENCE)))  # noqa: PERF401  `sent` counts them
    return frames, sent


def test_frames_come_every_20_ms():
    frames = heard(Say(0.5), Wait(0.5))
    assert [frame.time for frame in frames] == pytest.approx([0.02 * number for number in range(1, 51)])
    assert np.array_equal(np.concatenate([frame.samples for frame in frames[:25]]), syllables(0.5))
    assert not any(frame.samples.any() for frame in frames[25:])


def test_steps_need_not_be_whole_frames():
    frames, _ = captured(Wait(0.005), Play(tone(0.011)), Wait(0.005))
    line = np.concatenate(frames)
    assert line.size == 2 * INPUT_FRAME, "the last one is filled up with silence"
    assert np.array_equal(line[80:256], tone(0.011))
    assert not line[:80].any()
    assert not line[256:].any()


def test_events_go_out_where_they_stand():
    _, sent = captured(Send("first"), Wait(0.1), Send("second"), Say(0.1), Send("third"))
    assert sent == [(0, "first"), (5, "second"), (10, "third")]


def test_noise_has_its_level_and_is_the_same_every_time():
    first, second = (np.concatenate(captured(Room(noise=-50), Wait(1))[0]) for _ in range(2))
    assert dbfs(first) == pytest.approx(-50, abs=0.5)
    assert np.array_equal(first, second)
    assert not np.array_equal(first[:INPUT_FRAME], first[INPUT_FRAME : 2 * INPUT_FRAME])


def test_noise_is_there_until_the_room_is_quiet():
    frames, _ = captured(Wait(0.1), Room(noise=-40), Wait(0.1), Room(), Wait(0.1))
    assert [bool(frame.any()) for frame in frames] == [False] * 5 + [True] * 5 + [False] * 5


def test_an_echo_comes_back_later_and_quieter():
    played = [tone(0.02), *[SILENCE] * 9]
    frames, _ = captured(Room(echo=-20, delay=0.1), Wait(0.2), played=played)
    assert [bool(frame.any()) for frame in frames] == [False] * 5 + [True] + [False] * 4
    assert dbfs(frames[5]) == pytest.approx(dbfs(tone(0.02)) - 20, abs=0.1)


def test_what_is_too_loud_is_clipped_and_does_not_wrap():
    loud = np.full(INPUT_FRAME, 30_000, np.int16)
    frames, _ = captured(Room(echo=0, delay=0.0), Play(loud), played=[loud])
    assert frames[0].min() == 32_767


def test_a_lost_packet_is_made_up_of_the_one_before():
    whole = heard(Say(1.0))
    lossy = heard(Line(loss=0.3), Say(1.0))
    lost = [n for n, (a, b) in enumerate(zip(whole, lossy, strict=True)) if not np.array_equal(a.samples, b.samples)]
    assert 5 <= len(lost) <= 25
    for number in lost:
        before = lossy[number - 1].samples if number else SILENCE
        assert np.array_equal(lossy[number].samples, before // 2) or not lossy[number].samples.any()
    assert [frame.time for frame in lossy] == [frame.time for frame in whole], "time goes on"


def test_many_lost_packets_are_silence():
    frames = heard(Say(0.2), Line(loss=0.999999), Say(0.4))
    assert all(frame.samples.any() for frame in frames[: 10 + MAX_CONCEALED])
    assert not any(frame.samples.any() for frame in frames[10 + MAX_CONCEALED :])


def test_losses_are_the_same_every_time():
    first, second = (heard(Line(loss=0.2), Say(1.0)) for _ in range(2))
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(first, second, strict=True))


def test_what_is_audible_from_when_to_when():
    line = np.concatenate(
        [np.zeros(3200, np.int16), tone(0.4), np.zeros(1600, np.int16), tone(0.2), np.zeros(100, np.int16)]
    )
    assert audible(line) == [(0.2, 0.6), (0.7, 0.9)]
    assert audible(line, gap=0.1) == [(0.2, 0.9)]
    assert audible(line, gap=0.08) == [(0.2, 0.6), (0.7, 0.9)]
    assert audible(line[:0]) == []


@pytest.mark.parametrize(
    ("sound", "speech"),
    [(syllables(0.4), 1), (noise(1600, -20), 1), (noise(1600, -60), 0), (np.zeros(1600, np.int16), 0)],
)
def test_the_detector_of_levels_tells_tones_from_noise(sound, speech):
    detect = LevelVAD()
    windows = [sound[at : at + detect.window] for at in range(0, sound.size, detect.window)]
    assert {detect(window) for window in windows} == {float(speech)}


def test_syllables_rise_and_fall():
    levels = [dbfs(syllables(1.0)[at : at + 320]) for at in range(0, INPUT_RATE, 320)]
    assert max(levels) - min(levels) == pytest.approx(20, abs=1)
    assert sum(one > two for one, two in itertools.pairwise(levels)) > 15
