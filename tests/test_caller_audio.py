"""What a caller says and hears, in virtual time: the moments of its first and last audible samples."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from agent.caller.audio import Ear, Mouth, audible
from agent.simulation.loop import run
from tests.edge.test_rtp import encode, tone


def test_audible_is_what_is_louder_than_45_db_below_full_scale():
    samples = np.array([0, 183, 185, -184, -200, -32768, 5], np.int16)
    assert audible(samples).tolist() == [2, 4, 5]


def test_an_utterance_begins_and_ends_when_its_audible_samples_are_captured():
    async def main():
        mouth = Mouth(lambda: None)
        silence = np.zeros(4_800, np.int16)
        await asyncio.sleep(1.0)
        mouth.pull()
        utterance = mouth.say(np.concatenate([silence, np.full(9_600, 1000, np.int16), silence]))
        for _ in range(20):
            assert mouth.pull() is not None
            await asyncio.sleep(0.02)
        assert mouth.pull() is None
        return utterance

    utterance = run(main())
    # The first frame leaves at 1.0 s, so a microphone began to capture it at 0.98 s.
    assert utterance.began == pytest.approx(0.98 + 0.1, abs=1e-4)
    assert utterance.ended == pytest.approx(0.98 + 0.3, abs=1e-4)


def test_utterances_follow_one_another():
    async def main():
        mouth = Mouth(lambda: None)
        first, second = mouth.say(np.full(960, 1000, np.int16)), mouth.say(np.full(960, 1000, np.int16))
        mouth.pull()
        assert (first.ended is None, second.began is None) == (False, True)
        mouth.pull()
        assert second.ended is not None

    run(main())


def test_silence_cannot_be_said():
    async def main():
        Mouth(lambda: None).say(np.zeros(960, np.int16))

    with pytest.raises(ValueError, match="nothing audible"):
        run(main())


def test_the_ear_notes_when_it_heard_something_and_keeps_it_on_the_time_line():
    async def main():
        news = []
        ear = Ear(lambda: news.append(1))
        samples = np.concatenate([np.zeros(1_600, np.int16), tone(0.2, 8_000), np.zeros(1_600, np.int16)])
        await asyncio.sleep(0.5)
        for packet in encode(samples, payload_type=0):  # G.711: Opus lets a tone be heard before it begins
            await asyncio.sleep(0.02)
            ear.take(
                SimpleNamespace(
                    sequence_number=packet.sequence,
                    timestamp=packet.timestamp,
                    payload_type=packet.payload_type,
                    payload=packet.payload,
                )
            )
        return ear, len(news)

    ear, news = run(main())
    assert news == len(ear.sounds) == 30
    # Packet 11 arrives at 0.72 s; the resampler delays the tone by 2 ms.
    assert ear.first(0.0) == pytest.approx(0.72 + 0.002, abs=5e-4)
    assert ear.first(0.81) == pytest.approx(0.82, abs=1e-3)
    assert ear.first(1.2) is None
    assert ear.last == pytest.approx(0.92 + 0.002, abs=5e-4)
    recording = ear.recording(0.0)
    assert audible(recording)[0] / 16_000 == pytest.approx(ear.first(0.0), abs=1e-3)


def test_nothing_heard_is_an_empty_recording():
    async def main():
        return Ear(lambda: None).recording(0.0)

    assert run(main()).size == 0


def test_the_length_of_an_answer_is_what_was_sent_however_late_its_packets_came():
    async def main(delays):
        ear, loop = Ear(lambda: None), asyncio.get_running_loop()
        silence = np.zeros(9_600, np.int16)
        sent = encode(np.concatenate([silence, tone(0.5, 48_000), silence]))
        start = loop.time()
        for packet, delay in zip(sent, delays * len(sent), strict=False):
            await asyncio.sleep(max(0.0, start + delay + packet.timestamp / 48_000 - loop.time()))
            ear.take(
                SimpleNamespace(
                    sequence_number=packet.sequence,
                    timestamp=packet.timestamp,
                    payload_type=packet.payload_type,
                    payload=packet.payload,
                )
            )
        assert ear.length(loop.time()) == 0
        return ear.length(0.0)

    smooth = run(main([0.0]))
    assert smooth == pytest.approx(0.5, abs=0.01), "a codec rings for some milliseconds"
    assert run(main([0.2, 0.0, 0.05, 0.5])) == smooth
