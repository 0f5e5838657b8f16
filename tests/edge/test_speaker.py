"""PacedSpeaker without a network: resampling, word positions, back-pressure, the moments that a session waits for."""

import asyncio

import numpy as np
import pytest

from agent.audio import Samples, Speech, Word
from agent.edge import Heard
from agent.edge.speaker import PacedSpeaker


def tone(seconds: float, rate: int) -> Samples:
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def pull_all(speaker: PacedSpeaker) -> Samples:
    frames = []
    while (frame := speaker.pull()) is not None:
        frames.append(frame)
    return np.concatenate(frames) if frames else np.empty(0, dtype=np.int16)


async def drain(speaker: PacedSpeaker) -> Samples:
    """Pull until everything that was written is out."""
    out: list[Samples] = []
    async with asyncio.TaskGroup() as group:
        drained = group.create_task(speaker.drained())
        while not drained.done():
            await asyncio.sleep(0)
            out.append(pull_all(speaker))
    return np.concatenate(out)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 48_000])
async def test_all_of_a_reply_is_played_at_the_output_rate(rate):
    speaker = PacedSpeaker(ahead_seconds=10)
    source = tone(1.0, rate)
    for start in range(0, source.size, 1000):
        await speaker.write(Speech(source[start : start + 1000], rate))
    out = await drain(speaker)
    assert speaker.clear().seconds == pytest.approx(1.0, abs=0.001)
    reference = tone(1.0, 48_000)
    # Away from the ends, where the filter sees silence, it is the same tone at the same place.
    assert np.abs(out[2400:45_600].astype(int) - reference[2400:45_600]).max() < 100


async def test_words_are_heard_where_they_end_after_resampling():
    speaker = PacedSpeaker()
    await speaker.write(Speech(tone(0.5, 16_000), 16_000, (Word(4_000, 5), Word(8_000, 11))))
    await speaker.write(Speech(tone(0.5, 16_000), 16_000, (Word(8_000, 20),)))
    positions = {}
    for frame in range(1, 46):
        assert speaker.pull() is not None
        positions[frame] = speaker._playout.text
    assert (positions[12], positions[13], positions[24], positions[25]) == (0, 5, 5, 11)
    await drain(speaker)
    assert speaker.clear() == Heard(seconds=1.0, text=20)


async def test_voices_of_two_rates_in_one_reply_follow_one_another():
    speaker = PacedSpeaker()
    await speaker.write(Speech(tone(0.2, 16_000), 16_000, (Word(3_200, 4),)))
    await speaker.write(Speech(tone(0.2, 24_000), 24_000, (Word(4_800, 8),)))
    await drain(speaker)
    heard = speaker.clear()
    assert heard.seconds == pytest.approx(0.4, abs=0.001)
    assert heard.text == 8


async def test_a_writer_waits_while_the_queue_is_too_far_ahead():
    speaker = PacedSpeaker(ahead_seconds=0.1)
    await speaker.write(Speech(tone(0.12, 48_000), 48_000))
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(speaker.write(Speech(tone(0.1, 48_000), 48_000)))
        await asyncio.sleep(0)
        assert not writing.done()
        assert speaker._playout.buffered / speaker.rate == pytest.approx(0.12)
        speaker.pull()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert writing.done()
    assert speaker._playout.buffered / speaker.rate == pytest.approx(0.20)


async def test_started_gives_the_time_of_the_first_frame_of_each_reply():
    speaker = PacedSpeaker()
    loop = asyncio.get_running_loop()
    for _ in range(2):
        async with asyncio.TaskGroup() as group:
            started = group.create_task(speaker.started())
            assert speaker.pull() is None
            await speaker.write(Speech(tone(0.1, 48_000), 48_000))
            await asyncio.sleep(0)
            assert not started.done()
            before = loop.time()
            speaker.pull()
            after = loop.time()
        assert before <= started.result() <= after
        speaker.clear()


async def test_clear_says_what_was_heard_and_forgets_the_rest():
    speaker = PacedSpeaker()
    await speaker.write(Speech(tone(1.0, 24_000), 24_000, (Word(2_400, 6), Word(12_000, 12))))
    for _ in range(6):
        speaker.pull()
    assert speaker.clear() == Heard(seconds=0.12, text=6)
    assert speaker.pull() is None
    assert speaker.clear() == Heard(seconds=0.0, text=0)
    await speaker.write(Speech(tone(0.1, 24_000), 24_000, (Word(2_400, 3),)))
    out = await drain(speaker)
    assert out.size == 4800
    assert speaker.clear() == Heard(seconds=pytest.approx(0.1), text=3)


async def test_drained_returns_at_once_when_nothing_was_written():
    speaker = PacedSpeaker()
    await speaker.drained()
    assert speaker.clear() == Heard(seconds=0.0, text=0)


async def test_running_dry_inside_a_reply_is_counted():
    speaker = PacedSpeaker()
    await speaker.write(Speech(tone(0.04, 48_000), 48_000))
    pull_all(speaker)
    await speaker.write(Speech(tone(0.04, 48_000), 48_000))
    await drain(speaker)
    speaker.pull()
    assert speaker.underruns == 1


def pulled(speaker, frames):
    return [speaker.pull() for _ in range(frames)]


async def test_a_ducked_voice_holds_its_place_and_wakes_the_track_when_it_comes_back():
    speaker, woken = PacedSpeaker(16_000), []
    await speaker.write(Speech(np.full(3200, 1000, np.int16), 16_000, (Word(640, 1),)))
    speaker.on_speech = lambda: woken.append(True)
    pulled(speaker, 1)
    speaker.duck(on=True)
    faded, *held = pulled(speaker, 5)
    assert (faded[0], faded[-1]) == (1000, 0)
    assert held == [None] * 4
    woken.clear()
    speaker.duck(on=False)
    assert woken
    assert pulled(speaker, 1)[0][-1] == 1000
    heard = speaker.clear()
    assert (heard.seconds, heard.text) == (pytest.approx(0.045), 1)


async def test_the_level_is_that_of_the_frame_that_left_last():
    speaker = PacedSpeaker(16_000)
    assert speaker.level == -96
    await speaker.write(Speech(np.full(640, 3277, np.int16), 16_000))
    pulled(speaker, 1)
    assert speaker.level == pytest.approx(-20, abs=0.1)
    pulled(speaker, 3)
    assert speaker.level == -96


async def test_what_left_for_nobody_is_not_heard_and_is_said_again():
    speaker, loop = PacedSpeaker(), asyncio.get_running_loop()
    await speaker.write(Speech(tone(0.2, 48_000), 48_000, (Word(1920, 4), Word(5760, 9))))
    for _ in range(2):
        speaker.pull()
    last_sign = loop.time()
    await asyncio.sleep(0.001)
    for _ in range(4):
        speaker.pull()
    speaker.hold(last_sign)
    speaker.hold(last_sign)
    assert speaker.pull() is None
    speaker.go_on()
    assert (await drain(speaker)).size == 8 * 960
    assert speaker.clear() == Heard(seconds=0.2, text=9)


async def test_of_a_reply_that_ends_while_nobody_hears_only_what_was_heard_counts():
    speaker, loop = PacedSpeaker(), asyncio.get_running_loop()
    await speaker.write(Speech(tone(0.2, 48_000), 48_000, (Word(1920, 4), Word(5760, 9))))
    for _ in range(2):
        speaker.pull()
    last_sign = loop.time()
    await asyncio.sleep(0.001)
    for _ in range(4):
        speaker.pull()
    speaker.hold(last_sign)
    assert speaker.clear() == Heard(seconds=0.04, text=4)
